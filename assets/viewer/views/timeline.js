/**
 * The flow timeline: the newest matching records, oldest first, with a title for each local day.
 *
 * Invariant: there is a bounded number of rows. Those in view are drawn first and the others a few at a time; while more
 * comes than anybody reads, there are only those in view, and they are used again for what comes.
 *
 * @module
 */

import { anyFilter } from '../filters.js';
import { count, localDay } from '../format.js';
import { MAX_RECORDS } from '../records.js';
import { byId, h, reconcile, replace, setText } from './dom.js';
import { heedScrolling } from './end.js';
import { emptyText, notLoaded } from './nothing.js';
import { dayRow, fill, rowMaker, setExpanded } from './row.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Entry} Entry */

/** Pages that show it. */
const PAGES = new Set(['flow', 'session']);
/** Records within a moment that are more than anybody reads; how often they are then drawn, and until when. */
const BURST = 15;
const BURST_MS = 200;
const CALM_MS = 1_500;
/** A row is as high as this, or higher. */
const ROW_PX = 28;
/** Rows drawn first where it is not known how many are in view, and those added in a frame. */
const FIRST_ROWS = 30;
const STEP_ROWS = 10;
/** Rows that there are at most, however far back somebody goes; and those added below while somebody reads older ones. */
const MAX_ROWS = 2_000;
const MAX_NEW_ROWS = 100;
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

  const makeRow = rowMaker();
  /** @type {Map<string, HTMLLIElement>} */
  let rows = new Map();
  /** @type {State | null} */
  let last = null;
  /** What was drawn last. @type {State | null} */
  let drawn = null;
  /** Rows that may be there by now. */
  let room = FIRST_ROWS;
  /** The record of the address, once it has been shown. */
  let linked = '';
  let filling = false;
  let burst = { since: 0, records: 0, until: 0, drawnAt: 0 };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pending;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let calming;
  let olderShown = '';
  /** @type {readonly Entry[]} */
  let drawnOf = [];
  /** Rows in view, when the height is known. */
  let inView = FIRST_ROWS;

  unseen.addEventListener('click', () => actions.follow(true));
  list.addEventListener('click', (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const { key, session } = target?.closest('li')?.dataset ?? {};
    if (!target?.closest('.record-line') || key === undefined) return;
    if (session && target.closest('.record-session')) actions.openSession(session);
    // A click that ends a selection of text is no wish to open the record.
    else if (target.matches('.record-toggle') || getSelection()?.isCollapsed !== false) actions.toggle(key);
  });
  heedScrolling(scroller, () => last, actions.follow);

  // Also because rows are as high as they are only once they were in view. To ask for a height while drawing would have the
  // page laid out twice; here it has been.
  const sizes = new ResizeObserver(() => {
    inView = Math.ceil(scroller.clientHeight / ROW_PX) + 2;
    if (last?.follow) scroller.scrollTop = scroller.scrollHeight;
  });
  sizes.observe(list);
  sizes.observe(scroller);

  /** @param {State} state */
  function showLinked({ place: { record }, records, expanded }) {
    if (record === '' || record === linked || !records.some(({ key }) => key === record)) return;
    linked = record;
    if (!expanded.has(record)) return queueMicrotask(() => actions.toggle(record));
  }

  /** @param {State} state @returns {{shown: Entry[], cut: boolean}} the records to be drawn, and whether newer ones are not among them */
  function window({ matches, place, cap, follow, unseen: come }) {
    const wanted = Math.min(cap, matches.total);
    if (place.record !== '') {
      const all = matches.newest(matches.total);
      const at = all.findIndex(({ key }) => key === place.record);
      if (at >= 0) {
        const from = Math.max(0, Math.min(all.length - cap, at - BEFORE_LINKED));
        return { shown: all.slice(from, from + MAX_ROWS), cut: from + MAX_ROWS < all.length };
      }
    }
    if (follow) return { shown: matches.newest(Math.min(wanted, room, MAX_ROWS)), cut: false };
    const from = Math.min(wanted, room);
    const most = Math.min(MAX_ROWS, from - come + Math.min(come, MAX_NEW_ROWS));
    return { shown: matches.newest(from, most), cut: from > most };
  }

  /** @param {readonly Entry[]} shown @param {boolean} again Rows may be used for other records than before. */
  function rowsOf(shown, again) {
    /** @type {Map<string, HTMLLIElement>} */
    const next = new Map();
    const free = again ? [...rows.values()].filter(({ className }) => className === 'record') : [];
    const isKept = shown.some(({ key }) => rows.has(key));
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
      let element = rows.get(entry.key);
      if (!element) {
        element = (isKept ? undefined : free.shift()) ?? makeRow();
        fill(element, entry);
      }
      next.set(entry.key, element);
    }
    return next;
  }

  /** @param {State} state @param {boolean} again */
  function renderRows(state, again) {
    const { shown, cut } = window(state);
    unseen.dataset.cut = String(cut);
    const before = rows;
    const same = drawn?.expanded === state.expanded && drawn.place === state.place && shown.length === drawnOf.length
      && shown[0] === drawnOf[0] && shown.at(-1) === drawnOf.at(-1);
    drawnOf = shown;
    if (!same) fillRows(state, shown, before, again);
    const wanted = Math.min(state.cap, state.matches.total);
    if (!bursting() && state.matches.complete && room < (state.follow ? Math.min(wanted, MAX_ROWS) : wanted)) fillUp();
  }

  /** @param {State} state @param {readonly Entry[]} shown @param {Map<string, HTMLLIElement>} before @param {boolean} again */
  function fillRows(state, shown, before, again) {
    rows = rowsOf(shown, again);
    for (const entry of shown) {
      const element = rows.get(entry.key);
      if (!element || (before.has(entry.key) && drawn?.expanded === state.expanded && drawn.place === state.place)) continue;
      element.toggleAttribute('data-linked', entry.key === state.place.record);
      setExpanded(element, entry, state.expanded.has(entry.key));
    }
    reconcile(list, [...rows.values()]);
  }

  /** The rows out of view are added in later frames. */
  function fillUp() {
    if (filling) return;
    filling = true;
    requestAnimationFrame(() => {
      filling = false;
      room += STEP_ROWS;
      if (last && PAGES.has(last.place.route.page)) draw(last);
    });
  }

  /** @param {State} state */
  function renderOlder(state) {
    const hidden = state.matches.total - state.cap;
    const filtered = anyFilter(state.filters);
    const gone = notLoaded(state);
    older.hidden = hidden <= 0 && gone === '' && state.matches.complete;
    olderButton.hidden = hidden <= 0;
    setText(olderButton, `Show older (${count(hidden, 'more', 'more')})`);
    const more = state.partial && state.dropped === 0 && state.records.length < MAX_RECORDS / 2;
    const now = JSON.stringify([state.matches.complete, gone, filtered, more]);
    if (now === olderShown) return;
    olderShown = now;
    const note = h('span', {}, gone, gone !== '' && filtered && ' Filters look only at what is loaded.');
    replace(older, olderButton, !state.matches.complete && 'Searching…', gone !== '' && note, more && loadButton);
  }

  /** @param {State} state */
  function renderEmpty(state) {
    empty.hidden = state.matches.total > 0;
    if (empty.hidden) return;
    replace(empty, ...emptyText(state, actions));
  }

  /** @param {State} state */
  function renderUnseen(state) {
    const cut = unseen.dataset.cut === 'true';
    unseen.hidden = state.follow || (state.unseen === 0 && !cut);
    setText(unseen, state.unseen > 0 ? `${count(state.unseen, 'new', 'new')} ↓` : 'Newest ↓');
  }

  /** What somebody opened at the edge is moved into view. @param {State | null} before @param {State} state */
  function showOpened(before, { expanded }) {
    if (!before || before.expanded === expanded) return;
    const [opened] = [...expanded].filter((key) => !before.expanded.has(key));
    rows.get(opened)?.querySelector('.record-detail')?.scrollIntoView({ block: 'nearest' });
  }

  const busy = () => performance.now() < burst.until;
  /** More comes than anybody reads, and somebody sees the newest. */
  const bursting = () => busy() && last?.follow === true;

  /** Draws what is different from what was drawn last. @param {State} state */
  function draw(state) {
    clearTimeout(pending);
    pending = undefined;
    const before = drawn;
    burst.drawnAt = performance.now();
    if (bursting()) {
      room = inView;
      // The rows out of view come back when it is calm.
      clearTimeout(calming);
      calming = setTimeout(() => last && draw(last), CALM_MS);
    } else if (before?.filters !== state.filters) room = inView;
    const first = state.follow ? null : list.querySelector('.record');
    const top = first?.getBoundingClientRect().top ?? 0;
    // What has the focus, or is selected, stays what it is.
    renderRows(state, bursting() && !list.contains(document.activeElement) && getSelection()?.isCollapsed !== false);
    renderOlder(state);
    renderEmpty(state);
    drawn = state;
    // Older rows appear above what is being read, which must stay where it is.
    if (first?.isConnected && first !== list.querySelector('.record')) scroller.scrollTop += first.getBoundingClientRect().top - top;
    renderUnseen(state);
    showLinked(state);
    showOpened(before, state);
    if (before && state.expanded.has(linked) && !before.expanded.has(linked)) rows.get(linked)?.scrollIntoView({ block: 'center' });
    // The first rows change the list's size, which is seen once they are laid out: to ask here would have that done twice.
    if (state.follow && before && !before.follow) scroller.scrollTop = scroller.scrollHeight;
  }

  return {
    /** @param {State} state */
    render(state) {
      if (!PAGES.has(state.place.route.page)) return;
      const before = last;
      last = state;
      const now = performance.now();
      if (before && !state.follow) room += Math.max(0, state.unseen - before.unseen);
      if (before && before.filters === state.filters) {
        if (now - burst.since > BURST_MS) burst = { ...burst, since: now, records: 0 };
        // A search finds records, and none of them has just come.
        if (state.matches.complete && before.matches.complete) burst.records += Math.max(0, state.matches.total - before.matches.total);
        if (burst.records > BURST) burst.until = now + CALM_MS;
      }
      const soon = burst.drawnAt + BURST_MS - now;
      // What is found first is shown at once, the rest as often as what comes.
      const searching = !state.matches.complete && before?.filters === state.filters && before.matches.total > 0;
      if (!(busy() || searching) || soon <= 0) draw(state);
      else pending ??= setTimeout(() => last && draw(last), soon);
    },
  };
}
