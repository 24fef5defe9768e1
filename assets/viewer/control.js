/**
 * What the reader does to sessions: asks first where something would be lost, does it, and says what went wrong.
 *
 * @module
 */

import * as act from './act.js';
import { FROZEN } from './mode.js';

/** @typedef {import('./store.js').Action} Action */
/** @typedef {import('./act.js').SessionAction} SessionAction */
/** @typedef {(question: import('./views/ask.js').Question) => Promise<string | null>} Ask */

/** @type {{[action: string]: import('./views/ask.js').Question}} */
const QUESTIONS = {
  kill: { title: 'End this session?', text: 'Its program is asked to end, and made to after a grace.', yes: 'End it' },
  restart: { title: 'Restart this session?', text: 'Its program is ended and started again in the same place.', yes: 'Restart it' },
  dismiss: { title: 'Dismiss this session?', text: 'It is removed with all of its output. This cannot be taken back.', yes: 'Dismiss it' },
};

const UNKNOWN = 'It is not known whether your answer arrived: look at the terminal before you send it again.';

/** @param {unknown} error */
const words = (error) => (error instanceof Error ? error.message : String(error));

/**
 * @param {(action: Action) => void} dispatch
 * @param {Ask} ask
 * @param {() => void} signedOut The daemon no longer knows this page.
 * @param {boolean} frozen Nothing can be done here.
 * @param {(id: string) => void} dismissed This session is there no more.
 */
export function createControl(dispatch, ask, signedOut, frozen, dismissed) {
  /** @param {string} text @param {'note' | 'warning'} [tone] */
  const say = (text, tone = 'warning') => dispatch({ type: 'toast/raised', key: text, tone, text, at: Date.now() });

  /**
   * @template T @param {() => Promise<T>} work @param {string} what is said when it was refused
   * @param {string} [unknown] what is said when no answer came, where it may have been done
   * @returns {Promise<T | null>} null when it failed
   */
  async function attempt(work, what, unknown = '') {
    if (frozen) {
      say(FROZEN, 'note');
      return null;
    }
    try {
      return await work();
    } catch (error) {
      if (error instanceof act.Refused && error.status === 401) signedOut();
      const unanswered = error instanceof act.Refused && (error.status === 0 || error.status >= 502);
      say(unanswered && unknown !== '' ? `${unknown} (${words(error)})` : `${what}: ${words(error)}`);
      return null;
    }
  }

  return {
    say,
    attempt,
    /** @param {string} id @param {SessionAction} action */
    async act(id, action) {
      const question = QUESTIONS[action];
      if (question && await ask(question) === null) return;
      const done = await attempt(() => act.sessionAction(id, action), `Could not ${action} it`) !== null;
      if (done && action === 'dismiss') dismissed(id);
    },
    /** @param {string} id @param {string} before */
    async rename(id, before) {
      const name = await ask({ title: 'Rename the session', yes: 'Rename', field: before });
      if (name) await attempt(() => act.rename(id, name), 'Not renamed');
    },
    /** @param {string} id @param {string} line @returns {Promise<boolean>} */
    async answer(id, line) {
      const sent = await attempt(() => act.answer(id, line), 'Your answer was not sent', UNKNOWN) !== null;
      if (sent) say('Your answer was sent.', 'note');
      return sent;
    },
    /** Quiet on purpose: whether it was noted that somebody looked is nobody's trouble. @param {string} id */
    seen: (id) => void (!frozen && act.sessionAction(id, 'read').catch(() => {})),
    /** @param {string} url */
    async openLink(url) {
      if (await ask({ title: 'Open this link?', text: url, yes: 'Open' }) !== null) window.open(url, '_blank', 'noopener,noreferrer');
    },
  };
}
