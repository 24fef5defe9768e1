/**
 * Tells through the system that a session needs somebody, when nobody looks at the page and the reader has allowed it.
 *
 * @module
 */

import { oneLine } from './sanitize.js';
import { waiting } from './v1.js';

/** @typedef {import('./types.js').State} State */

const MAX_TITLE = 80;
const MAX_BODY = 300;

/** @param {(session: string) => void} openSession */
export function createNotifier(openSession) {
  /** What has been told, by session. @type {Map<string, string>} */
  let told = new Map();

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
        const title = `${oneLine(session.title || session.name || session.role || 'A session', MAX_TITLE)} needs you`;
        const shown = new Notification(title, { body: oneLine(session.needsYou, MAX_BODY), tag: id });
        shown.onclick = () => {
          window.focus();
          openSession(id);
          shown.close();
        };
      }
      told = new Map([...now].map(([id, { needsYou }]) => [id, needsYou]));
    },
  };
}
