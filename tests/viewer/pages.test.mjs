import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withGone } from '../../assets/viewer/gone.js';
import { WEEKS, weekday, year } from '../../assets/viewer/heat.js';
import { hasKey, sizeOf, withKeys, withoutOldest } from '../../assets/viewer/keyset.js';
import { offers, ranked } from '../../assets/viewer/palette.js';
import { toEntry } from '../../assets/viewer/record.js';
import { changeOf } from '../../assets/viewer/records.js';
import { attemptsOf, countAt, kept, ofAttempt, playedTo, rowsFor, toWrite } from '../../assets/viewer/replay.js';
import { busyLines, lanesOf, ticks } from '../../assets/viewer/spans.js';
import { initialState } from '../../assets/viewer/store.js';
import { layout, pulseOf, sparkline } from '../../assets/viewer/topology.js';

let n = 0;
const entry = (seconds, action, more = {}) => toEntry({ ts: new Date(Date.UTC(2026, 10, 22, 12, 0, seconds)).toISOString(), action, session_id: 's1', machine_id: 'studio', handle: 'coder', ...more }, `k${n += 1}`);
const T = Date.UTC(2026, 10, 22, 12);

test('a start and an end are one span, on the machine where it ran', () => {
  const [lane, ...more] = lanesOf([
    entry(0, 'dispatch route', { machine_id: 'laptop' }), entry(1, 'dispatch start', { tier: 'frontier' }), entry(2, 'dispatch.turn'), entry(5, 'dispatch complete', { payload: { exit_code: 3 } }),
  ]);
  assert.deepEqual(more, []);
  assert.equal(lane.machine, 'studio');
  assert.deepEqual(lane.spans, [{ start: T + 1000, end: T + 5000, how: 'bad', role: 'coder', tier: 'frontier', cut: false }]);
  assert.deepEqual(lane.marks.map(({ action }) => action), ['dispatch route', 'dispatch.turn']);
});

test('an end without a start was cut, a start without an end runs, an end told twice is one', () => {
  const cut = lanesOf([entry(2, 'dispatch.turn'), entry(4, 'dispatch complete'), entry(5, 'session end')])[0].spans;
  assert.deepEqual(cut.map(({ start, end, cut: is, how }) => [start, end, is, how]), [[T + 2000, T + 5000, true, 'good']]);
  const runs = lanesOf([entry(1, 'dispatch start'), entry(1, 'dispatch complete'), entry(9, 'dispatch start')])[0].spans;
  assert.deepEqual(runs.map(({ how }) => how), ['good', 'running']);
  assert.deepEqual(lanesOf([entry(1, 'x', { ts: 'never' })]), []);
});

test('a dispatch that another machine goes on with ends there, whatever the first one tells later', () => {
  const lost = { machine_id: 'laptop' };
  const [{ spans, machine }] = lanesOf([
    entry(1, 'dispatch start', lost), entry(21, 'dispatch start'), entry(30, 'dispatch complete'), entry(50, 'dispatch error', lost),
  ]);
  assert.equal(machine, 'studio');
  assert.deepEqual(spans.map(({ start, end, how }) => [start - T, end - T, how]), [[1_000, 21_000, 'bad'], [21_000, 30_000, 'good']]);
});

test('how busy a machine was is counted from its dispatches', () => {
  const other = { session_id: 's2' };
  const lines = busyLines([entry(1, 'dispatch start'), entry(2, 'dispatch start', other), entry(3, 'dispatch complete'), entry(4, 'note')], T);
  assert.deepEqual([...lines.keys()], ['studio']);
  assert.deepEqual(lines.get('studio').filter((_, at) => at % 2 === 0).map(({ at, busy }) => [at - T, busy]), [[0, 0], [1000, 1], [2000, 2], [3000, 1]]);
  assert.equal(sparkline([{ at: 0, busy: 0 }, { at: 50, busy: 2 }], 0, 100, 2), 'M0.0 19.0 L50.0 2.0 L100.0 2.0');
});

test('ticks are round moments, and few', () => {
  assert.deepEqual(ticks(T, T + 60_000).map((at) => (at - T) / 1000), [0, 10, 20, 30, 40, 50, 60]);
  for (const span of [10, 5_000, 3_600_000, 86_400_000, 1e12]) assert.ok(ticks(T, T + span).length <= 20, String(span));
});

