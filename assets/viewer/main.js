/**
 * Puts the viewer together: mode from the page's metas, store, feed, views, keyboard, address.
 * Nothing here decides anything that a test of a pure module could check.
 *
 * @module
 */

import { launch } from './act.js';
import { createAccount } from './account.js';
import { createControl } from './control.js';
import { createFeed } from './feed.js';
import { noFilters, parseHash, toHash } from './filters.js';
import { startKeys } from './keys.js';
import { hasCode } from './login/signin.js';
import { createNotifier } from './notify.js';
import { createPolls } from './polls.js';
import { createStore, initialState } from './store.js';
import { startTheme } from './theme.js';
import { createAccountView } from './views/account.js';
import { createAsk } from './views/ask.js';
import { byId } from './views/dom.js';
import { createFilterBar } from './views/filterbar.js';
import { createFleet } from './views/fleet.js';
import { createInbox } from './views/inbox.js';
import { createLaunch } from './views/launch.js';
import { createMachine } from './views/machine.js';
import { createQueue } from './views/queue.js';
import { createSessionDetail } from './views/session-detail.js';
import { createSessions } from './views/sessions.js';
import { createTerminal } from './views/terminal.js';
import { createTimeline } from './views/timeline.js';
import { createToasts } from './views/toasts.js';
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

startTheme(byId('theme', HTMLButtonElement));
const mode = readMode();
const store = createStore(initialState(mode, Date.now()));
store.dispatch({ type: 'filters/changed', filters: parseHash(location.hash) });

const feed = createFeed(mode, store.dispatch, () => polls.sessionsChanged());
const account = createAccount(store.dispatch, () => polls.sessionsChanged());
const polls = createPolls(store.dispatch, () => feed.check(), account.follows);
const control = createControl(store.dispatch, createAsk(), account.look);

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
    terminal.focus();
  },
  closeSession: () => filter({ session: '' }),
  /** @param {import('./types.js').SessionView} view */
  show: (view) => store.dispatch({ type: 'view/changed', view }),
  ...control,
  /** @param {string} key */
  toggle: (key) => store.dispatch({ type: 'record/toggled', key }),
  /** @param {boolean} follow */
  follow: (follow) => store.dispatch({ type: 'follow/changed', follow }),
  showOlder: () => store.dispatch({ type: 'older/shown' }),
};

/** @param {import('./act.js').Launch} what @returns {Promise<string>} why it did not start, or nothing */
async function start(what) {
  try {
    actions.openSession(await launch(what));
    notifier.offer();
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const launcher = createLaunch(start);
const notifier = createNotifier(actions.openSession);
const terminal = createTerminal({
  warn: control.say,
  openLink: control.openLink,
  leave: () => byId('search', HTMLInputElement).closest('main')?.querySelector('button')?.focus(),
  seen: control.seen,
});
const views = [
  createAccountView(account.leave),
  createToolbar((day) => location.assign(`${day ? `/play/${day}` : '/'}${location.hash}`)),
  createFilterBar(actions),
  createSessionDetail(actions),
  terminal,
  createInbox(actions),
  launcher,
  notifier,
  createToasts((key) => store.dispatch({ type: 'toast/closed', key })),
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
  launch: launcher.show,
  switchView: () => actions.show(store.state().view === 'terminal' ? 'records' : 'terminal'),
  nextSession,
});

/** @param {1 | -1} by */
function nextSession(by) {
  const { sessions, filters } = store.state();
  const at = sessions.findIndex(({ id }) => id === filters.session);
  const next = sessions[at < 0 ? 0 : at + by];
  if (next) actions.openSession(next.id);
}

addEventListener('popstate', () => {
  // What `darkmux open` printed, put into the address of a page that is open already.
  if (hasCode()) void account.start();
  else store.dispatch({ type: 'filters/changed', filters: parseHash(location.hash) });
});
function resume() {
  feed.resume();
  terminal.wake();
}
addEventListener('online', resume);
// A page taken out of the browser's cache has lost its streams without an event.
addEventListener('pageshow', ({ persisted }) => persisted && resume());
let hiddenAt = 0;
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'hidden') {
    hiddenAt = Date.now();
    return;
  }
  if (Date.now() - hiddenAt > AWAY_MS || store.state().source !== 'live') resume();
  if (mode.kind === 'demo') return;
  // Another tab may have signed in or out.
  account.look();
  polls.refresh();
});
setInterval(() => {
  if (document.visibilityState === 'visible') store.dispatch({ type: 'clock/ticked', now: Date.now() });
}, TICK_MS);

showPane('flow');
render();
feed.start();
if (mode.kind !== 'demo') {
  void account.start();
  polls.start();
}
