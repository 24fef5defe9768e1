import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasKey, sizeOf } from '../../assets/viewer/keyset.js';
import { MAX_CHARS, MAX_RECORDS, ROOM } from '../../assets/viewer/records.js';
import { PAGE_ROWS, createStore, initialState, reduce } from '../../assets/viewer/store.js';

const LIVE = { kind: 'live', label: '', src: '' };
const start = () => initialState(LIVE, 0);
const at = (offset, day = '2026-11-22') => `${day}:${String(offset).padStart(12, '0')}`;
const record = (id, extra = {}) => ({ ts: '2026-11-22T01:02:03Z', action: 'note', handle: `h${id}`, record_id: `r${id}`, ...extra });
const load = (state, raws, position = at(0)) => (
  reduce(state, { type: 'records/loaded', batch: raws.map((raw) => ({ raw })), position, partial: false })
);
const stream = (state, ...events) => (
  reduce(state, { type: 'records/streamed', batch: events.map(([offset, raw]) => ({ raw, position: typeof offset === 'number' ? at(offset) : offset })) })
);
const handles = (state) => state.records.map((entry) => entry.handle);

test('loaded records keep the order of the log, streamed ones follow', () => {
  const later = { ts: '2026-11-22T00:00:00Z' };
  const state = stream(load(start(), [record(2), record(1)], at(100)), [200, record(3, later)], [300, record(4)]);
  assert.deepEqual(handles(state), ['h2', 'h1', 'h3', 'h4']);
  assert.equal(state.position, at(300));
  assert.ok(state.loaded);
});

test('a record is there once, however often it is delivered', () => {
  let state = load(start(), [record(1), record(1), record(2)], at(100));
  assert.deepEqual(handles(state), ['h1', 'h2']);
  state = stream(state, [150, record(2)], [200, record(3)], [250, record(3)]);
  assert.deepEqual(handles(state), ['h1', 'h2', 'h3']);
  assert.equal(state.position, at(250));
});

test('a stream that goes back behind the position adds nothing, not even what left memory', () => {
  const state = stream(load(start(), [], at(500)), [400, record(1)], [501, record(2)], [450, record(3)]);
  assert.deepEqual(handles(state), ['h2']);
  assert.equal(state.position, at(501));
});

test('positions order across days', () => {
  const state = stream(load(start(), [], at(900)), [at(10, '2026-11-23'), record(1)], [at(950), record(2)]);
  assert.deepEqual(handles(state), ['h1']);
});

test('equal records without an id are told apart by position, or by their place in the array', () => {
  const plain = { ts: '2026-11-22T01:02:03Z', action: 'note', handle: 'same', level: 'info' };
  let state = load(start(), [plain, plain, plain], at(100));
  assert.equal(state.records.length, 3);
  state = stream(state, [200, plain], [300, plain]);
  assert.equal(state.records.length, 5);
  assert.equal(new Set(state.records.map((entry) => entry.key)).size, 5);
});

test('an event that only repeats the last position is no repetition itself', () => {
  const made = { action: 'stream.error', level: 'warn', handle: 'redis_tail_lines', ts: '2026-11-22T01:02:03Z' };
  const state = stream(load(start(), []), [100, record(1)], [100, made], [100, made]);
  assert.deepEqual(handles(state), ['h1', 'redis_tail_lines']);
});

test('what is no record is counted and moves the position', () => {
  const state = stream(load(start(), []), [100, undefined], [200, 'text'], [300, { _type: 'schema' }]);
  assert.equal(state.unreadable, 3);
  assert.equal(state.position, at(300));
  assert.equal(state.records.length, 0);
});

test('the number of records is bounded, the oldest go, and are counted', () => {
  let state = load(start(), Array.from({ length: MAX_RECORDS }, (_, n) => record(n)), at(1));
  const oldest = state.records[0].key;
  state = reduce(state, { type: 'record/toggled', key: oldest });
  state = stream(state, ...Array.from({ length: 10 }, (_, n) => [n + 2, record(MAX_RECORDS + n)]));
  assert.equal(state.records.length, MAX_RECORDS - ROOM);
  assert.equal(state.dropped, ROOM + 10);
  assert.equal(state.records[0].handle, `h${ROOM + 10}`);
  assert.equal(sizeOf(state.keys), MAX_RECORDS - ROOM);
  assert.ok(!hasKey(state.keys, oldest) && !state.expanded.has(oldest));
  assert.equal(state.chars, state.records.reduce((sum, entry) => sum + entry.size, 0));
});

