/**
 * Puts the viewer together: mode from the page's metas, store, feed, views, keyboard, address.
 * Nothing here decides anything that a test of a pure module could check.
 *
 * @module
 */

import * as act from './act.js';
import { createAccount } from './account.js';
import { createControl } from './control.js';
import { createDrawing, onPages } from './drawing.js';
import { createFeed } from './feed.js';
import { noFilters } from './filters.js';
import { utcDay } from './format.js';
import { createFrames } from './frame.js';
import { createJobFeed } from './job-feed.js';
import { startKeys } from './keys.js';
import { hasCode } from './login/signin.js';
import { createMatching } from './matching.js';
import { flowPath, modeOf } from './mode.js';
import { createNav } from './nav.js';
import { createNotifier } from './notify.js';
import { createPlayback } from './playback.js';
import { createPolls } from './polls.js';
import { createQueueControl } from './queue-control.js';
import { createRecordedJob, recordedTerminals } from './recorded.js';
import { jobPath, ownId, sessionOf, sessionPath } from './routes.js';
import { openTerminal } from './socket.js';
import { createStore, initialState } from './store.js';
import { startTheme } from './theme.js';
import { createAccountView } from './views/account.js';
import { createAsk } from './views/ask.js';
import { createBoard } from './views/board.js';
import { createDays } from './views/days.js';
import { createDispatch } from './views/dispatch.js';
import { byId, placePopover } from './views/dom.js';
import { createFilterBar } from './views/filterbar.js';
import { createFleet } from './views/fleet.js';
import { createFlow } from './views/flow.js';
import { createFrozen } from './views/frozen.js';
import { createInbox } from './views/inbox.js';
import { createInboxPage } from './views/inbox-page.js';
import { createJob } from './views/job.js';
import { createLanes } from './views/lanes.js';
import { createLaunch } from './views/launch.js';
import { createPalette } from './views/palette.js';
import { createPlaybar } from './views/playbar.js';
import { createQueue } from './views/queue.js';
import { createRail } from './views/rail.js';
import { createRaw, exported, save } from './views/raw.js';
import { createRunning } from './views/running.js';
import { createSessionDetail } from './views/session-detail.js';
import { createSessions } from './views/sessions.js';
import { createSource } from './views/source.js';
import { createTerminal } from './views/terminal.js';
import { createTimeline } from './views/timeline.js';
import { createToasts } from './views/toasts.js';
import { createToolbar } from './views/toolbar.js';

/** @typedef {import('./types.js').Filters} Filters */

const TICK_MS = 1_000;
/** Hidden for longer than this, a connection can have died without the browser noticing. */
const AWAY_MS = 60_000;

/** @param {string} name */
const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.getAttribute('content') ?? '';

const changeTheme = startTheme(byId('theme', HTMLButtonElement));
const mode = modeOf(meta('darkmux-flow-src'), location.pathname, location.search, Date.now());
const isDemo = mode.kind === 'demo';
const store = createStore(initialState(mode, Date.now()));

const playback = mode.kind === 'live' ? null : createPlayback(mode, store.dispatch, () => nav.note());
const touched = (/** @type {Iterable<import('./record.js').Topic>} */ topics) => [polls, jobFeed].forEach((one) => one.told(topics));
const feed = playback ?? createFeed(store.dispatch, touched, () => touched(['sessions', 'queue', 'fleet']));
// What is seen first is asked for first, and before anything else; it comes when all that is made below is there.
const shown = Promise.resolve(playback ? undefined : feed.start());
const account = createAccount(store.dispatch, () => touched(['sessions']));
const polls = createPolls(store.dispatch, () => feed.check(), account.follows, () => ['fleet', 'machine'].includes(store.state().place.route.page));
const ask = createAsk();
// The page of a session that was dismissed has nothing to show.
const control = createControl(store.dispatch, ask, account.look, isDemo, (id) => id === sessionOf(store.state().place.route) && nav.instead('/sessions'));
const queueControl = createQueueControl(control, ask, () => {
  polls.told(['queue']);
  jobFeed.again();
});
const nav = createNav(store, () => {
  playback?.activate(isDemo || store.state().place.route.page === 'flow');
  if (playback && !isDemo && !playback.holdsClock()) {
    // What is shown now is the present, and was asked for by the clock of the past.
    tick();
    polls.refresh();
  }
  jobFeed.again();
  if (sessionOf(store.state().place.route) !== '') terminal.focus();
}, () => playback?.query() ?? '');

/** @param {Partial<Filters>} filters */
function filter(filters) {
  store.dispatch({ type: 'filters/changed', filters });
  nav.note();
}

const actions = {
  filter,
  clearFilters: () => filter({ ...noFilters(), session: ownId(sessionOf(store.state().place.route)) }),
  openSession: (/** @type {string} */ session) => nav.go(sessionPath(session)),
  closeSession: () => sessionOf(store.state().place.route) !== '' && nav.go(flowPath(mode)),
  /** @param {import('./types.js').SessionView} view */
  show: (view) => store.dispatch({ type: 'view/changed', view }),
  ...control,
  ...queueControl,
  dispatch: () => dispatcher.show(),
  /** @param {number} at */
  moment(at) {
    store.dispatch({ type: 'moment/changed', at });
    nav.note();
  },
  /** @param {string} key */
  toggle: (key) => store.dispatch({ type: 'record/toggled', key }),
  /** @param {boolean} follow */
  follow: (follow) => store.dispatch({ type: 'follow/changed', follow }),
  showOlder: () => store.dispatch({ type: 'older/shown' }),
  loadDay: feed.more,
};

/** @param {import('./act.js').Launch} what */
async function start(what) {
  actions.openSession(await act.launch(what));
  notifier.offer();
}

