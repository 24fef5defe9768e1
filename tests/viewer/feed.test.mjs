import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { createFeed } from '../../assets/viewer/feed.js';
import { initialState, reduce } from '../../assets/viewer/store.js';
import { notLoaded } from '../../assets/viewer/views/nothing.js';

const NOW = Date.UTC(2026, 10, 22, 12);
const POSITION = '2026-11-22:000000000100';

/** @type {{url: string, readyState: number, onopen: () => void, onmessage: (event: object) => void, onerror: () => void, close: () => void}[]} */
let streams = [];
/** @type {Map<string, () => Response>} */
let answers = new Map();
/** @type {string[]} */
let asked = [];

class FakeEventSource {
  static OPEN = 1;
  static CLOSED = 2;

  constructor(url) {
    this.url = url;
    this.readyState = 0;
    streams.push(this);
  }

  addEventListener() {}

  close() {
    this.readyState = 2;
  }
}

const records = (count, position = POSITION) => () => new Response(
  JSON.stringify(Array.from({ length: count }, (_, n) => ({ handle: `h${n}` }))),
  { headers: { 'darkmux-position': position } },
);
const healthy = () => new Response('{"machine_id":"studio","darkmux_version":"1"}');

beforeEach(() => {
  streams = [];
  asked = [];
  answers = new Map([['/health', healthy], ['/flow/2026-11-22', records(3)], ['/flow/2026-11-21', records(200)]]);
  globalThis.EventSource = FakeEventSource;
  globalThis.fetch = async (path) => {
    asked.push(path);
    const answer = answers.get(path.split('?')[0]);
    if (!answer) throw new TypeError('connection refused');
    return answer();
  };
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: NOW });
});

/** Lets every promise that can settle do so. */
async function settle() {
  for (let n = 0; n < 50; n += 1) await new Promise((resolve) => setImmediate(resolve));
}

function feed() {
  const actions = [];
  let sessions = 0;
  let back = 0;
  const made = createFeed((action) => actions.push(action), (topics) => { if (topics.has('sessions')) sessions += 1; }, () => { back += 1; }, async () => {});
  return {
    ...made,
    actions,
    sessions: () => sessions,
    back: () => back,
    source: () => actions.filter((action) => action.type === 'source/changed').at(-1)?.source,
    of: (type) => actions.filter((action) => action.type === type),
  };
}

async function live() {
  const it = feed();
  it.start();
  await settle();
  streams[0].readyState = 1;
  streams[0].onopen();
  return it;
}

test('a day just begun shows the end of the day before, and streams from where the array ended', async () => {
  const it = await live();
  const [loaded] = it.of('records/loaded');
  assert.equal(loaded.batch.length, 203);
  assert.equal(loaded.batch[200].raw.handle, 'h0');
  assert.equal(loaded.position, POSITION);
  assert.equal(streams[0].url, `/flow/2026-11-22/stream?from=${encodeURIComponent(POSITION)}`);
  assert.equal(it.source(), 'live');
});

test('a full day does not ask for the day before', async () => {
  answers.set('/flow/2026-11-22', records(200));
  await live();
  assert.ok(!asked.some((path) => path.includes('2026-11-21')));
});

test('no daemon at the start: says so, and goes on by itself when there is one', async () => {
  const day = answers.get('/flow/2026-11-22');
  answers.delete('/flow/2026-11-22');
  const it = feed();
  it.start();
  await settle();
  assert.equal(it.source(), 'no daemon');
  answers.set('/flow/2026-11-22', day);
  mock.timers.tick(1_500);
  await settle();
  assert.equal(it.of('records/loaded').length, 1);
  assert.equal(streams.length, 1);
});

test('a daemon that answers with a failure is not said to be absent', async () => {
  answers.set('/flow/2026-11-22', () => new Response('', { status: 500 }));
  const it = feed();
  it.start();
  await settle();
  assert.equal(it.source(), 'reconnecting');
  assert.match(it.of('problem/found')[0].problem, /500/);
});

