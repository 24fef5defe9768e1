/**
 * Puts the viewer together: mode from the page's metas, store, feed, views, keyboard, address.
 * Nothing here decides anything that a test of a pure module could check.
 *
 * @module
 */

import { createFeed } from './feed.js';
import { noFilters, parseHash, toHash } from './filters.js';
import { startKeys } from './keys.js';
import { signInWithCode, takeCode } from './login/signin.js';
import { createPolls } from './polls.js';
import { createStore, initialState } from './store.js';
import { startTheme } from './theme.js';
import { byId } from './views/dom.js';
import { createFilterBar } from './views/filterbar.js';
import { createFleet } from './views/fleet.js';
import { createMachine } from './views/machine.js';
import { createQueue } from './views/queue.js';
import { createSessionDetail } from './views/session-detail.js';
import { createSessions } from './views/sessions.js';
import { createTimeline } from './views/timeline.js';
import { createToolbar } from './views/toolbar.js';

/** @typedef {import('./types.js').Mode} Mode */
/** @typedef {import('./types.js').Filters} Filters */

const TICK_MS = 1_000;
/** Hidden for longer than this, a connection can have died without the browser noticing. */
const AWAY_MS = 60_000;

/** @param {string} name */
const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.getAttribute('content') ?? '';

/** @returns {Mode} */
function readMode() {
  const src = meta('darkmux-flow-src');
  if (src) return { kind: 'demo', label: src.split('/').pop() || src, src };
  const date = meta('darkmux-date');
  if (meta('darkmux-mode') === 'play' && date) return { kind: 'play', label: date, src: date };
  return { kind: 'live', label: '', src: '' };
}

// `darkmux open` came here with a code: what is shown then is what somebody who is signed in sees.
const code = takeCode();
if (code) signInWithCode(code).then(() => location.reload(), () => location.assign('/auth/login'));

startTheme(byId('theme', HTMLButtonElement));
const mode = readMode();
const store = createStore(initialState(mode, Date.now()));
store.dispatch({ type: 'filters/changed', filters: parseHash(location.hash) });

const feed = createFeed(mode, store.dispatch, () => polls.sessionsChanged());
const polls = createPolls(store.dispatch, () => feed.check());

/** @param {Partial<Filters>} filters */
function filter(filters) {
  const before = store.state().filters;
  store.dispatch({ type: 'filters/changed', filters });
  const after = store.state().filters;
  const address = `${location.pathname}${location.search}${toHash(after) ? `#${toHash(after)}` : ''}`;
  // Opening a session is a step that the back button takes back; typing is not.
  if (after.session !== before.session) history.pushState(null, '', address);
  else history.replaceState(null, '', address);
}

const actions = {
  filter,
  clearFilters: () => filter(noFilters()),
  /** @param {string} session */
  openSession(session) {
    filter({ session });
    showPane('flow');
  },
  closeSession: () => filter({ session: '' }),
  /** @param {string} key */
  toggle: (key) => store.dispatch({ type: 'record/toggled', key }),
  /** @param {boolean} follow */
  follow: (follow) => store.dispatch({ type: 'follow/changed', follow }),
  showOlder: () => store.dispatch({ type: 'older/shown' }),
};

const views = [
  createToolbar((day) => location.assign(`${day ? `/play/${day}` : '/'}${location.hash}`)),
  createFilterBar(actions),
  createSessionDetail(actions.closeSession),
  createTimeline(actions),
  createSessions(actions.openSession),
  createFleet(),
  createQueue(),
  createMachine(),
];

let scheduled = false;
function render() {
  scheduled = false;
  const state = store.state();
  for (const view of views) view.render(state);
}
store.subscribe(() => {
  if (!scheduled) requestAnimationFrame(render);
  scheduled = true;
});

/** On a narrow page one pane is shown at a time. @param {string} pane */
function showPane(pane) {
  document.body.dataset.pane = pane;
  for (const button of document.querySelectorAll('#panes button')) {
    button.setAttribute('aria-pressed', String(button instanceof HTMLElement && button.dataset.pane === pane));
  }
}
byId('panes', HTMLElement).addEventListener('click', ({ target }) => {
  if (target instanceof HTMLElement && target.dataset.pane) showPane(target.dataset.pane);
});

byId('skip', HTMLButtonElement).addEventListener('click', () => byId('timeline', HTMLDivElement).focus());

const help = byId('help', HTMLDialogElement);
byId('help-button', HTMLButtonElement).addEventListener('click', () => help.showModal());
startKeys({
  search() {
    showPane('flow');
    byId('search', HTMLInputElement).select();
  },
  help: () => help.showModal(),
  toggleFollow: () => actions.follow(!store.state().follow),
  toggleRecord: actions.toggle,
  closeSession: actions.closeSession,
});

addEventListener('popstate', () => store.dispatch({ type: 'filters/changed', filters: parseHash(location.hash) }));
addEventListener('online', feed.resume);
// A page taken out of the browser's cache has lost its stream without an event.
addEventListener('pageshow', ({ persisted }) => persisted && feed.resume());
let hiddenAt = 0;
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'hidden') {
    hiddenAt = Date.now();
    return;
  }
  if (Date.now() - hiddenAt > AWAY_MS || store.state().source !== 'live') feed.resume();
  if (mode.kind !== 'demo') polls.refresh();
});
setInterval(() => {
  if (document.visibilityState === 'visible') store.dispatch({ type: 'clock/ticked', now: Date.now() });
}, TICK_MS);

showPane('flow');
render();
feed.start();
if (mode.kind !== 'demo') polls.start();
