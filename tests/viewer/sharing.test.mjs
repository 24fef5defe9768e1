import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { createSharing } from '../../assets/viewer/sharing.js';

const DAY = '2026-11-22';
/** @param {number} local @param {number} [fleet] */
const place = (local, fleet) => `${DAY}:${String(local).padStart(12, '0')}${fleet === undefined ? '' : `~${String(fleet).padStart(13, '0')}-000000`}`;

/** @type {FakeEventSource[]} */
let made = [];

class FakeEventSource {
  static OPEN = 1;
  static CLOSED = 2;

  constructor(url) {
    this.url = url;
    this.readyState = 0;
    /** @type {{[name: string]: (event: {data?: string, lastEventId?: string}) => void}} */
    this.heard = {};
    made.push(this);
  }

  addEventListener(name, listener) {
    this.heard[name] = listener;
  }

  open() {
    this.readyState = FakeEventSource.OPEN;
    this.onopen();
  }

  /** @param {string} id @param {string} data */
  record(id, data) {
    this.onmessage({ data, lastEventId: id });
  }

  close() {
    this.readyState = FakeEventSource.CLOSED;
  }
}

const flows = () => made.filter(({ url }) => url.startsWith('/flow/'));
const open = () => made.filter(({ readyState }) => readyState !== FakeEventSource.CLOSED);
const from = (stream) => new URLSearchParams(stream.url.split('?')[1]).get('from') ?? '';

beforeEach(() => {
  made = [];
  globalThis.EventSource = /** @type {any} */ (FakeEventSource);
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
});

/** A tab, and what it was told. @param {ReturnType<typeof createSharing>} sharing */
function tab(sharing) {
  const told = [];
  const say = sharing.connect({ postMessage: (message) => told.push(structuredClone(message)) });
  return {
    told, say,
    follow: (at, anew = false) => say({ type: 'flow', turn: 1, day: DAY, at, anew }),
    records: () => told.filter(({ type }) => type === 'flow').flatMap(({ events }) => events.map(([data]) => data)),
    places: () => told.filter(({ type }) => type === 'flow').flatMap(({ events }) => events.map(([, at]) => at)),
    types: () => told.map(({ type }) => type),
  };
}
const passed = () => mock.timers.tick(100);

test('however many tabs there are, there is one stream, and each gets what it has not', () => {
  const sharing = createSharing();
  const tabs = Array.from({ length: 9 }, () => tab(sharing));
  tabs[0].follow(place(100));
  flows()[0].open();
  for (const one of tabs.slice(1)) one.follow(place(100));
  assert.deepEqual(tabs[8].types(), ['open'], 'who comes later is not told that it is open');
  flows()[0].record(place(200), 'a');
  passed();
  const late = tab(sharing);
  late.follow(place(200));
  flows()[0].record(place(300), 'b');
  passed();
  for (const one of tabs) assert.deepEqual(one.records(), ['a', 'b']);
  assert.deepEqual(late.records(), ['b']);
  assert.equal(open().length, 1);
});

test('a tab that is behind has the stream begin there again, and nobody hears anything twice', () => {
  const sharing = createSharing();
  const [first, late] = [tab(sharing), tab(sharing)];
  first.follow(place(100));
  flows()[0].open();
  flows()[0].record(place(200), 'a');
  flows()[0].record(place(300), 'b');
  passed();
  late.follow(place(200));
  assert.equal(open().length, 1);
  const again = flows()[1];
  assert.equal(from(again), place(200));
  again.open();
  again.record(place(300), 'b');
  again.record(place(400), 'c');
  passed();
  assert.deepEqual(first.records(), ['a', 'b', 'c']);
  assert.deepEqual(late.records(), ['b', 'c']);
});

test('a place is in the files and in the flow of the fleet; a tab can be ahead in one and behind in the other', () => {
  const sharing = createSharing();
  const [first, late] = [tab(sharing), tab(sharing)];
  first.follow(place(100, 7));
  flows()[0].open();
  flows()[0].record(place(100, 8), 'theirs 8');
  passed();
  // It has read more of the files, and less of the fleet's flow.
  late.follow(place(200, 7));
  assert.equal(from(flows()[1]), place(100, 7));
  flows()[1].open();
  flows()[1].record(place(100, 8), 'theirs 8');
  flows()[1].record(place(200, 8), 'ours 200');
  flows()[1].record(place(300, 8), 'ours 300');
  passed();
  assert.deepEqual(first.records(), ['theirs 8', 'ours 200', 'ours 300']);
  assert.deepEqual(late.records(), ['theirs 8', 'ours 300']);
  assert.deepEqual(late.places(), [place(200, 8), place(300, 8)], 'a place goes back');
});

