import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noFilters } from '../../assets/viewer/filters.js';
import { createMatching } from '../../assets/viewer/matching.js';
import { toEntry } from '../../assets/viewer/record.js';

let serial = 0;
/** @param {string} handle */
function entry(handle) {
  serial += 1;
  return toEntry({ action: 'note', handle }, `k${serial}`);
}
const by = (q) => ({ ...noFilters(), q });
const handles = ({ newest }, n = Infinity) => newest(n).map((one) => one.handle);

/** A search whose clock is moved by every look at it, and whose steps are run by the test. */
function searching({ cost = 0 } = {}) {
  const told = [];
  const steps = [];
  let now = 0;
  const matching = createMatching((matches) => told.push(matches), { clock: () => (now += cost), later: (step) => steps.push(step) });
  return { ...matching, told, steps, last: () => told.at(-1), step: () => steps.shift()() };
}

test('without filters all records match, and none is looked at', () => {
  const it = searching({ cost: 100 });
  const records = ['a', 'b', 'c'].map(entry);
  it.update(records, noFilters());
  assert.deepEqual([it.last().total, it.last().complete, handles(it.last(), 2), handles(it.last(), 0)], [3, true, ['b', 'c'], []]);
  assert.equal(it.steps.length, 0);
});

test('a long search gives way to the page, and finds the newest first', () => {
  const it = searching({ cost: 5 });
  const records = Array.from({ length: 1_000 }, (_, n) => entry(n % 2 ? `odd ${n}` : `even ${n}`));
  it.update(records, by('odd'));
  assert.ok(!it.last().complete && it.last().total > 0 && it.last().total < 50, String(it.last().total));
  assert.equal(handles(it.last()).at(-1), 'odd 999');
  let steps = 0;
  for (; it.steps.length > 0; steps += 1) {
    it.step();
    const found = handles(it.last());
    assert.deepEqual(found, Array.from({ length: found.length }, (_, n) => `odd ${1_001 - 2 * (found.length - n)}`), 'in the order of the log');
  }
  assert.ok(steps > 10, String(steps));
  assert.deepEqual([it.last().total, it.last().complete], [500, true]);
});

test('other filters end the search of before', () => {
  const it = searching({ cost: 5 });
  const looked = [];
  const records = Array.from({ length: 500 }, (_, n) => Object.defineProperty(entry(`h${n}`), 'machine', { get: () => looked.push(n) && 'desk' }));
  it.update(records, { ...noFilters(), machine: 'desk' });
  assert.ok(looked.length > 0 && looked.length < 100);
  it.update(records, by('h499'));
  const before = looked.length;
  while (it.steps.length > 0) it.step();
  assert.equal(looked.length, before, 'nobody looks for the machine any more');
  assert.deepEqual([handles(it.last()), it.last().complete], [['h499'], true]);
  assert.ok(it.told.slice(1).every((matches) => handles(matches).length <= 1));
});

test('what comes during and after a search is found, in its place, by itself', () => {
  const it = searching({ cost: 5 });
  let records = Array.from({ length: 200 }, (_, n) => entry(`x${n}`));
  const filters = by('x');
  it.update(records, filters);
  records = [...records, entry('x200'), entry('other'), entry('x201')];
  it.update(records, filters);
  assert.deepEqual(handles(it.last(), 3), ['x199', 'x200', 'x201']);
  while (it.steps.length > 0) it.step();
  assert.deepEqual(handles(it.last()), Array.from({ length: 202 }, (_, n) => `x${n}`));
  const looked = it.last();
  records = [...records, entry('x202')];
  it.update(records, filters);
  assert.equal(looked.total, 202, 'what was told stays what it was');
  assert.equal(handles(looked).length, 202);
  assert.equal(it.last().total, 203);
});

test('what leaves the page is forgotten, found or not yet looked at', () => {
  for (const cost of [0, 5]) {
    const it = searching({ cost });
    let records = Array.from({ length: 300 }, (_, n) => entry(`x${n}`));
    const filters = by('x');
    it.update(records, filters);
    records = [...records.slice(250), entry('x300')];
    it.update(records, filters);
    while (it.steps.length > 0) it.step();
    assert.deepEqual(handles(it.last()), Array.from({ length: 51 }, (_, n) => `x${250 + n}`), String(cost));
  }
});

test('other records are searched anew', () => {
  const it = searching();
  const filters = by('xx');
  it.update(['xx1', 'yy1'].map(entry), filters);
  it.update(['xx2', 'yy2', 'xx3'].map(entry), filters);
  assert.deepEqual(handles(it.last()), ['xx2', 'xx3']);
});
