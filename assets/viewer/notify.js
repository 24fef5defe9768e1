/**
 * Tells through the system that a session needs somebody, when nobody looks at the page and the reader has allowed it.
 *
 * @module
 */

import { oneLine } from './sanitize.js';
import { noticing, waiting } from './v1.js';

/** @typedef {import('./types.js').State} State */
/** @typedef {import('./types.js').Session} Session */

const MAX_NAME = 80;
const MAX_TITLE = 100;
const MAX_BODY = 300;

/** @param {Session} session @returns {string} */
const name = (session) => oneLine(session.title || session.name || session.role || 'A session', MAX_NAME);

/** @param {(session: string) => void} openSession */
export function createNotifier(openSession) {
  /** What has been told, by session. @type {Map<string, string>} */
  let told = new Map();
  /** When the newest notice was, by session; nothing until the first sessions came. @type {Map<string, number> | null} */
  let noticed = null;

  /** @param {Session} session @param {string} title @param {string} body */
  function show(session, title, body) {
    const shown = new Notification(oneLine(title, MAX_TITLE), { body: oneLine(body, MAX_BODY), tag: session.id });
    shown.onclick = () => {
      window.focus();
      openSession(session.id);
      shown.close();
    };
  }

  /** Tells what programs want to be seen, from when the page knew the sessions. @param {State} state @param {boolean} may */
  function tellNotices(state, may) {
    if (!state.sessionsLoaded) return;
    const now = noticing(state.sessions);
    for (const session of now) {
      if (may && noticed !== null && noticed.get(session.id) !== session.notice.at) show(session, name(session), session.notice.text);
    }
    noticed = new Map(now.map(({ id, notice }) => [id, notice.at]));
  }

  return {
    /** Browsers ask only after a click. */
    offer() {
      if (typeof Notification !== 'undefined' && Notification.permission === 'default') void Notification.requestPermission();
    },
    /** @param {State} state */
    render(state) {
      const now = new Map(waiting(state.sessions).map((session) => [session.id, session]));
      const may = typeof Notification !== 'undefined' && Notification.permission === 'granted' && !document.hasFocus();
      for (const [id, session] of now) {
        if (told.get(id) === session.needsYou || !may) continue;
        show(session, `${name(session)} needs you`, session.needsYou);
      }
      told = new Map([...now].map(([id, { needsYou }]) => [id, needsYou]));
      tellNotices(state, may);
    },
  };
}
