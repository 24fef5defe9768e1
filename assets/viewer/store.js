/**
 * The viewer's state and the only way to change it: a pure reducer `(state, action) -> state`, and
 * the small store that holds the newest state. Views and the feed know each other only through it.
 *
 * Invariants: a record is in `records` once; `records` is in the order of the log; its number and
 * its size are bounded, and what was put out of memory is counted.
 *
 * @module
 */

import { FILTER_NAMES, noFilters } from './filters.js';
import { withGone } from './gone.js';
import { loaded, streamed } from './records.js';

/** @typedef {import('./types.js').State} State */
/** @typedef {import('./types.js').Incoming} Incoming */
/** @typedef {import('./types.js').Filters} Filters */
/** @typedef {import('./types.js').Mode} Mode */
/** @typedef {import('./types.js').Session} Session */

/**
 * @typedef {{type: 'records/loaded', batch: Incoming[], position: string, partial: boolean, others?: import('./types.js').State['others']}
 *   | {type: 'records/streamed', batch: Incoming[]}
 *   | {type: 'records/shown', records: import('./types.js').Entry[]}
 *   | {type: 'matches/found', matches: import('./types.js').Matches}
 *   | {type: 'playback/changed', playback: import('./types.js').Playback}
 *   | {type: 'replay/began', now: number}
 *   | {type: 'source/changed', source: import('./types.js').Source}
 *   | {type: 'problem/found', problem: string}
 *   | {type: 'sessions/loaded', sessions: Session[]}
 *   | {type: 'sessions/upserted', sessions: Session[]}
 *   | {type: 'sessions/kept', ids: string[]}
 *   | {type: 'sessions/removed', id: string}
 *   | {type: 'access/changed', access: import('./types.js').Access}
 *   | {type: 'launchers/loaded', launchers: import('./types.js').Launcher[]}
 *   | {type: 'peers/loaded', peers: import('./types.js').Peer[]}
 *   | {type: 'found/loaded', found: import('./types.js').Found[]}
 *   | {type: 'view/changed', view: import('./types.js').SessionView}
 *   | {type: 'toast/raised', key: string, tone: 'note' | 'warning', text: string, at: number}
 *   | {type: 'toast/closed', key: string}
 *   | {type: 'days/loaded', days: import('./types.js').Day[]}
 *   | {type: 'machine/loaded', machine: import('./types.js').Machine}
 *   | {type: 'fleet/loaded', fleet: import('./types.js').FleetMachine[]}
 *   | {type: 'fleet/failed', problem: string}
 *   | {type: 'queue/loaded', queue: import('./types.js').Queue | null, jobs: import('./types.js').Job[]}
 *   | {type: 'queue/failed', problem: string}
 *   | {type: 'health/loaded', id: string, version: string}
 *   | {type: 'filters/changed', filters: Partial<Filters>}
 *   | {type: 'place/changed', place: import('./types.js').Place}
 *   | {type: 'lens/changed', lens: import('./types.js').Lens}
 *   | {type: 'moment/changed', at: number}
 *   | {type: 'records/missed', count: number}
 *   | {type: 'job/seen', detail: import('./types.js').JobDetail}
 *   | {type: 'follow/changed', follow: boolean}
 *   | {type: 'record/toggled', key: string}
 *   | {type: 'older/shown'}
 *   | {type: 'clock/ticked', now: number}} Action
 */

/** Rows rendered at first, and more at each "show older". */
export const PAGE_ROWS = 400;

/** Toasts shown at a time. */
const MAX_TOASTS = 4;
/** Toasts remembered. */
const MAX_TOAST_LOG = 50;

/** @type {import('./types.js').Matches} */
const NO_MATCHES = { total: 0, complete: true, newest: () => [] };

/** @type {import('./types.js').Machine} */
const UNKNOWN_MACHINE = {
  id: '', version: '', flowSchema: '', os: '', cpu: '', ramTotal: NaN, ramFree: NaN,
  models: [], modelsUnreachable: false, redis: null,
};

/**
 * @param {Mode} mode
 * @param {number} now
 * @returns {State}
 */
