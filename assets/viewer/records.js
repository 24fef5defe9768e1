/**
 * How records come into the state: in the order of the log, each once, and no more of them than are kept. Pure.
 *
 * @module
 */

import { matcher } from './filters.js';
import { hasKey, withKeys, withoutOldest } from './keyset.js';
import { isRecord, keyOf, toEntry } from './record.js';

/** @typedef {import('./types.js').State} State */
/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Incoming} Incoming */

/** Newest records kept in memory. */
export const MAX_RECORDS = 100_000;
/** Newest records loaded before all others: what is seen at once. */
export const SEEN_RECORDS = 100;
/** Newest records loaded by themselves. */
export const FIRST_RECORDS = 2_000;
/** Characters of JSON kept in memory: records with a 256 KiB reasoning each would end the tab. */
export const MAX_CHARS = 48 * 1024 * 1024;
/** Records by which there are fewer after some were dropped. */
export const ROOM = MAX_RECORDS / 10;

/**
 * What is different in a later list of records, where the oldest have gone and others have come.
 *
 * @param {readonly Entry[]} before @param {readonly Entry[]} now
 * @returns {{gone: number, fresh: Entry[]} | null} null where they are others
 */
export function changeOf(before, now) {
  if (before.length === 0 || now.length === 0) return null;
  const gone = before.indexOf(now[0]);
  const kept = before.length - gone;
  if (gone < 0 || kept > now.length || before[before.length - 1] !== now[kept - 1]) return null;
  return { gone, fresh: now.slice(kept) };
}

/**
 * An array has no positions, so records without an id that are equal in all that identifies them
 * are told apart by their place among each other: they did happen more than once.
 *
 * @param {State} state @param {Incoming[]} batch @param {string} position @param {boolean} partial
 */
export function loaded(state, batch, position, partial) {
  /** @type {Map<string, number>} */
  const times = new Map();
  const records = [];
  for (const { raw, size } of batch) {
    if (!isRecord(raw)) continue;
    const plain = keyOf(raw, '');
    const nth = (times.get(plain) ?? 0) + 1;
    times.set(plain, nth);
    if (nth > 1 && plain.startsWith('id:')) continue;
    const key = nth > 1 ? `${plain}#${nth}` : plain;
    records.push(toEntry(raw, key, size));
  }
  const fresh = { ...state, keys: [], records: [], chars: 0, dropped: 0 };
  return { ...bounded(fresh, records), position, partial, loaded: true, problem: '', unseen: 0 };
}

/** @param {State} state @param {Incoming[]} batch */
export function streamed(state, batch) {
  const batched = new Set();
  const fresh = [];
  let { position, unreadable } = state;
  for (const { raw, size, position: at = '' } of batch) {
    if (at !== '' && at < position) continue;
    // An event without an id of its own carries the one before it: it has no position.
    const own = at > position ? at : '';
    position = own || position;
    if (!isRecord(raw)) {
      unreadable += 1;
      continue;
    }
    const key = keyOf(raw, own);
    if (batched.has(key) || hasKey(state.keys, key)) continue;
    batched.add(key);
    fresh.push(toEntry(raw, key, size));
  }
  if (fresh.length === 0) return { ...state, position, unreadable };
  const unseen = state.follow ? 0 : fresh.filter(matcher(state.filters)).length;
  // Who reads older records keeps what is read: what comes is added to it.
  return { ...bounded(state, fresh), position, unreadable, unseen: state.follow ? 0 : state.unseen + unseen, cap: state.cap + unseen };
}

/**
 * Appends, then drops the oldest beyond the bounds, some more than it must: not every batch is to begin anew for all.
 *
 * @param {State} state @param {Entry[]} fresh
 * @returns {State}
 */
function bounded(state, fresh) {
  const all = state.records.concat(fresh);
  let chars = state.chars;
  for (const entry of fresh) chars += entry.size;
  let drop = 0;
  const keys = withKeys(state.keys, fresh.map(({ key }) => key));
  if (all.length <= MAX_RECORDS && chars <= MAX_CHARS) {
    return { ...state, records: all, keys, chars };
  }
  const expanded = new Set(state.expanded);
  while (all.length - drop > MAX_RECORDS - ROOM || (chars > MAX_CHARS - MAX_CHARS / 10 && all.length - drop > 1)) {
    chars -= all[drop].size;
    expanded.delete(all[drop].key);
    drop += 1;
  }
  const records = all.slice(drop);
  return { ...state, records, keys: withoutOldest(keys, drop), chars, expanded, dropped: state.dropped + drop };
}