test('a year ends with the week of today, and busier days are darker', () => {
  const days = [['2026-11-22', 100], ['2026-11-21', 1], ['2026-11-20', 10], ['2025-11-30', 50]].map(([date, records]) => ({ date, records, dispatches: 0, bad: 0 }));
  const weeks = year(days, '2026-11-22');
  assert.equal(weeks.length, WEEKS);
  assert.equal(weekday('2026-11-22'), 6);
  const levels = weeks.at(-1).map((cell) => cell?.level);
  assert.deepEqual(levels.slice(4), [2, 1, 4]);
  assert.equal(year(days, '2026-11-18').at(-1)[6], null, 'days to come are no days');
  const others = { date: '2026-11-19', records: 0, dispatches: 0, bad: 0, fleet: true };
  assert.equal(year([...days, others], '2026-11-22').at(-1)?.[3]?.level, 1, 'a day of other machines looks like one without records');
});

test('machines that are gone stay, and a name that is alive again replaces them', () => {
  const machine = (name, uid = name) => ({ uid, name, age: 0, busy: 1, gone: false });
  const gone = withGone([machine('a'), machine('b')], [machine('a')], 5_000);
  assert.deepEqual(gone.map(({ name, gone: is, busy, age }) => [name, is, busy, age]), [['a', false, 1, 0], ['b', true, 0, 5_000]]);
  assert.deepEqual(withGone(gone, [machine('a'), machine('b', 'b2')], 5_000).map(({ uid, gone: is }) => [uid, is]), [['a', false], ['b2', false]]);
});

test('the picture has every machine once, this one first, whatever the width', () => {
  const fleet = Array.from({ length: 30 }, (_, at) => ({ name: `m${String(at).padStart(2, '0')}` }));
  for (const narrow of [true, false]) {
    const { nodes, width, height, hidden } = layout(fleet, 'm07', narrow);
    assert.equal(nodes[0].name, 'm07');
    assert.equal(new Set(nodes.map(({ x, y }) => `${x} ${y}`)).size, nodes.length);
    assert.equal(hidden, 30 - nodes.length);
    assert.ok(nodes.every(({ x, y }) => x > 0 && x < width && y > 0 && y < height));
  }
  assert.equal(layout([], '', false).nodes.length, 0);
  assert.deepEqual(pulseOf(entry(1, 'dispatch route')), { machine: 'studio', way: 'out', kind: 'job' });
  assert.equal(pulseOf(entry(1, 'note', { machine_id: '' })), null);
});

test('the palette finds by what a name begins with, then by its words, then by its letters', () => {
  const all = ['Fleet', 'Pause the queue', 'Queue', 'Something else'].map((title) => ({ key: title, kind: 'Page', title, hint: '' }));
  assert.deepEqual(ranked(all, 'que').map(({ title }) => title), ['Queue', 'Pause the queue']);
  assert.deepEqual(ranked(all, 'the pau').map(({ title }) => title), ['Pause the queue']);
  assert.deepEqual(ranked(all, 'flt').map(({ title }) => title), ['Fleet']);
  assert.deepEqual(ranked(all, 'zzz'), []);
  const state = initialState({ kind: 'live', label: '', src: '' }, 0);
  const keys = (more) => offers({ ...state, ...more }).map(({ key }) => key);
  assert.ok(!keys({}).includes('launch') && keys({ access: 'act' }).includes('launch'), 'only who may act is offered to');
  const played = offers({ ...state, mode: { kind: 'play', label: '2026-11-20', src: '2026-11-20' } });
  assert.equal(played.find(({ key }) => key === 'lanes').path, '/flow/2026-11-20?view=lanes', 'it leads out of the day');
  assert.ok(!keys({ access: 'act' }).includes('dispatch'), 'without a queue nothing is dispatched');
});