export function initialState(mode, now) {
  return {
    mode,
    source: mode.kind === 'live' ? 'connecting' : 'replay',
    playback: null,
    loaded: false,
    problem: '',
    records: [],
    keys: [],
    chars: 0,
    position: '',
    dropped: 0,
    partial: false,
    others: 'all',
    unreadable: 0,
    filters: noFilters(),
    matches: NO_MATCHES,
    sessions: [],
    sessionsLoaded: '',
    access: 'unknown',
    view: 'terminal',
    place: { route: { page: 'flow', id: '', day: '' }, filters: noFilters(), lens: 'list', at: NaN, tiles: [], record: '' },
    jobDetail: null,
    since: now,
    missed: 0,
    launchers: [],
    peers: [],
    found: [],
    toasts: [],
    toastLog: [],
    days: [],
    machine: null,
    fleet: [],
    fleetAt: now,
    fleetProblem: '',
    queue: null,
    queueAt: now,
    jobs: [],
    queueProblem: '',
    follow: true,
    unseen: 0,
    expanded: new Set(),
    cap: PAGE_ROWS,
    now,
  };
}

/**
 * @param {State} state
 * @param {Action} action
 * @returns {State}
 */
export function reduce(state, action) {
  switch (action.type) {
    case 'records/loaded': return { ...loaded(state, action.batch, action.position, action.partial), others: action.others ?? 'all' };
    case 'records/streamed': return streamed(state, action.batch);
    case 'records/missed': return { ...state, missed: state.missed + action.count };
    case 'records/shown': return sameRecords(state.records, action.records) ? state : { ...state, records: action.records };
    case 'matches/found': return { ...state, matches: action.matches };
    case 'playback/changed': return { ...state, playback: action.playback };
    case 'replay/began': return begun(state, action.now);
    case 'source/changed':
      return action.source === state.source ? state : { ...state, source: action.source, since: state.now };
    case 'problem/found': return action.problem === state.problem ? state : { ...state, problem: action.problem };
    case 'sessions/loaded': return { ...state, sessions: action.sessions, sessionsLoaded: 'some' };
    case 'sessions/upserted':
      return { ...state, sessions: upserted(state.sessions, action.sessions), sessionsLoaded: state.sessionsLoaded || 'some' };
    case 'sessions/kept': return { ...state, sessions: kept(state.sessions, action.ids), sessionsLoaded: 'all' };
    case 'sessions/removed': return { ...state, sessions: state.sessions.filter(({ id }) => id !== action.id) };
    case 'access/changed': return action.access === state.access ? state : { ...state, access: action.access, jobDetail: judged(state.jobDetail, action.access) };
    case 'launchers/loaded': return { ...state, launchers: action.launchers };
    case 'peers/loaded': return { ...state, peers: action.peers };
    case 'found/loaded': return { ...state, found: action.found };
    case 'view/changed': return action.view === state.view ? state : { ...state, view: action.view };
    case 'toast/raised': return raised(state, { key: action.key, tone: action.tone, text: action.text, at: action.at });
    case 'toast/closed': return { ...state, toasts: state.toasts.filter(({ key }) => key !== action.key) };
    case 'days/loaded': return { ...state, days: action.days };
    case 'machine/loaded': return { ...state, machine: action.machine };
    case 'fleet/loaded': {
      const fleet = withGone(state.fleet, action.fleet, Math.max(0, state.now - state.fleetAt));
      return { ...state, fleet, fleetAt: state.now, fleetProblem: '' };
    }
    case 'fleet/failed': return { ...state, fleetProblem: action.problem };
    case 'queue/loaded': return { ...state, queue: action.queue, jobs: action.jobs, queueAt: state.now, queueProblem: '' };
    case 'queue/failed': return { ...state, queueProblem: action.problem };
    case 'health/loaded':
      return { ...state, machine: { ...(state.machine ?? UNKNOWN_MACHINE), id: action.id, version: action.version } };
    case 'filters/changed':
      return filtered(state, { ...state.filters, ...action.filters });
    case 'place/changed': return moved(state, action.place);
    case 'lens/changed': return { ...state, place: { ...state.place, lens: action.lens } };
    case 'moment/changed': return { ...state, place: { ...state.place, at: action.at } };
    case 'job/seen': return { ...state, jobDetail: action.detail };
    case 'follow/changed':
      return {
        ...state,
        follow: action.follow,
        unseen: action.follow ? 0 : state.unseen,
        cap: action.follow ? PAGE_ROWS : state.cap,
      };
    case 'record/toggled': return toggled(state, action.key);
    case 'older/shown': return { ...state, cap: state.cap + PAGE_ROWS };
    case 'clock/ticked': return { ...state, now: action.now };
  }
}

