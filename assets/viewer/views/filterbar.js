/**
 * The filters over the timeline, and its follow button. The choices are the values that occur in
 * the records, and the chosen one even when it occurs in none.
 *
 * @module
 */

import { LEVELS, anyFilter, valuesOf } from '../filters.js';
import { shortId } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, h, replace, setAttribute } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Filters} Filters */

/** Typing is not searched at each key. */
const TYPING_MS = 120;
const MAX_CHOICE = 60;

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
  const facets = /** @type {const} */ (['category', 'machine', 'session', 'action'])
    .map((field) => {
      const select = byId(`filter-${field}`, HTMLSelectElement);
      return { field, select, label: select.getAttribute('aria-label') ?? field, offered: '' };
    });

  /** @type {State | null} */
  let last = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

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
    for (const facet of facets) {
      const chosen = state.filters[facet.field];
      const values = valuesOf(state.records, facet.field);
      if (chosen && !values.includes(chosen)) values.push(chosen);
      const offered = JSON.stringify(values);
      if (offered !== facet.offered) {
        facet.offered = offered;
        replace(facet.select, h('option', { value: '' }, facet.label), ...values.map((value) => choice(value, facet.field)));
      }
      // Verbatim, not through the attribute: a hostile value must still compare equal to itself.
      facet.select.selectedIndex = chosen ? values.indexOf(chosen) + 1 : 0;
      setAttribute(facet.select, 'data-active', chosen !== '');
    }
  }

  return {
    /** @param {State} state */
    render(state) {
      const before = last;
      last = state;
      follow.hidden = state.mode.kind !== 'live';
      if (before?.follow !== state.follow) follow.setAttribute('aria-pressed', String(state.follow));
      if (before && before.records === state.records && before.filters === state.filters) return;
      renderChoices(state);
      level.value = state.filters.level;
      setAttribute(level, 'data-active', state.filters.level !== '');
      if (document.activeElement !== search) search.value = state.filters.q;
      clear.hidden = !anyFilter(state.filters);
    },
  };
}

/** @param {string} value @param {string} field */
function choice(value, field) {
  const option = h('option', {}, oneLine(field === 'session' ? shortId(value) : value, MAX_CHOICE));
  option.value = value;
  return option;
}