test('a lost stream: reconnecting, no daemon only after the probe failed, live only when it is open', async () => {
  const it = await live();
  answers.delete('/health');
  streams[0].readyState = 0;
  streams[0].onerror();
  assert.equal(it.source(), 'reconnecting');
  await settle();
  assert.equal(it.source(), 'no daemon');

  answers.set('/health', healthy);
  mock.timers.tick(3_000);
  await settle();
  assert.equal(it.source(), 'reconnecting');
  assert.equal(streams.length, 2, 'the stream is opened as soon as the daemon answers');
  streams[1].readyState = 1;
  assert.equal(it.back(), 0);
  streams[1].onopen();
  assert.equal(it.source(), 'live');
  assert.equal(it.back(), 1, 'it is not told that the daemon is there again');
  mock.timers.tick(60_000);
  await settle();
  assert.equal(it.source(), 'live');
  assert.equal(streams.length, 2);
});

test('a stream that is refused is asked for again with a pause, and so is one that is lost before it opens', async () => {
  const it = await live();
  for (const readyState of [2, 0]) {
    const before = streams.length;
    const probes = asked.filter((path) => path === '/health').length;
    for (let at = before - 1; at < streams.length && at < before + 10; at += 1) {
      streams[at].readyState = readyState;
      streams[at].onerror();
      await settle();
    }
    assert.ok(streams.length <= before + 1, `${streams.length - before} streams in one moment`);
    assert.ok(asked.filter((path) => path === '/health').length <= probes + 1, 'it is asked for without a pause');
    mock.timers.tick(15_000);
    await settle();
  }
  streams.at(-1).readyState = 1;
  streams.at(-1).onopen();
  assert.equal(it.source(), 'live');
});

test('a daemon that hangs behind an open stream is found out and left', async () => {
  const it = await live();
  answers.delete('/health');
  it.check();
  await settle();
  assert.equal(it.source(), 'no daemon');
  assert.equal(streams.length, 2);
  assert.equal(streams[0].readyState, 2);
});

test('records of one moment go into the store together; a bookend asks for the sessions', async () => {
  const it = await live();
  for (let n = 1; n <= 3; n += 1) {
    streams[0].onmessage({ lastEventId: `2026-11-22:00000000020${n}`, data: '{"action":"note"}' });
  }
  mock.timers.tick(100);
  assert.deepEqual(it.of('records/streamed').map((action) => action.batch.length), [3]);
  assert.equal(it.sessions(), 0);
  streams[0].onmessage({ lastEventId: '2026-11-22:000000000300', data: '{"action":"dispatch.complete"}' });
  mock.timers.tick(100);
  assert.equal(it.sessions(), 1);
});

test('a burst does not wait for the timer of a hidden tab', async () => {
  const it = await live();
  for (let n = 0; n < 1_200; n += 1) streams[0].onmessage({ lastEventId: '', data: '{}' });
  assert.deepEqual(it.of('records/streamed').map((action) => action.batch.length), [500, 500]);
});

test('a position that is refused again and again is given up for a new array', async () => {
  const it = await live();
  for (let n = 0; n < 20 && it.of('records/loaded').length < 2; n += 1) {
    streams.at(-1).readyState = 2;
    streams.at(-1).onerror();
    await settle();
    mock.timers.tick(15_000);
    await settle();
  }
  assert.equal(it.of('records/loaded').length, 2);
});

test('what is seen first comes first, the rest of a full day after it, and a small day is asked for once', async () => {
  const limits = () => asked.filter((path) => path.startsWith('/flow/2026-11-22')).map((path) => path.split('limit=')[1]);
  answers.set('/flow/2026-11-22', () => records(Number(limits().at(-1)))());
  const it = feed();
  it.start();
  await settle();
  assert.deepEqual(limits(), ['100', '2000']);
  assert.deepEqual(it.of('records/loaded').map(({ batch, partial }) => [batch.length, partial]), [[100, true], [2_000, true]]);
  assert.ok(streams[0].url.includes(encodeURIComponent(POSITION)));
  asked = [];
  answers.set('/flow/2026-11-22', records(99));
  const small = feed();
  small.start();
  await settle();
  assert.deepEqual(limits(), ['100']);
  assert.equal(small.of('records/loaded').length, 1);
});