test('what is replayed is each byte once, of one attempt, by its time', () => {
  const piece = (at, attempt, offset, text) => ({ at, attempt, offset, bytes: new TextEncoder().encode(text) });
  const all = [piece(1, 1, 0, 'abc'), piece(2, 2, 0, 'xy'), piece(3, 2, 0, 'xyz'), piece(4, 2, 3, '!'), piece(9_000, 2, 4, '?')];
  assert.deepEqual(attemptsOf(all), [1, 2]);
  const second = ofAttempt(all, 2);
  assert.equal(second.map(({ bytes }) => new TextDecoder().decode(bytes)).join(''), 'xyz!?');
  assert.deepEqual([0, 2, 3, 5, 9_999].map((at) => countAt(second, at)), [0, 1, 2, 3, 4]);
  assert.equal(playedTo(second, 4, 100), 7_000, 'silence is passed over');
  assert.equal(playedTo(second, 8_500, 100), 8_600);
  assert.deepEqual([rowsFor([piece(1, 1, 0, 'a\r\nb\r\nc\r\nd\r\ne')], 24), rowsFor([piece(1, 1, 0, '\x1b[2Ja')], 24), rowsFor([], 24)], [5, 24, 4]);
  assert.equal(rowsFor([piece(1, 1, 0, 'a\r\n\x1b[1;3'), piece(2, 1, 8, '2mb\x1b[0m\r\nc\r\nd\r\ne')], 24), 5, 'colours move nothing');
});

test('a screen is written on where the output goes on, and anew where it begins elsewhere; what is missing is known', () => {
  const piece = (offset, text, attempt = 1) => ({ at: offset + 1, attempt, offset, bytes: new TextEncoder().encode(text) });
  const [a, b, c, d] = [piece(0, 'aa'), piece(2, 'bb'), piece(4, 'cc'), piece(6, 'dd')];
  const texts = ({ anew, fresh }) => [anew, fresh.map(({ offset }) => offset)];
  assert.deepEqual(texts(toWrite({ first: undefined, count: 0 }, [a, b], 2)), [false, [0, 2]]);
  assert.deepEqual(texts(toWrite({ first: a, count: 2 }, [a, b, c], 3)), [false, [4]]);
  assert.deepEqual(texts(toWrite({ first: a, count: 2 }, [a, b], 2)), [false, []]);
  assert.deepEqual(texts(toWrite({ first: a, count: 2 }, [a, b], 1)), [true, [0]]);
  // As many came as have gone, and fewer, and more.
  assert.deepEqual(texts(toWrite({ first: a, count: 3 }, [b, c, d], 3)), [true, [2, 4, 6]]);
  assert.deepEqual(texts(toWrite({ first: a, count: 3 }, [c, d], 2)), [true, [4, 6]]);
  assert.deepEqual(texts(toWrite({ first: a, count: 1 }, [b, c, d], 3)), [true, [2, 4, 6]]);
  assert.deepEqual([[a, b, c], [b, c], [a, c], [b, d], []].map(kept), ['whole', 'cut', 'gap', 'gap', 'whole']);
});

test('a set of keys grows without changing the one before, and what came is told from what was', () => {
  const first = withKeys([], ['a', 'b']);
  const many = withKeys(first, Array.from({ length: 5_000 }, (_, at) => `k${at}`));
  assert.deepEqual([sizeOf(first), sizeOf(many), many.length], [2, 5_002, 3]);
  assert.ok(hasKey(many, 'a') && hasKey(many, 'k4999') && !hasKey(first, 'k0') && !hasKey(many, 'z'));
  const more = withKeys([], Array.from({ length: 100_000 }, (_, at) => `k${at}`));
  assert.ok(sizeOf(more) === 100_000 && more.length < 16 && hasKey(more, 'k0') && hasKey(more, 'k99999'), String(more.length));
  const [a, b, c] = [entry(1, 'a'), entry(2, 'b'), entry(3, 'c')];
  assert.deepEqual(changeOf([a, b], [a, b, c]), { gone: 0, fresh: [c] });
  assert.deepEqual(changeOf([a, b], [b, c]), { gone: 1, fresh: [c] });
  for (const now of [[c], [a, c], [a], []]) assert.equal(changeOf([a, b], now), null);
  assert.equal(changeOf([], [a]), null);
});

test('the oldest of a set of keys go without the others being copied', () => {
  const keys = withKeys([], Array.from({ length: 5_000 }, (_, at) => `k${at}`));
  for (const gone of [0, 1, 2_048, 2_049, 4_999]) {
    const left = withoutOldest(keys, gone);
    assert.equal(sizeOf(left), 5_000 - gone);
    assert.ok(hasKey(left, `k${gone}`) && (gone === 0 || !hasKey(left, `k${gone - 1}`)), String(gone));
    assert.equal(left.at(-1), gone > 4_096 ? left[0] : keys.at(-1));
  }
  assert.deepEqual(withoutOldest(keys, 5_000), []);
  assert.equal(sizeOf(keys), 5_000);
});