test('what has no place of its own is told to all, and a gap to those who have not read past it', () => {
  const sharing = createSharing();
  const [first, ahead] = [tab(sharing), tab(sharing)];
  first.follow(place(100));
  flows()[0].open();
  ahead.follow(place(900));
  flows()[0].record(place(100), 'error');
  flows()[0].heard.gap({ data: '{"count":3}', lastEventId: place(500) });
  passed();
  assert.deepEqual([first.records(), ahead.records()], [['error'], ['error']]);
  assert.equal(first.told.at(-1).missed, 3);
  assert.ok(!ahead.types().includes('stale'));
});

test('a gap that goes back is told to all, who then hear what comes after it', () => {
  const sharing = createSharing();
  const [one, ahead] = [tab(sharing), tab(sharing)];
  one.follow(place(100));
  flows()[0].open();
  ahead.follow(place(9_000));
  flows()[0].record(place(9_000), 'a');
  flows()[0].heard.gap({ data: '{}', lastEventId: place(0) });
  for (const it of [one, ahead]) assert.equal(it.types().at(-1), 'stale');
  for (const it of [one, ahead]) it.follow(place(50));
  flows()[0].record(place(60), 'b');
  passed();
  assert.deepEqual([one.records(), ahead.records()], [['a', 'b'], ['b']]);
  assert.equal(open().length, 1);
});

test('a place that is refused again and again is given up for those that the tabs come back with', () => {
  const sharing = createSharing();
  const tabs = [tab(sharing), tab(sharing)];
  for (const one of tabs) one.follow(place(100));
  for (let n = 0; n < 3; n += 1) {
    flows().at(-1).readyState = FakeEventSource.CLOSED;
    flows().at(-1).onerror();
    if (n < 2) mock.timers.tick(15_000);
  }
  for (const one of tabs) assert.equal(one.types().at(-1), 'stale');
  const before = flows().length;
  for (const one of tabs) {
    one.say({ type: 'flow-end' });
    one.follow(place(700));
  }
  assert.deepEqual(flows().slice(before).map(from), [place(700)]);
  mock.timers.tick(60_000);
  assert.equal(open().length, 1, 'the refused one is tried on');
});

test('a lost stream is told to all, and so is that it is back', () => {
  const sharing = createSharing();
  const tabs = [tab(sharing), tab(sharing)];
  for (const one of tabs) one.follow(place(100));
  flows()[0].open();
  flows()[0].readyState = 0;
  flows()[0].onerror();
  flows()[0].open();
  for (const one of tabs) assert.deepEqual(one.types(), ['open', 'lost', 'open']);
});

test('a tab that sleeps is let go, costs the others nothing, and goes on where it was', () => {
  const sharing = createSharing();
  const [awake, asleep] = [tab(sharing), tab(sharing)];
  for (const one of [awake, asleep]) one.follow(place(100));
  flows()[0].open();
  const large = 'x'.repeat(1024 * 1024);
  for (let n = 1; n <= 40; n += 1) {
    flows()[0].record(place(100 + n), large);
    passed();
    awake.say({ type: 'read', size: large.length });
  }
  assert.equal(awake.records().length, 40);
  assert.ok(asleep.types().includes('behind'));
  assert.ok(asleep.records().length <= 33, `${asleep.records().length} MiB wait for a tab that sleeps`);
  const reached = asleep.places().at(-1);
  asleep.follow(reached);
  assert.equal(from(flows()[1]), reached);
});

test('who comes hears of all sessions, those that come together at once', () => {
  const sharing = createSharing();
  const tabs = [tab(sharing), tab(sharing), tab(sharing)];
  for (const one of tabs) one.say({ type: 'sessions' });
  passed();
  assert.equal(made.length, 1);
  made[0].heard['session-upsert']({ data: '{"session":{"id":"a"}}' });
  made[0].heard['session-snapshot']({ data: '{"ids":["a"]}' });
  for (const one of tabs) assert.deepEqual(one.told.map(({ name }) => name), ['onUpsert', 'onComplete']);
  const late = tab(sharing);
  late.say({ type: 'sessions' });
  passed();
  assert.equal(open().length, 1, 'two streams of sessions are open');
  made[1].heard['session-upsert']({ data: '{"session":{"id":"a"}}' });
  assert.equal(late.told.length, 1);
});

test('what nobody listens to is closed', () => {
  const sharing = createSharing();
  const tabs = [tab(sharing), tab(sharing)];
  for (const one of tabs) {
    one.follow(place(100));
    one.say({ type: 'sessions' });
  }
  passed();
  assert.equal(open().length, 2);
  tabs[0].say({ type: 'bye' });
  assert.equal(open().length, 2);
  tabs[1].say({ type: 'sessions-end' });
  assert.equal(open().length, 1);
  tabs[1].say({ type: 'flow-end' });
  assert.equal(open().length, 0);
});
