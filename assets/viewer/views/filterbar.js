/**
 * The filters over the timeline, and its follow button. The choices are the values that occur in
 * the records, and the chosen one even when it occurs in none.
 *
 * @module
 */

import { LEVELS, anyFilter, choicesOf, valuesIn } from '../filters.js';
import { shortId } from '../format.js';
import { changeOf } from '../records.js';
import { oneLine } from '../sanitize.js';
import { byId, h, replace, setAttribute } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Filters} Filters */

/** Pages that show it. */
const PAGES = new Set(['flow', 'session']);
/** Typing is not searched at each key. */
const TYPING_MS = 120;
const MAX_CHOICE_TEXT = 60;
/** What can be chosen is offered anew as often; where hundreds of records come in that time, less often. */
const OFFER_MS = 1_000;
const BUSY_OFFER_MS = 5_000;
const BUSY = 200;
/** Of thousands of sessions nobody picks one in a menu. */
const MAX_CHOICES = 200;

/**
 * @typedef {object} FilterActions
 * @property {(filters: Partial<Filters>) => void} filter
 * @property {(follow: boolean) => void} follow
 * @property {() => void} clearFilters
 */

/** @param {FilterActions} actions */
export function createFilterBar(actions) {
  const search = byId('search', HTMLInputElement);
  const clear = byId('clear-filters', HTMLButtonElement);
  const follow = byId('follow', HTMLButtonElement);
  const level = byId('filter-level', HTMLSelectElement);
  const facets = /** @type {const} */ (['category', 'machine', 'role', 'session', 'action'])
    .map((field) => {
      const select = byId(`filter-${field}`, HTMLSelectElement);
      return { field, select, label: select.getAttribute('aria-label') ?? field, offered: /** @type {string[]} */ ([]), found: /** @type {Set<string>} */ (new Set()) };
    });

  /** @type {State | null} */
  let last = null;
  /** @type {State['records']} */
  let offeredOf = [];
  /** By the clock of who looks: that of a replay can stand still. */
  let offeredAt = -Infinity;
  let pause = OFFER_MS;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let offering;

  search.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => actions.filter({ q: search.value.trim() }), TYPING_MS);
  });
  level.addEventListener('change', () => actions.filter({ level: level.value }));
  for (const { field, select } of facets) {
    select.addEventListener('change', () => actions.filter({ [field]: select.value }));
  }
  clear.addEventListener('click', actions.clearFilters);
  follow.addEventListener('click', () => actions.follow(!last?.follow));
  replace(level, h('option', { value: '' }, 'Level'),
    ...LEVELS.slice(1).reverse().map((name) => h('option', { value: name }, name === 'error' ? name : `${name} and above`)));

  /** @param {State} state */
  function renderChoices(state) {
    const fresh = changeOf(offeredOf, state.records)?.fresh;
    pause = fresh && fresh.length > BUSY ? BUSY_OFFER_MS : OFFER_MS;
    offeredOf = state.records;
    for (const facet of facets) {
      const chosen = state.filters[facet.field];
      facet.found = fresh ? valuesIn(fresh, facet.field, facet.found) : valuesIn(state.records, facet.field);
      const values = choicesOf(facet.found, facet.field).slice(0, MAX_CHOICES);
      if (chosen && !values.includes(chosen)) values.push(chosen);
      // A menu that is open must not change under the pointer.
      const open = document.activeElement === facet.select && facet.offered.includes(chosen);
      if (!open && (facet.offered.length === 0 || facet.offered.join('\n') !== ['', ...values].join('\n'))) {
        facet.offered = ['', ...values];
        replace(facet.select, h('option', { value: '' }, facet.label), ...values.map((value) => choice(value, facet.field)));
      }
      facet.select.selectedIndex = facet.offered.indexOf(chosen);
      setAttribute(facet.select, 'data-active', chosen !== '');
    }
  }

  /** @param {State} state */
  function offer(state) {
    clearTimeout(offering);
    offering = undefined;
    offeredAt = performance.now();
    renderChoices(state);
    level.value = state.filters.level;
    setAttribute(level, 'data-active', state.filters.level !== '');
    if (document.activeElement !== search) search.value = state.filters.q;
    clear.hidden = !anyFilter(state.filters);
  }

  return {
    /** @param {State} state */
    render(state) {
      if (!PAGES.has(state.place.route.page)) return;
      const before = last;
      last = state;
      follow.hidden = state.mode.kind !== 'live' && !state.playback;
      if (before?.follow !== state.follow) follow.setAttribute('aria-pressed', String(state.follow));
      if (before?.filters === state.filters && offeredOf === state.records) return;
      const soon = offeredAt + pause - performance.now();
      if (before?.filters === state.filters && soon > 0) {
        offering ??= setTimeout(() => last && offer(last), soon);
        return;
      }
      offer(state);
    },
  };
}

/** @param {string} value @param {string} field */
function choice(value, field) {
  const option = h('option', {}, oneLine(field === 'session' ? shortId(value) : value, MAX_CHOICE_TEXT));
  option.value = value;
  return option;
}
