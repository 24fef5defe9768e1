/**
 * Who the page is to the daemon: redeems the code that `darkmux open` put into the address, asks what it may do, and
 * follows the sessions by events once it may see them.
 *
 * @module
 */

import { askAccess, askFound, askHealth, listSessions, signOut } from './act.js';
import { backoff } from './api.js';
import { signInWithCode, takeCode } from './login/signin.js';
import { oneLine } from './sanitize.js';
import { openSessionEvents } from './streams.js';
import { readSession } from './v1.js';
import { fields } from './wire.js';

/** @typedef {import('./store.js').Action} Action */
/** @typedef {import('./types.js').Session} Session */

/** Changes of one moment go into the store together. */
const BATCH_MS = 40;

/**
 * @param {(action: Action) => void} dispatch
 * @param {() => void} onLeft the sessions that anybody may see are to be asked for
 */
export function createAccount(dispatch, onLeft) {
  /** @type {ReturnType<typeof openSessionEvents> | null} */
  let events = null;
  /** Whether they came, and have not been refused since. */
  let heard = false;
  /** @type {Map<string, Session>} */
  let changed = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let again;
  let attempt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let asking;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let finding;
  /** Machines whose link has been up. */
  const connected = new Set();
  /** @type {Promise<void> | null} */
  let looking = null;
  let signedIn = false;
  /** The reader has signed out, and need not be told. */
  let left = false;

  function flush() {
    clearTimeout(timer);
    timer = undefined;
    const sessions = [...changed.values()];
    changed = new Map();
    if (sessions.length > 0) dispatch({ type: 'sessions/upserted', sessions });
  }

  function follow() {
    const hear = () => {
      if (!heard) dispatch({ type: 'toast/closed', key: 'events' });
      heard = true;
    };
    events ??= openSessionEvents({
      // What went away while nobody listened is in no event of its own, and what is not named here is gone.
      onComplete(ids) {
        hear();
        flush();
        if (ids) dispatch({ type: 'sessions/kept', ids });
        else void listSessions().then((sessions) => {
          dispatch({ type: 'sessions/loaded', sessions });
          dispatch({ type: 'sessions/kept', ids: sessions.map(({ id }) => id) });
        }).catch(() => {});
      },
      onUpsert(body) {
        const session = readSession(fields(body).session);
        if (session.id === '') return;
        hear();
        changed.set(session.id, session);
        timer ??= setTimeout(flush, BATCH_MS);
      },
      onRemove(id) {
        changed.delete(id);
        dispatch({ type: 'sessions/removed', id });
      },
      onPeer() {
        clearTimeout(asking);
        asking = setTimeout(() => void health('watch').catch(() => {}), BATCH_MS);
      },
      onFound() {
        clearTimeout(finding);
        finding = setTimeout(() => void askFound().then((found) => dispatch({ type: 'found/loaded', found })).catch(() => {}), BATCH_MS);
      },
      onLost(refused) {
        if (!refused) return;
        heard = false;
        void look().then(() => events && say('events', 'The daemon refuses the events of the sessions: the list is asked for now and then, until they are back.'));
      },
    });
  }

  /** What can be started, and how the links are; a link that was lost is told. @param {import('./types.js').Access} access */
  async function health(access) {
    const [{ launchers, peers }, found] = await Promise.all([askHealth(), askFound().catch(() => [])]);
    dispatch({ type: 'found/loaded', found });
    if (access === 'act') dispatch({ type: 'launchers/loaded', launchers });
    dispatch({ type: 'peers/loaded', peers });
    for (const { name, status, problem } of peers) {
      const key = `peer:${name}`;
      if (status === 'connected') {
        connected.add(name);
        dispatch({ type: 'toast/closed', key });
      } else if (connected.delete(name)) {
        say(key, `${oneLine(name, 64)} does not answer${problem === '' ? '' : `: ${oneLine(problem, 200)}`}. Its sessions stay as they were last known.`);
      }
    }
  }

  async function look() {
    try {
      const access = await askAccess();
      dispatch({ type: 'access/changed', access });
      if (access === 'none') {
        events?.close();
        events = null;
        heard = false;
        attempt = 0;
        if (signedIn || left) {
          // What was known of them is no longer this page's to show.
          dispatch({ type: 'sessions/loaded', sessions: [] });
          dispatch({ type: 'peers/loaded', peers: [] });
          dispatch({ type: 'found/loaded', found: [] });
          connected.clear();
          onLeft();
        }
        if (signedIn) say('signed-out', 'Signed out: the token that this page came with has been replaced or ended. Run darkmux open to sign in again.');
        signedIn = false;
        left = false;
        return;
      }
      signedIn = true;
      dispatch({ type: 'toast/closed', key: 'signed-out' });
      follow();
      await health(access);
      attempt = 0;
    } catch {
      clearTimeout(again);
      again = setTimeout(look, backoff(attempt, Math.random()));
      attempt += 1;
    }
  }

  /** @param {string} key @param {string} text */
  const say = (key, text) => dispatch({ type: 'toast/raised', key, tone: 'warning', text, at: Date.now() });

  return {
    async start() {
      const code = takeCode();
      if (code !== '') {
        await signInWithCode(code).catch((error) => {
          const why = error instanceof Error ? error.message : String(error);
          // What the daemon refuses says what to do; that it does not answer says nothing of it.
          const todo = why.includes('darkmux open') ? '' : ' Run darkmux open again.';
          say('code', `Not signed in: ${why.replace(/[.]?$/, '.')}${todo}`);
        });
      }
      await look();
    },
    /** Whether sessions come by events, and need not be asked for. */
    follows: () => heard,
    look: () => void look(),
    /** What was open has been refused. Several terminals are refused at once. */
    refused() {
      looking ??= look().finally(() => { looking = null; });
    },
    /** The page was away: the events can have ended without a word. */
    resume: () => events?.reopen(),
    /** Takes the cookie from this browser. @returns {Promise<string>} why it did not, or nothing */
    async leave() {
      try {
        await signOut();
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
      signedIn = false;
      left = true;
      await look();
      return '';
    },
  };
}