test('the whole day that does not come is said, is asked for once, and says nothing of the daemon', async () => {
  const day = (limit) => asked.filter((path) => path.startsWith('/flow/2026-11-22') && path.endsWith(`=${limit}`)).length;
  const last = () => Number(asked.at(-1).split('limit=')[1]);
  answers.set('/flow/2026-11-22', () => records(Math.min(last(), 2_000))());
  const it = await live();
  answers.set('/flow/2026-11-22', () => { throw new DOMException('', 'TimeoutError'); });
  it.more();
  await settle();
  assert.equal(it.source(), 'live');
  assert.match(it.of('toast/raised').at(-1).text, /whole day could not be loaded/);
  mock.timers.tick(60_000);
  await settle();
  assert.equal(day(100_000), 1, 'it is asked for again and again');
  assert.deepEqual(it.of('records/loaded').at(-1).partial, true);
});

test('the whole day that is asked for while less is on its way is what counts', async () => {
  /** @type {(() => void)[]} */
  const waiting = [];
  globalThis.fetch = (path) => new Promise((resolve) => {
    const limit = Number(path.split('limit=')[1]);
    waiting.push(() => resolve(records(Math.min(limit, 3_000))()));
  });
  const it = feed();
  it.start();
  await settle();
  waiting.shift()();
  await settle();
  it.more();
  await settle();
  assert.equal(waiting.length, 2);
  waiting.shift()();
  await settle();
  assert.deepEqual(it.of('records/loaded').map(({ batch, partial }) => [batch.length, partial]), [[100, true]]);
  waiting.shift()();
  await settle();
  assert.deepEqual(it.of('records/loaded').map(({ batch, partial }) => [batch.length, partial]), [[100, true], [3_000, false]]);
});

test('after a gap the records are loaded, however often that is refused, and whatever happens meanwhile', async () => {
  const heard = {};
  FakeEventSource.prototype.addEventListener = (name, listener) => { heard[name] = listener; };
  const day = answers.get('/flow/2026-11-22');
  const it = await live();
  answers.set('/flow/2026-11-22', () => new Response('', { status: 503 }));
  heard.gap({ data: '{}', lastEventId: '' });
  await settle();
  streams[0].onopen();
  assert.equal(it.source(), 'live');
  answers.set('/flow/2026-11-22', day);
  it.resume();
  await settle();
  assert.equal(it.of('records/loaded').length, 2, 'it is forgotten');
  answers.set('/flow/2026-11-22', () => new Response('', { status: 503 }));
  heard.gap({ data: '{}', lastEventId: '' });
  await settle();
  streams.at(-1).readyState = 1;
  streams.at(-1).onopen();
  answers.set('/flow/2026-11-22', day);
  mock.timers.tick(2_000);
  await settle();
  assert.equal(it.of('records/loaded').length, 3, 'an open stream took the next try away');
  FakeEventSource.prototype.addEventListener = () => {};
});

test('a day without the records of other machines is told from one that has them', async () => {
  answers.set('/flow/2026-11-22', () => new Response('[]', { headers: { 'darkmux-position': POSITION, 'x-darkmux-source': 'local' } }));
  const it = await live();
  const state = it.of('records/loaded').reduce(reduce, initialState({ kind: 'live', label: '', src: '', query: '', at: NaN }, NOW));
  assert.equal(state.others, 'none');
  assert.match(notLoaded(state), /other machines/);
  assert.equal(notLoaded({ ...state, others: 'all', partial: false }), '');
});