/** @param {readonly import('./types.js').Entry[]} a @param {readonly import('./types.js').Entry[]} b of one list, from its beginning */
const sameRecords = (a, b) => a.length === b.length && a.at(-1) === b.at(-1);

/**
 * Nothing has been told yet; where the reader is and what is chosen stays.
 *
 * @param {State} state @param {number} now @returns {State}
 */
function begun(state, now) {
  const { place, filters, view, expanded, follow, cap, source, loaded: hasLoaded, partial, others, playback, toasts, toastLog } = state;
  return { ...initialState(state.mode, now), place, filters, view, expanded, follow, cap, source, loaded: hasLoaded, partial, others, playback, toasts, toastLog };
}

/** @param {State} state @param {Filters} filters @returns {State} */
function filtered(state, filters) {
  const place = { ...state.place, filters };
  return { ...state, filters, place, cap: PAGE_ROWS, unseen: 0 };
}

/** @param {State} state @param {import('./types.js').Place} place @returns {State} */
function moved(state, place) {
  const same = FILTER_NAMES.every((name) => place.filters[name] === state.filters[name]);
  const next = same ? { ...state, place: { ...place, filters: state.filters } } : filtered({ ...state, place }, place.filters);
  const job = place.route.page === 'job' ? place.route.id : '';
  return state.jobDetail?.id === job ? next : { ...next, jobDetail: null };
}

/**
 * @param {readonly Session[]} sessions @param {readonly Session[]} changed
 * @returns {Session[]} newest first
 */
function upserted(sessions, changed) {
  const byId = new Map(sessions.map((session) => [session.id, session]));
  for (const session of changed) byId.set(session.id, session);
  return [...byId.values()].sort((a, b) => (b.created || 0) - (a.created || 0) || a.id.localeCompare(b.id));
}

/** @param {readonly Session[]} sessions @param {readonly string[]} ids */
function kept(sessions, ids) {
  const there = new Set(ids);
  return sessions.filter(({ id }) => there.has(id));
}

/**
 * The same thing said again replaces what it said before.
 *
 * @param {State} state @param {import('./types.js').Toast} toast @returns {State}
 */
function raised(state, toast) {
  const others = state.toasts.filter(({ key }) => key !== toast.key);
  return {
    ...state,
    toasts: [...others, toast].slice(-MAX_TOASTS),
    toastLog: [toast, ...state.toastLog].slice(0, MAX_TOAST_LOG),
  };
}

/** Which machines could run a job is for who is signed in. @param {State['jobDetail']} detail @param {State['access']} access */
const judged = (detail, access) => (detail && access === 'none' ? { ...detail, why: '', machines: [] } : detail);

/** @param {State} state @param {string} key */
function toggled(state, key) {
  const expanded = new Set(state.expanded);
  if (!expanded.delete(key)) expanded.add(key);
  // Reading one record and being moved on to the next ones exclude each other.
  return { ...state, expanded, follow: expanded.has(key) ? false : state.follow };
}

/**
 * @param {State} state
 * @returns {{state: () => State, dispatch: (action: Action) => void, subscribe: (listener: () => void) => void}}
 */
export function createStore(state) {
  let current = state;
  /** @type {(() => void)[]} */
  const listeners = [];
  return {
    state: () => current,
    dispatch(action) {
      const next = reduce(current, action);
      if (next === current) return;
      current = next;
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.push(listener);
    },
  };
}
