/**
 * Finds the records that match the filters, the newest first and some at a time: the page goes on meanwhile, and shows
 * what was found so far. Other filters end the search of before. Records that come later are looked at by themselves.
 *
 * Invariant: what was found is in the order of the log, and each record that is known was looked at once.
 *
 * @module
 */

import { anyFilter, matcher } from './filters.js';
import { changeOf } from './records.js';

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Filters} Filters */
/** @typedef {import('./types.js').Matches} Matches */

/** How long the page may wait for a part of a search. */
const SLICE_MS = 8;
/** Records that are looked at between two looks at the clock. */
const STRIDE = 16;

/**
 * @param {readonly Entry[]} older what was found last of those that were there, the newest first
 * @param {readonly Entry[]} newer what came since, the oldest first
 * @param {boolean} complete
 * @returns {Matches}
 */
function matchesOf(older, newer, complete) {
  // Both lists only grow, and this is what they were now.
  const [before, since] = [older.length, newer.length];
  return {
    total: before + since,
    complete,
    newest(n, most = n) {
      const from = Math.max(0, before + since - n);
      const to = Math.min(before + since, from + most);
      const old = older.slice(Math.max(0, before - to), Math.max(0, before - from)).reverse();
      return old.concat(newer.slice(Math.max(0, from - before), Math.max(0, to - before)));
    },
  };
}

/** @param {readonly Entry[]} records all of which match @returns {Matches} */
const allOf = (records) => ({
  total: records.length,
  complete: true,
  newest(n, most = n) {
    const from = Math.max(0, records.length - n);
    return records.slice(from, from + most);
  },
});

/**
 * @param {(matches: Matches) => void} onFound told of everything that is found, at once and later
 * @param {{clock: () => number, later: (step: () => void) => void}} time milliseconds, and what runs a step soon, after the page was drawn
 */
export function createMatching(onFound, { clock, later }) {
  /** @type {readonly Entry[]} */
  let records = [];
  /** @type {Filters | null} */
  let filters = null;
  /** @type {((entry: Entry) => boolean) | null} */
  let matches = null;
  /** @type {Entry[]} */
  let older = [];
  /** @type {Entry[]} */
  let newer = [];
  /** Records before this one are still to be looked at. */
  let left = 0;
  let waiting = false;

  const tell = () => onFound(matches ? matchesOf(older, newer, left === 0) : allOf(records));

  function slice() {
    if (!matches) return;
    const until = clock() + SLICE_MS;
    while (left > 0) {
      for (let stop = Math.max(0, left - STRIDE); left > stop; left -= 1) {
        if (matches(records[left - 1])) older.push(records[left - 1]);
      }
      if (clock() >= until) break;
    }
    if (left > 0 && !waiting) {
      waiting = true;
      later(goOn);
    }
  }

  function goOn() {
    waiting = false;
    if (left === 0) return;
    slice();
    tell();
  }

  /** @param {readonly Entry[]} gone the oldest, in their order */
  function forget(gone) {
    left = Math.max(0, left - gone.length);
    const old = new Set(gone);
    // Lists that were told of are left as they are.
    older = older.filter((entry) => !old.has(entry));
    newer = newer.filter((entry) => !old.has(entry));
  }

  return {
    /** @param {readonly Entry[]} now @param {Filters} by */
    update(now, by) {
      if (now === records && by === filters) return;
      const change = matches && by === filters ? changeOf(records, now) : null;
      if (change && matches) {
        if (change.gone > 0) forget(records.slice(0, change.gone));
        for (const entry of change.fresh) if (matches(entry)) newer.push(entry);
        records = now;
      } else {
        records = now;
        filters = by;
        matches = anyFilter(by) ? matcher(by) : null;
        [older, newer] = [[], []];
        left = matches ? records.length : 0;
        slice();
      }
      tell();
    },
  };
}
