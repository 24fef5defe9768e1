/**
 * Keeps the address and the store's place the same: a link is followed without loading the page anew, back and forward
 * work, and every change of what is shown is in the address. Another day is another page.
 *
 * @module
 */

import { findSession, knowsSessions } from './find.js';
import { showsDay, withQuery, withoutReplay } from './mode.js';
import { parsePlace, placePath, sessionOf } from './routes.js';

/** @typedef {import('./types.js').Place} Place */

/** Addresses that are no pages of this viewer. */
const ELSEWHERE = /^\/(?:assets|auth|v1|ws)\//;

/**
 * @param {ReturnType<typeof import('./store.js').createStore>} store
 * @param {() => void} onMoved
 * @param {() => string} replay what the address says of a replay, or nothing
 */
export function createNav(store, onMoved, replay) {
  const isDemo = () => store.state().mode.kind === 'demo';
  const here = () => parsePlace(location.pathname, location.search || location.hash.replace(/^#/, '?'));

  /** @param {Place} place */
  function show(place) {
    store.dispatch({ type: 'place/changed', place });
    onMoved();
  }

  /** The session of this page, once it is known to be meant by its own id. */
  let settled = '';

  /** @param {string} path an address of this viewer */
  function go(path) {
    const url = new URL(path, location.origin);
    const place = parsePlace(url.pathname, url.search);
    // Links are by ids, also to sessions of which there are only records.
    settled = sessionOf(place.route);
    if (place.route.page === 'flow' && !showsDay(store.state().mode, place.route.day, Date.now())) return location.assign(path);
    const full = isDemo() ? withQuery(path, replay()) : path;
    if (full !== `${location.pathname}${location.search}`) history.pushState(null, '', full);
    show(place);
  }

  /** Another page in the place of this one: going back does not lead here again. @param {string} path an address of this viewer that is no day */
  function instead(path) {
    const url = new URL(path, location.origin);
    history.replaceState(null, '', isDemo() ? withQuery(path, replay()) : path);
    show(parsePlace(url.pathname, url.search));
  }

  /** An address by a name, or by a part of an id, becomes the one of the session that it names. */
  function settle() {
    const state = store.state();
    const { place, sessions, records } = state;
    const text = sessionOf(place.route);
    if (text === '') settled = '';
    // A session that went away does not become another one, which somebody may be about to type into.
    if (text === settled) return;
    const found = findSession(sessions, text);
    if (typeof found === 'string') return;
    if (found.id === text || records.some(({ session }) => session === text)) settled = text;
    else if (knowsSessions(state)) instead(placePath({ ...place, route: { ...place.route, id: found.id } }));
  }
  store.subscribe(settle);

  /** @param {Event} event @returns {{link: Element, path: string} | null} the link within this viewer that it is about */
  function linkOf({ target }) {
    // Also of a picture, whose links are other elements.
    const link = target instanceof Element ? target.closest('a[href^="/"]:not([target], [download])') : null;
    const path = link?.getAttribute('href') ?? '';
    return link === null || path.startsWith('//') || ELSEWHERE.test(path) ? null : { link, path: withoutReplay(path) };
  }

  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const to = linkOf(event);
    if (!to) return;
    event.preventDefault();
    go(to.path);
  });
  // What is opened in another tab, or copied, is the same replay at the same moment.
  for (const about of ['pointerover', 'pointerdown', 'focusin', 'contextmenu']) {
    document.addEventListener(about, (event) => {
      const to = isDemo() ? linkOf(event) : null;
      to?.link.setAttribute('href', withQuery(to.path, replay()));
    }, { capture: true, passive: true });
  }

  return {
    go,
    instead,
    /** The address of where one is, after filters or the like changed; no step for the back button. */
    note() {
      const path = withQuery(placePath(store.state().place), replay());
      if (path !== `${location.pathname}${location.search}`) history.replaceState(null, '', path);
    },
    /** The address was changed by the reader. */
    moved: () => show(here()),
    start() {
      store.dispatch({ type: 'place/changed', place: here() });
      // Links of before had the filters behind a hash; a code to sign in with is not ours.
      if (location.hash !== '' && !location.hash.includes('code')) history.replaceState(null, '', placePath(store.state().place));
    },
  };
}
