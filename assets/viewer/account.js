/**
 * Who the page is to the daemon: redeems the code that `darkmux open` put into the address, asks what it may do, and
 * follows the sessions by events once it may see them.
 *
 * @module
 */

import { askAccess, listLaunchers, listSessions } from './act.js';
import { backoff, openSessionEvents } from './api.js';
import { signInWithCode, takeCode } from './login/signin.js';
import { readSession } from './v1.js';
import { fields } from './wire.js';

/** @typedef {import('./store.js').Action} Action */
/** @typedef {import('./types.js').Session} Session */

/** Changes of one moment go into the store together. */
const BATCH_MS = 40;

/** @param {(action: Action) => void} dispatch */
export function createAccount(dispatch) {
  /** @type {ReturnType<typeof openSessionEvents> | null} */
  let events = null;
  /** @type {Map<string, Session>} */
  let changed = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let attempt = 0;

  function flush() {
    timer = undefined;
    const sessions = [...changed.values()];
    changed = new Map();
    if (sessions.length > 0) dispatch({ type: 'sessions/upserted', sessions });
  }

  function follow() {
    events ??= openSessionEvents({
      // What went away while nobody listened is in no event.
      onOpen: () => void listSessions().then((sessions) => dispatch({ type: 'sessions/loaded', sessions })).catch(() => {}),
      onUpsert(body) {
        const session = readSession(fields(body).session);
        if (session.id === '') return;
        changed.set(session.id, session);
        timer ??= setTimeout(flush, BATCH_MS);
      },
      onRemove(id) {
        changed.delete(id);
        dispatch({ type: 'sessions/removed', id });
      },
      onLost: (refused) => void (refused && look()),
    });
  }

  async function look() {
    try {
      const access = await askAccess();
      attempt = 0;
      dispatch({ type: 'access/changed', access });
      if (access === 'none') {
        events?.close();
        events = null;
        return;
      }
      follow();
      if (access === 'act') dispatch({ type: 'launchers/loaded', launchers: await listLaunchers() });
    } catch {
      setTimeout(look, backoff(attempt, Math.random()));
      attempt += 1;
    }
  }

  return {
    async start() {
      const code = takeCode();
      if (code !== '') {
        await signInWithCode(code).catch((error) => {
          const why = error instanceof Error ? error.message : String(error);
          dispatch({ type: 'toast/raised', key: 'code', tone: 'warning', text: `Not signed in: ${why} Run darkmux open again.`, at: Date.now() });
        });
      }
      await look();
    },
    /** Whether sessions come by events, and need not be asked for. */
    follows: () => events !== null,
    look: () => void look(),
  };
}
