/**
 * How records come into the state: in the order of the log, each once, and no more of them than are kept. Pure.
 *
 * @module
 */

import { matcher } from './filters.js';
import { isRecord, keyOf, toEntry } from './record.js';

/** @typedef {import('./types.js').State} State */
/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Incoming} Incoming */

/** Newest records kept in memory. */
export const MAX_RECORDS = 5_000;
/** Characters of JSON kept in memory: 5,000 records with a 256 KiB reasoning each would end the tab. */
export const MAX_CHARS = 48 * 1024 * 1024;
/**
 * An array has no positions, so records without an id that are equal in all that identifies them
 * are told apart by their place among each other: they did happen more than once.
 *
 * @param {State} state @param {Incoming[]} batch @param {string} position @param {boolean} partial
 */
export function loaded(state, batch, position, partial) {
  /** @type {Map<string, number>} */
  const times = new Map();
  const keys = new Set();
  const records = [];
  for (const { raw } of batch) {
    if (!isRecord(raw)) continue;
    const plain = keyOf(raw, '');
    const nth = (times.get(plain) ?? 0) + 1;
    times.set(plain, nth);
    if (nth > 1 && plain.startsWith('id:')) continue;
    const key = nth > 1 ? `${plain}#${nth}` : plain;
    keys.add(key);
    records.push(toEntry(raw, key));
  }
  const fresh = { ...state, keys: new Set(), records: [], chars: 0, dropped: 0 };
  return { ...bounded(fresh, records, keys), position, partial, loaded: true, problem: '', unseen: 0 };
}

/** @param {State} state @param {Incoming[]} batch */
export function streamed(state, batch) {
  const keys = new Set(state.keys);
  const fresh = [];
  let { position, unreadable } = state;
  for (const { raw, position: at = '' } of batch) {
    if (at !== '' && at < position) continue;
    // An event without an id of its own carries the one before it: it has no position.
    const own = at > position ? at : '';
    position = own || position;
    if (!isRecord(raw)) {
      unreadable += 1;
      continue;
    }
    const key = keyOf(raw, own);
    if (keys.has(key)) continue;
    keys.add(key);
    fresh.push(toEntry(raw, key));
  }
  const unseen = state.follow ? 0 : state.unseen + fresh.filter(matcher(state.filters)).length;
  if (fresh.length === 0) return { ...state, position, unreadable };
  return { ...bounded(state, fresh, keys), position, unreadable, unseen };
}

/**
 * Appends, then drops the oldest beyond the bounds.
 *
 * @param {State} state @param {Entry[]} fresh @param {Set<string>} keys of both, changed here
 * @returns {State}
 */
function bounded(state, fresh, keys) {
  const all = state.records.concat(fresh);
  let chars = state.chars;
  for (const entry of fresh) chars += entry.size;
  let drop = 0;
  const expanded = new Set(state.expanded);
  while (all.length - drop > MAX_RECORDS || (chars > MAX_CHARS && all.length - drop > 1)) {
    chars -= all[drop].size;
    keys.delete(all[drop].key);
    expanded.delete(all[drop].key);
    drop += 1;
  }
  return { ...state, records: drop ? all.slice(drop) : all, keys, chars, expanded, dropped: state.dropped + drop };
}
