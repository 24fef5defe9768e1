/**
 * The flow timeline: the newest matching records, oldest first, with a title for each local day.
 * Renders a bounded number of rows and, from one state to the next, only what is new.
 *
 * @module
 */

import { FIRST_DISPATCH } from '../commands.js';
import { anyFilter, matcher } from '../filters.js';
import { count, localDay } from '../format.js';
import { MAX_RECORDS, cameTo } from '../records.js';
import { byId, commandLine, h, reconcile, replace, setText } from './dom.js';
import { dayRow, row, setExpanded } from './row.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Entry} Entry */

/** Distance from the end, in pixels, that still counts as being there. */
/** Pages that show it. */
const PAGES = new Set(['flow', 'session']);
const AT_END_PX = 24;
/** Records of one moment that are more than anybody reads; the rows that are then shown, how often, and until when. */
const BURST = 15;
const BURST_ROWS = 60;
const BURST_MS = 150;
const CALM_MS = 1_500;
/** Rows above the one that a link points to. */
const BEFORE_LINKED = 20;

/**
 * @typedef {object} TimelineActions
 * @property {(key: string) => void} toggle
 * @property {(session: string) => void} openSession
 * @property {(follow: boolean) => void} follow
 * @property {() => void} showOlder
 * @property {() => void} loadDay
 * @property {() => void} clearFilters
 */

/** @param {TimelineActions} actions */
export function createTimeline(actions) {
  const scroller = byId('timeline', HTMLDivElement);
  const list = byId('records', HTMLOListElement);
  const older = byId('older', HTMLDivElement);
  const empty = byId('empty', HTMLDivElement);
  const unseen = byId('new-records', HTMLButtonElement);
  const olderButton = h('button', { type: 'button', id: 'show-older', on: { click: actions.showOlder } });

  const loadButton = h('button', { type: 'button', id: 'load-day', on: { click: actions.loadDay } }, 'Load the whole day');

  /** @type {Map<string, HTMLLIElement>} */
  let rows = new Map();
  /** @type {State | null} */
  let last = null;
  /** @type {Entry[]} */
  let matching = [];

  unseen.addEventListener('click', () => actions.follow(true));
  /** The record of the address, once it has been shown. */
  let linked = '';

  /** @param {State} state */
  function showLinked({ place: { record }, records, expanded }) {
    if (record === '' || record === linked || !records.some(({ key }) => key === record)) return;
    linked = record;
    if (!expanded.has(record)) return queueMicrotask(() => actions.toggle(record));
  }

  let bursting = false;
  let burstAt = -Infinity;
  let drawnAt = 0;
  /** @type {State | null} */
  let shownState = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pending;
  let lastTop = 0;
  let lastHeight = 0;
  scroller.addEventListener('scroll', () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller;
    // A change of the height moves the content without anybody having scrolled.
    if (last && scrollHeight === lastHeight) {
      const atEnd = scrollHeight - scrollTop - clientHeight < AT_END_PX;
      if (last.follow && scrollTop < lastTop && !atEnd) actions.follow(false);
      if (!last.follow && scrollTop > lastTop && atEnd) actions.follow(true);
    }
    lastTop = scrollTop;
    lastHeight = scrollHeight;
  }, { passive: true });

  // Rows are as high as they are only once they were in view.
  new ResizeObserver(() => {
    if (last?.follow) scroller.scrollTop = scroller.scrollHeight;
  }).observe(list);

  /** @param {State} state @param {boolean} toggled @param {boolean} burst */
  function renderRows(state, toggled, burst) {
    const at = state.place.record === '' ? -1 : matching.findIndex(({ key }) => key === state.place.record);
    const shown = matching.slice(at < 0 ? -(burst ? BURST_ROWS : state.cap) : Math.max(0, Math.min(matching.length - state.cap, at - BEFORE_LINKED)));
    /** @type {Map<string, HTMLLIElement>} */
    const next = new Map();
    let day = '';
    for (const entry of shown) {
      const title = localDay(entry.at);
      if (title !== day) {
        day = title;
        const key = `day:${title}`;
        // Clocks of machines differ, so a day can come up again; its rows then need distinct keys.
        const unique = next.has(key) ? `${key}:${entry.key}` : key;
        next.set(unique, rows.get(unique) ?? dayRow(unique, title));
      }
      const known = rows.get(entry.key);
      const element = known ?? row(entry, actions);
      if (!known || toggled) {
        element.toggleAttribute('data-linked', entry.key === state.place.record);
        setExpanded(element, entry, state.expanded.has(entry.key));
      }
      next.set(entry.key, element);
    }
    rows = next;
    reconcile(list, [...next.values()]);
  }

  /** @param {State} state */
  function renderOlder(state) {
    const hidden = matching.length - state.cap;
    const filtered = anyFilter(state.filters);
    const gone = notLoaded(state);
    older.hidden = hidden <= 0 && gone === '';
    olderButton.hidden = hidden <= 0;
    setText(olderButton, `Show older (${count(hidden, 'more', 'more')})`);
    const note = h('span', {}, gone, gone !== '' && filtered && ' Filters look only at what is loaded.');
    const more = state.partial && state.dropped === 0 && state.records.length < MAX_RECORDS / 2;
    replace(older, olderButton, gone !== '' && note, more && loadButton);
  }

  /** @param {State} state */
  function renderEmpty(state) {
    empty.hidden = matching.length > 0;
    if (empty.hidden) return;
    replace(empty, ...emptyText(state, actions));
  }

  /** @param {State} state */
  function renderUnseen(state) {
    unseen.hidden = state.follow || state.unseen === 0;
    setText(unseen, `${count(state.unseen, 'new', 'new')} ↓`);
  }

  /** Draws what is different from what was drawn last. @param {State} state */
  function draw(state) {
    clearTimeout(pending);
    pending = undefined;
    const before = shownState;
    const burst = Math.abs(state.now - burstAt) < CALM_MS;
    shownState = state;
    drawnAt = performance.now();
    const changed = !before || before.records !== state.records || before.filters !== state.filters
      || before.unreadable !== state.unreadable;
    const toggled = before?.expanded !== state.expanded || before?.place !== state.place;
    if (changed || toggled || before.cap !== state.cap || burst !== bursting) {
      bursting = burst;
      const fromEnd = scroller.scrollHeight - scroller.scrollTop;
      renderRows(state, toggled, burst && state.follow);
      renderOlder(state);
      // Older rows appear above what is being read, which must stay where it is.
      if (before && state.cap > before.cap) scroller.scrollTop = scroller.scrollHeight - fromEnd;
    }
    if (changed || before?.loaded !== state.loaded || before?.problem !== state.problem
      || before?.source !== state.source) renderEmpty(state);
    renderUnseen(state);
    showLinked(state);
    if (before && toggled && state.expanded.has(linked) && !before.expanded.has(linked)) rows.get(linked)?.scrollIntoView({ block: 'center' });
    if (state.follow) scroller.scrollTop = scroller.scrollHeight;
  }

  return {
    /** @param {State} state */
    render(state) {
      if (!PAGES.has(state.place.route.page)) return;
      const before = last;
      last = state;
      const had = matching.length;
      if (before?.records !== state.records || before.filters !== state.filters) matching = matched(before, state, matching);
      // More comes than anybody reads: what is in view is shown, some times a second, and the rest when it is calm.
      if (before?.filters === state.filters && matching.length - had > BURST) burstAt = state.now;
      const soon = drawnAt + BURST_MS - performance.now();
      if (Math.abs(state.now - burstAt) >= CALM_MS || soon <= 0) draw(state);
      else pending ??= setTimeout(() => last && draw(last), soon);
    },
  };
}