test('the size of records is bounded, and the newest always stays', () => {
  const big = 'x'.repeat(MAX_CHARS / 4);
  let state = load(start(), [1, 2, 3, 4, 5].map((n) => record(n, { reasoning: big })));
  assert.deepEqual(handles(state), ['h3', 'h4', 'h5']);
  assert.equal(state.dropped, 2);
  state = stream(state, [9, record(9, { reasoning: 'x'.repeat(MAX_CHARS + 1) })]);
  assert.deepEqual(handles(state), ['h9']);
});

test('loading again replaces what was there', () => {
  const state = load(stream(load(start(), [record(1)], at(10)), [20, record(2)]), [record(2), record(3)], at(5));
  assert.deepEqual(handles(state), ['h2', 'h3']);
  assert.equal(state.position, at(5));
  assert.equal(state.dropped, 0);
  assert.deepEqual(handles(stream(state, [7, record(4)])), ['h2', 'h3', 'h4']);
});

test('records that arrive while not following are counted when they match', () => {
  let state = load(start(), [record(1)]);
  state = stream(state, [100, record(2)]);
  assert.equal(state.unseen, 0);
  state = reduce(state, { type: 'follow/changed', follow: false });
  state = reduce(state, { type: 'filters/changed', filters: { action: 'note' } });
  state = stream(state, [200, record(3)], [300, record(4, { action: 'other' })], [400, record(3)]);
  assert.equal(state.unseen, 1);
  state = reduce(state, { type: 'follow/changed', follow: true });
  assert.equal(state.unseen, 0);
});

test('opening a record stops following, closing it does not start it again', () => {
  let state = reduce(load(start(), [record(1)]), { type: 'record/toggled', key: 'id:r1' });
  assert.ok(state.expanded.has('id:r1') && !state.follow);
  state = reduce(state, { type: 'record/toggled', key: 'id:r1' });
  assert.ok(!state.expanded.has('id:r1') && !state.follow);
});

test('filters merge; a new view begins with one page of rows', () => {
  let state = reduce(reduce(start(), { type: 'older/shown' }), { type: 'filters/changed', filters: { q: 'a' } });
  assert.equal(state.cap, PAGE_ROWS);
  state = reduce(state, { type: 'filters/changed', filters: { level: 'warn' } });
  assert.equal(state.filters.q, 'a');
  assert.equal(state.filters.level, 'warn');
});

test('the reducer changes nothing it was given', () => {
  const frozen = (state) => {
    Object.freeze(state);
    Object.freeze(state.records);
    Object.freeze(state.filters);
    return state;
  };
  const before = frozen(load(start(), [record(1)]));
  const keys = before.keys.flatMap((generation) => [...generation]);
  stream(before, [100, record(2)]);
  reduce(before, { type: 'record/toggled', key: 'id:r1' });
  assert.deepEqual(before.keys.flatMap((generation) => [...generation]), keys);
  assert.equal(before.expanded.size, 0);
});

test('the store tells its listeners of changes, and only of changes', () => {
  const store = createStore(start());
  let told = 0;
  store.subscribe(() => { told += 1; });
  store.dispatch({ type: 'source/changed', source: 'live' });
  store.dispatch({ type: 'source/changed', source: 'live' });
  assert.equal(told, 1);
  assert.equal(store.state().source, 'live');
});

test('a fleet that is not known is the last that was known, and the problem', () => {
  const mode = /** @type {const} */ ({ kind: 'live', label: '', src: '' });
  const fleet = [/** @type {any} */ ({ uid: 'u', name: 'm' })];
  const known = reduce(initialState(mode, 0), { type: 'fleet/loaded', fleet });
  const failed = reduce(known, { type: 'fleet/failed', problem: 'away' });
  assert.deepEqual([failed.fleet, failed.fleetProblem], [fleet, 'away']);
  assert.equal(reduce(failed, { type: 'fleet/loaded', fleet: [] }).fleetProblem, '');
});