const launcher = createLaunch(start);
const notifier = createNotifier(actions.openSession, Date.now());
const connect = playback && isDemo ? recordedTerminals(playback) : openTerminal;
const tileActions = { warn: control.say, openLink: control.openLink, refused: account.refused, connect };
const terminal = createTerminal({
  ...tileActions,
  leave: () => byId('session-detail', HTMLElement).querySelector('button')?.focus(),
  seen: control.seen,
});
const job = createJob(actions, tileActions);
const board = createBoard(nav.go, tileActions);
const jobFeed = playback && isDemo ? createRecordedJob(store, playback, job) : createJobFeed(store, job);
const dispatcher = createDispatch(act.tryDispatch, async (what) => {
  const id = await act.dispatch(what);
  polls.told(['queue']);
  nav.go(jobPath(id));
});
/** @param {string} record */
function openRecord(record) {
  store.dispatch({ type: 'lens/changed', lens: 'list' });
  if (!store.state().expanded.has(record)) actions.toggle(record);
  nav.note();
}
const saveShown = () => save(`flow-${store.state().place.route.day || utcDay(Date.now())}.jsonl`, exported(store.state()));
const source = createSource();
const days = createDays(() => playback ?? polls.daysSeen());
for (const { panel } of [source, days]) panel.addEventListener('toggle', () => { placePopover(panel); render(true); });
const draw = createDrawing([
  createRail(),
  createFlow((lens) => {
    store.dispatch({ type: 'lens/changed', lens });
    nav.note();
  }, saveShown),
  createAccountView(account.leave),
  createToolbar(),
  source,
  days,
  createFilterBar(actions),
  createRunning(),
  createLanes(openRecord),
  createRaw(actions),
  createSessionDetail({ ...actions, sessionResult: act.sessionResult }),
  terminal,
  createInbox(actions, { panel: byId('inbox-panel', HTMLElement), list: byId('inbox', HTMLOListElement), total: byId('inbox-count', HTMLElement) }),
  launcher,
  dispatcher,
  notifier,
  createToasts((key) => store.dispatch({ type: 'toast/closed', key })),
  createTimeline(actions),
  createSessions(actions.openSession),
  onPages(['fleet', 'machine'], () => createFleet({ ...actions, launch: launcher.show })),
  onPages(['queue'], () => createQueue(actions)),
  job,
  board,
  onPages(['inbox'], () => createInboxPage(actions, notifier)),
  ...(playback ? [createPlaybar(playback)] : []),
], reportError);
const frozen = createFrozen();

const tick = () => store.dispatch({ type: 'clock/ticked', now: Date.now() });

const frames = createFrames((all) => {
  if (draw(store.state(), all)) frozen.render(store.state());
}, mode.kind === 'live');
const render = frames.now;
const matching = createMatching((matches) => store.dispatch({ type: 'matches/found', matches }), {
  clock: () => performance.now(),
  // After the next frame, which shows what was found so far. A hidden page has no frames, and nobody who waits.
  later: (step) => requestAnimationFrame(() => setTimeout(step)),
});
store.subscribe(() => {
  const { records, filters } = store.state();
  matching.update(records, filters);
  frames.soon(records.length > 0);
  // A hidden page has no frames, and that is when this is for.
  if (document.hidden) notifier.render(store.state());
});
addEventListener('resize', () => render(true));

byId('skip', HTMLButtonElement).addEventListener('click', () => byId('main', HTMLElement).focus());

const help = byId('help', HTMLDialogElement);
byId('help-button', HTMLButtonElement).addEventListener('click', () => help.showModal());
/** @type {{[action: string]: () => void}} */
const COMMANDS = {
  launch: launcher.show,
  dispatch: actions.dispatch,
  pause: () => void queueControl.queueAct('pause'),
  resume: () => void queueControl.queueAct('resume'),
  follow: () => actions.follow(!store.state().follow),
  export: saveShown,
  theme: changeTheme,
  account: () => byId('account-button', HTMLButtonElement).click(),
  help: () => help.showModal(),
  play: () => playback?.toggle(),
};
const palette = createPalette(store.state, nav.go, (action) => COMMANDS[action]?.());
startKeys({
  search() {
    if (store.state().place.route.page !== 'flow') nav.go(flowPath(mode));
    render();
    byId('search', HTMLInputElement).select();
  },
  help: COMMANDS.help,
  toggleFollow: COMMANDS.follow,
  toggleRecord: actions.toggle,
  closeSession: actions.closeSession,
  launch: launcher.show,
  dispatch: actions.dispatch,
  palette: palette.show,
  play: () => playback?.holdsClock() === true && playback.toggle() === undefined,
  go: (path) => nav.go(path === '/' ? flowPath(mode) : path),
  switchView: () => actions.show(store.state().view === 'terminal' ? 'records' : 'terminal'),
  nextSession,
});

/** @param {1 | -1} by */
function nextSession(by) {
  const { sessions, place: { route } } = store.state();
  const at = sessions.findIndex(({ id }) => id === sessionOf(route));
  const next = sessions[at < 0 ? 0 : at + by];
  if (next) actions.openSession(next.id);
}

addEventListener('popstate', () => {
  // What `darkmux open` printed, put into the address of a page that is open already.
  if (hasCode()) void account.start();
  else nav.moved();
});
function resume() {
  feed.resume();
  account.resume();
  for (const view of [terminal, board, job]) view.wake();
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
  if (isDemo) return;
  // Another tab may have signed in or out.
  account.look();
  polls.refresh();
});
setInterval(() => {
  if (document.visibilityState === 'visible' && !playback?.holdsClock()) tick();
}, TICK_MS);

nav.start();
jobFeed.start();
jobFeed.again();
frames.start();
playback?.start();
if (!isDemo) void shown.then(() => {
  void account.start();
  polls.start();
});
