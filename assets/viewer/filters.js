/**
 * Which records the timeline shows, and how that is spelled in the address. Pure.
 *
 * @module
 */

import { toJson } from './record.js';

/** @typedef {import('./types.js').Filters} Filters */
/** @typedef {import('./types.js').Entry} Entry */

/** From the least to the most severe; a filter shows its level and the more severe ones. */
export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'];

/** @type {readonly (keyof Filters)[]} */
export const FILTER_NAMES = ['q', 'level', 'category', 'machine', 'role', 'session', 'action'];

/** @returns {Filters} */
export function noFilters() {
  return { q: '', level: '', category: '', machine: '', role: '', session: '', action: '' };
}

/** @param {Filters} filters */
export function anyFilter(filters) {
  return FILTER_NAMES.some((name) => filters[name] !== '');
}

/** @param {Entry} entry @returns {string} its JSON, put together when it is searched for the first time. It stands in the entry: a table of a
 * hundred thousand is made anew as it grows, which holds the page up, and takes the collector longer than a search. */
function haystack(entry) {
  if (entry.haystack === '') {
    const json = toJson(entry.raw);
    // Nobody searches for random digits, and short words would be found in them.
    const id = toJson(entry.raw.record_id);
    const at = id === '' ? -1 : json.indexOf(`"record_id":${id}`);
    const said = at < 0 ? json : json.slice(0, at) + json.slice(at + 12 + id.length);
    entry.haystack = `${said} ${entry.action}`.toLowerCase();
  }
  return entry.haystack;
}

/** @param {string} word */
function asInJson(word) {
  // The haystack is JSON, where a quote or a backslash is written with a backslash.
  return toJson(word).slice(1, -1);
}

/**
 * @param {Filters} filters
 * @returns {(entry: Entry) => boolean}
 */
export function matcher(filters) {
  const words = filters.q.toLowerCase().split(/\s+/).filter(Boolean).map(asInJson);
  const lowest = LEVELS.indexOf(filters.level);
  return (entry) => {
    if (filters.session && entry.session !== filters.session) return false;
    if (filters.category && entry.category !== filters.category) return false;
    if (filters.role && entry.role !== filters.role) return false;
    if (filters.machine && entry.machine !== filters.machine) return false;
    if (filters.action && entry.action !== filters.action) return false;
    if (lowest > 0) {
      const level = LEVELS.indexOf(entry.level);
      // A level this viewer does not know is shown: hiding what may matter is worse.
      if (level >= 0 && level < lowest) return false;
    }
    return words.length === 0 || words.every((word) => haystack(entry).includes(word));
  };
}

/**
 * @param {string} query with or without its `?`
 * @returns {Filters}
 */
export function parseFilters(query) {
  const params = new URLSearchParams(query.replace(/^[?#]/, ''));
  const filters = noFilters();
  for (const name of FILTER_NAMES) filters[name] = params.get(name) ?? '';
  if (!LEVELS.includes(filters.level)) filters.level = '';
  return filters;
}

/**
 * @param {Filters} filters
 * @returns {string} without `?`; empty when nothing is filtered
 */
export function toQuery(filters) {
  const params = new URLSearchParams();
  for (const name of FILTER_NAMES) if (filters[name]) params.set(name, filters[name]);
  return params.toString();
}

/** @typedef {'category' | 'machine' | 'role' | 'session' | 'action'} Facet */

/** Values remembered of a field: of thousands nobody picks one in a menu. */
const MAX_VALUES = 2_000;

/**
 * @param {readonly Entry[]} records
 * @param {Facet} field
 * @param {Set<string>} [found] values of earlier records, to which these are added
 * @returns {Set<string>} the values that occur, in the order in which they came up; of too many those that came last
 */
export function valuesIn(records, field, found = new Set()) {
  for (const entry of records) {
    if (entry[field] !== '') found.add(entry[field]);
    if (found.size > MAX_VALUES) found.delete(/** @type {string} */ (found.values().next().value));
  }
  return found;
}

/** @param {ReadonlySet<string>} values @param {Facet} field @returns {string[]} those of a few kinds sorted, sessions with the newest first */
export const choicesOf = (values, field) => (field === 'session' ? [...values].reverse() : [...values].sort());
