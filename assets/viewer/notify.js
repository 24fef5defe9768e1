/**
 * Tells through the system that a session needs somebody, when nobody looks at the page and the reader has allowed it.
 *
 * @module
 */

import { called } from './called.js';
import { oneLine } from './sanitize.js';
import { noticing, waiting } from './v1.js';

/** @typedef {import('./types.js').State} State */
/** @typedef {import('./types.js').Session} Session */
/** @typedef {'none' | 'ask' | 'on' | 'off' | 'blocked' | 'insecure' | 'unable'} Telling `none`: the browser knows of no notifications */

const KEY = 'darkmux-notify';
const MAX_TITLE = 100;
const MAX_BODY = 300;
const MAX_KNOWN = 10_000;

/** @returns {boolean} whether the reader has switched it off on this device */
function isOff() {
  try {
    return localStorage.getItem(KEY) === 'off';
  } catch {
    // A browser that keeps nothing for this page refuses even to look.
    return false;
  }
}

/** @param {boolean} off */
function keep(off) {
  try {
    if (off) localStorage.setItem(KEY, 'off');
    else localStorage.removeItem(KEY);
  } catch {
    // The choice is then the browser's own.
  }
}

/**
 * What a page that was opened at `opened` has not seen yet: neither what was asked before, however late its machine is
 * reached, nor what was there before a link broke.
 *
 * @param {number} opened in milliseconds
 * @returns {(sessions: readonly Session[], whole: boolean) => Session[]} those that ask something new; `whole`: the list
 *   has what each asks
 */
export function createNews(opened) {
  /** What each asks. @type {Map<string, string>} */
  const known = new Map();
  let begun = false;
  return (sessions, whole) => {
    const asking = waiting(sessions);
    const fresh = !begun ? [] : asking.filter(({ id, needsYou, created, started }) => {
      const before = known.get(id);
      return before === undefined ? Math.max(created || 0, started || 0) >= opened : before !== needsYou;
    });
    // One whose host is not heard of asks what it asked.
    for (const { id, state } of sessions) if (state !== 'lost' || !known.has(id)) known.set(id, '');
    for (const { id, needsYou } of asking) known.set(id, needsYou);
    for (const id of known.keys()) {
      if (known.size <= MAX_KNOWN) break;
      known.delete(id);
    }
    begun = whole;
    return fresh;
  };
}

/** @param {(session: string) => void} openSession @param {number} opened when the page was, in milliseconds */
export function createNotifier(openSession, opened) {
  const news = createNews(opened);
  /** When the newest notice was, by session; nothing until the sessions came. @type {Map<string, number> | null} */
  let noticed = null;
  /** Some browsers have notifications only for programs that are installed. */
  let unable = false;

  /** @returns {Telling} */
  function telling() {
    if (typeof Notification === 'undefined') return 'none';
    if (unable) return 'unable';
    if (Notification.permission === 'granted') return isOff() ? 'off' : 'on';
    if (!isSecureContext) return 'insecure';
    return Notification.permission === 'denied' ? 'blocked' : 'ask';
  }

  /** @param {string} title @param {NotificationOptions} options @returns {Notification | null} */
  function show(title, options) {
    try {
      return new Notification(title, options);
    } catch {
      unable = true;
      return null;
    }
  }

  /** @param {Session} session @param {string} title @param {string} body */
  function tell(session, title, body) {
    const shown = show(oneLine(title, MAX_TITLE), { body: oneLine(body, MAX_BODY), tag: session.id });
    if (!shown) return;
    shown.onclick = () => {
      window.focus();
      openSession(session.id);
      shown.close();
    };
  }

  /** Tells what programs want to be seen, from when the page knew the sessions. @param {State} state @param {boolean} may */
  function tellNotices(state, may) {
    if (state.sessionsLoaded !== 'all') return;
    const now = noticing(state.sessions);
    for (const session of now) {
      if (may && noticed !== null && noticed.get(session.id) !== session.notice.at) tell(session, called(session, 'A session'), session.notice.text);
    }
    noticed = new Map(now.map(({ id, notice }) => [id, notice.at]));
  }

  return {
    telling,
    /** Browsers ask only after a click. */
    offer() {
      if (telling() === 'ask') void Notification.requestPermission();
    },
    /** After a click. @param {boolean} on */
    async choose(on) {
      keep(!on);
      if (!on) return;
      if (telling() === 'ask') await Notification.requestPermission();
      if (telling() === 'on') show('darkmux', { body: 'You are told here when a session needs you.', tag: KEY });
    },
    /** @param {State} state */
    render(state) {
      const may = telling() === 'on' && !document.hasFocus();
      for (const session of news(state.sessions, state.sessionsLoaded === 'all')) {
        if (may) tell(session, `${called(session, 'A session')} needs you`, session.needsYou);
      }
      tellNotices(state, may);
    },
  };
}
