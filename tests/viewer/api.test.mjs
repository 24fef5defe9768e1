import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { backoff, getDays, getRecords, mayPass, openSessionEvents, openStream, StatusError, untilMade } from '../../assets/viewer/api.js';

/** What the browser does with an EventSource, driven by the test. */
class FakeEventSource {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 2;
  static made = [];

  constructor(url) {
    this.url = url;
    this.readyState = FakeEventSource.CONNECTING;
    FakeEventSource.made.push(this);
  }

  open() {
    this.readyState = FakeEventSource.OPEN;
    this.onopen();
  }

  addEventListener(name, listener) {
    this[`on${name}`] = listener;
  }

  message(lastEventId, data) {
    this.onmessage({ lastEventId, data });
  }

  fail(readyState) {
    this.readyState = readyState;
    this.onerror();
  }

  close() {
    this.readyState = FakeEventSource.CLOSED;
  }
}

const FROM = '2026-11-22:000000000100';
const newest = () => FakeEventSource.made.at(-1);

function listen(from = FROM) {
  const seen = { records: [], opened: 0, lost: 0, stale: 0 };
  const stream = openStream('2026-11-22', from, {
    onRecord: (record) => seen.records.push(record),
    onOpen: () => { seen.opened += 1; },
    onLost: () => { seen.lost += 1; },
    onStale: (missed) => { seen.stale += 1; seen.missed = missed; },
  });
  return { stream, seen };
}

beforeEach(() => {
  FakeEventSource.made = [];
  globalThis.EventSource = FakeEventSource;
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
});

test('waits double with jitter and stay within their bounds', () => {
  for (const random of [0, 0.5, 0.999]) {
    for (let attempt = 0; attempt < 50; attempt += 1) {
      const ms = backoff(attempt, random);
      assert.ok(ms >= 1_000 && ms <= 15_000, `${attempt}: ${ms}`);
    }
  }
  assert.equal(backoff(2, 0.5), 4_000);
  assert.notEqual(backoff(2, 0.1), backoff(2, 0.9));
});

test('a stream begins at its position, on the day of the position', () => {
  listen('2026-11-21:000000000007');
  assert.equal(newest().url, '/flow/2026-11-21/stream?from=2026-11-21%3A000000000007');
  listen('');
  assert.equal(newest().url, '/flow/2026-11-22/stream');
});

test('a dropped connection is left to the browser', () => {
  const { seen } = listen();
  newest().open();
  newest().fail(FakeEventSource.CONNECTING);
  mock.timers.tick(60_000);
  assert.equal(FakeEventSource.made.length, 1);
  assert.deepEqual([seen.opened, seen.lost], [1, 1]);
});

test('where the browser gives up, it is opened again from the last position, over midnight too', () => {
  const { seen } = listen();
  newest().open();
  newest().message('2026-11-23:000000000042', '{"handle":"x"}');
  newest().fail(FakeEventSource.CLOSED);
  mock.timers.tick(2_000);
  assert.equal(newest().url, '/flow/2026-11-23/stream?from=2026-11-23%3A000000000042');
  assert.equal(FakeEventSource.made.length, 2);
  assert.deepEqual(seen.records, [{ raw: { handle: 'x' }, size: 14, position: '2026-11-23:000000000042' }]);
});

test('a gap makes the position stale, and says how many are missing where that is known', () => {
  const { seen } = listen();
  newest().open();
  newest().ongap({ data: '{"from":"a","to":"b"}' });
  assert.deepEqual([seen.stale, seen.missed], [1, 0]);
  newest().ongap({ data: '{"from":"a","to":"b","count":7}' });
  assert.deepEqual([seen.stale, seen.missed], [2, 7]);
});

test('refusals in a row make the position stale; opening forgets them', () => {
  const { seen } = listen();
  for (let n = 0; n < 2; n += 1) {
    newest().fail(FakeEventSource.CLOSED);
    mock.timers.tick(15_000);
  }
  newest().open();
  newest().fail(FakeEventSource.CLOSED);
  assert.equal(seen.stale, 0);
  mock.timers.tick(15_000);
  newest().fail(FakeEventSource.CLOSED);
  mock.timers.tick(15_000);
  newest().fail(FakeEventSource.CLOSED);
  assert.equal(seen.stale, 1);
});

test('waking opens at once what is not open, and leaves alone what is', () => {
  const { stream } = listen();
  newest().open();
  stream.wake();
  assert.equal(FakeEventSource.made.length, 1);
  newest().fail(FakeEventSource.CLOSED);
  stream.wake();
  assert.equal(FakeEventSource.made.length, 2);
  mock.timers.tick(60_000);
  assert.equal(FakeEventSource.made.length, 2, 'the wait that waking made needless is over');
});

test('a closed stream stays closed, and late events of a replaced one say nothing', () => {
  const { stream, seen } = listen();
  const first = newest();
  first.open();
  stream.reopen();
  first.fail(FakeEventSource.CLOSED);
  assert.equal(seen.lost, 0);
  newest().fail(FakeEventSource.CLOSED);
  stream.close();
  stream.wake();
  mock.timers.tick(60_000);
  assert.equal(FakeEventSource.made.length, 2);
});