/**
 * Where records only came to those of before, only they are looked at.
 *
 * @param {State | null} before @param {State} state @param {Entry[]} found of before
 * @returns {Entry[]}
 */
function matched(before, { records, filters }, found) {
  const fresh = before?.filters === filters ? cameTo(before.records, records) : null;
  return fresh ? found.concat(fresh.filter(matcher(filters))) : records.filter(matcher(filters));
}

/** @param {State} state @returns {string} what this page does not have, or nothing */
function notLoaded(state) {
  return [unreadable(state), left(state)].filter(Boolean).join(' ');
}

/** @param {State} state */
const unreadable = (state) => (state.unreadable > 0 ? `${count(state.unreadable, 'event')} could not be read.` : '');

/** @param {State} state */
function left(state) {
  if (state.dropped > 0) return `${count(state.dropped, 'older record')} left this page; the day's file has them.`;
  return state.partial ? "Older records are not loaded; the day's file has them." : '';
}

/** @param {State} state @param {TimelineActions} actions @returns {Node[]} */
function emptyText(state, actions) {
  if (state.problem !== '') {
    return [h('h2', {}, 'The records could not be read'), h('p', {}, state.problem), hint('See what is wrong:'), commandLine('darkmux doctor')];
  }
  if (!state.loaded) {
    return state.source === 'no daemon'
      ? [h('h2', {}, 'No daemon answers'), hint('Start it:'), commandLine('darkmux serve')]
      : [h('p', {}, 'Reading the flow…')];
  }
  if (state.records.length > 0) {
    return [
      h('h2', {}, 'No record matches'),
      h('p', {}, `${count(state.records.length, 'record')} loaded, none with these filters.`),
      h('button', { type: 'button', on: { click: actions.clearFilters } }, 'Clear filters'),
    ];
  }
  if (state.mode.kind !== 'live') return [h('h2', {}, 'No records'), h('p', {}, `There is nothing in ${state.mode.label}.`)];
  return [h('h2', {}, 'Nothing has happened yet'), hint('Dispatch a role and watch it here:'), commandLine(FIRST_DISPATCH)];
}

/** @param {string} text */
const hint = (text) => h('p', {}, text);