test('data that is no JSON is passed on as no record', () => {
  const { seen } = listen();
  newest().message(FROM, 'torn {');
  assert.deepEqual(seen.records, [{ raw: undefined, size: 6, position: FROM }]);
});

test('records come with the position of their answer; a failure is an error', async () => {
  globalThis.fetch = async (path) => {
    assert.equal(path, '/flow/2026-11-22?limit=5');
    return new Response('[{"a":1},{"b":22}]', { headers: { 'darkmux-position': FROM } });
  };
  assert.deepEqual(await getRecords('2026-11-22', 5), { batch: [{ raw: { a: 1 }, size: 9 }, { raw: { b: 22 }, size: 9 }], position: FROM, others: 'all' });
  for (const [name, value, others] of [['x-darkmux-source', 'local', 'none'], ['x-darkmux-source', 'fleet', 'all'], ['darkmux-others-kept', '9', 'newest']]) {
    globalThis.fetch = async () => new Response('[]', { headers: { [name]: value } });
    assert.equal((await getRecords('2026-11-22', 5)).others, others);
  }
  globalThis.fetch = async () => new Response('', { status: 503 });
  await assert.rejects(getRecords('2026-11-22', 5), StatusError);
});

test('what came with the page is taken once, and asked for where something else came', async () => {
  const asked = [];
  globalThis.fetch = async (path) => {
    asked.push(path);
    return new Response('[]', { headers: { 'darkmux-position': 'own' } });
  };
  /** @type {{textContent: string, remove: () => void} | null} */
  let script = null;
  const brought = (textContent) => { script = { textContent, remove: () => { script = null; } }; };
  const answer = (path) => JSON.stringify({ path, headers: { 'darkmux-position': 'early', 'x-darkmux-source': 'local' }, body: [{ a: 1 }] });
  globalThis.document = { getElementById: (id) => (id === 'first-answer' ? script : null) };
  try {
    brought(answer('/flow/2026-11-22?limit=5'));
    const early = await getRecords('2026-11-22', 5);
    assert.deepEqual([early.position, early.others, early.batch.map(({ raw }) => raw), asked], ['early', 'none', [{ a: 1 }], []]);
    assert.equal((await getRecords('2026-11-22', 5)).position, 'own');
    // Another day began meanwhile, or half of the page came.
    for (const text of [answer('/flow/2026-11-21?limit=5'), answer('/flow/2026-11-22?limit=5').slice(0, -3), '', 'null']) {
      brought(text);
      assert.equal((await getRecords('2026-11-22', 5)).position, 'own');
      assert.equal(script, null, 'it would be taken for the answer to a later question');
    }
    assert.equal(asked.length, 5);
  } finally {
    delete globalThis.document;
  }
});

test('the events of the sessions are opened anew for a page that was away, and once', () => {
  const lost = [];
  const events = openSessionEvents({ onUpsert() {}, onRemove() {}, onComplete() {}, onPeer() {}, onLost: (refused) => lost.push(refused) });
  newest().open();
  const [first] = FakeEventSource.made;
  events.reopen();
  assert.deepEqual([FakeEventSource.made.length, first.readyState], [2, FakeEventSource.CLOSED]);
  first.onerror();
  newest().fail(FakeEventSource.CLOSED);
  assert.deepEqual(lost, [true], 'the one that was left is heard');
  events.reopen();
  mock.timers.tick(60_000);
  assert.equal(FakeEventSource.made.length, 3, 'it is opened twice');
});

test('what could not be made is made later, with a word, and not when nobody wants it any more', async () => {
  const settle = async () => { for (let n = 0; n < 20; n += 1) await Promise.resolve(); };
  let tries = 0;
  let missing = 0;
  const make = async () => {
    tries += 1;
    if (tries < 3) throw new TypeError('Failed to fetch dynamically imported module');
    return tries;
  };
  let made;
  void untilMade(make, () => true, () => { missing += 1; }).then((value) => { made = value; });
  for (let n = 0; n < 3; n += 1) {
    await settle();
    mock.timers.tick(15_000);
  }
  await settle();
  assert.deepEqual([made, tries, missing], [3, 3, 2]);
  let wanted = true;
  void untilMade(async () => { tries += 1; throw new TypeError(); }, () => wanted).then((value) => { made = value; });
  await settle();
  wanted = false;
  mock.timers.tick(15_000);
  await settle();
  assert.deepEqual([made, tries], [null, 4]);
});

test('a failure has the words of the daemon, and is asked for again only where it can pass', async () => {
  const refusal = async (status, body) => {
    globalThis.fetch = async () => new Response(body, { status });
    return getDays().catch((error) => error);
  };
  const said = await refusal(400, '{"error":{"code":"bad_date","message":"a day is written YYYY-MM-DD"}}');
  assert.deepEqual([said.message, said.status, mayPass(said)], ['a day is written YYYY-MM-DD', 400, false]);
  assert.equal((await refusal(500, 'no JSON')).message, '/flow-days answered 500');
  const passing = [];
  for (const status of [400, 401, 403, 404, 429, 500, 503]) passing.push(mayPass(await refusal(status, '')));
  assert.deepEqual(passing, [false, false, false, false, true, true, true]);
  assert.ok(mayPass(new TypeError('connection refused')));
});
