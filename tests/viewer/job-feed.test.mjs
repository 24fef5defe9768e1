import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { createJobFeed } from '../../assets/viewer/job-feed.js';
import { parsePlace } from '../../assets/viewer/routes.js';
import { createStore, initialState } from '../../assets/viewer/store.js';

/** @type {{path: string, answer: (body: unknown, status?: number) => void}[]} */
let asked = [];

beforeEach(() => {
  asked = [];
  globalThis.document = /** @type {any} */ ({ visibilityState: 'visible' });
  globalThis.fetch = /** @type {any} */ ((path) => new Promise((resolve) => {
    asked.push({ path, answer: (body, status = 200) => resolve(new Response(JSON.stringify(body), { status })) });
  }));
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  // The clock that nobody sets goes on with the timers.
  const { now } = Date;
  performance.now = () => now.call(Date);
});

async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const RUNS = { job: { id: 'a', state: 'running', attempt: 1 } };
/** @param {number} offset @param {string} next */
const piece = (offset, next) => ({ data: { pieces: [{ at_ms: 1, attempt: 1, offset, bytes: '0123456789' }], next, more: false } });

/** A page that is signed in, on the page of a job. */
function page() {
  const store = createStore(initialState({ kind: 'live', label: '', src: '', query: '', at: NaN }, 0));
  /** @type {(number[] | string)[]} */
  const shown = [];
  const feed = createJobFeed(store, {
    showOutput: (_id, pieces) => shown.push(pieces.map(({ offset }) => offset)),
    failOutput: (_id, why) => why !== '' && shown.push(why),
  });
  const go = (path) => {
    store.dispatch({ type: 'place/changed', place: parsePlace(path, '') });
    feed.again();
  };
  /** @param {string} end of what was asked last @param {unknown} body @param {number} [status] */
  async function answer(end, body, status) {
    await settle();
    const at = asked.findIndex(({ path }) => path.includes(end));
    assert.ok(at >= 0, `${end} was not asked for, but ${asked.map(({ path }) => path)}`);
    asked.splice(at, 1)[0].answer(body, status);
    await settle();
  }
  store.dispatch({ type: 'access/changed', access: 'act' });
  feed.start();
  return { store, feed, shown, go, answer };
}

test('what was asked before the reader left and came back is not taken for what follows', async () => {
  const { shown, go, answer } = page();
  go('/job/a');
  await answer('/jobs/a', RUNS);
  await answer('/output', piece(0, '1'));
  assert.deepEqual(shown, [[0]]);
  mock.timers.tick(2_000);
  await answer('/jobs/a', RUNS);
  go('/queue');
  go('/job/a');
  await answer('/output?after=1', piece(10, '2'));
  await answer('/jobs/a', RUNS);
  await answer('/output', piece(0, '1'));
  assert.deepEqual(shown, [[0], [0]], 'the beginning is missing');
  mock.timers.tick(2_000);
  await answer('/jobs/a', RUNS);
  await answer('/output?after=1', piece(10, '2'));
  assert.deepEqual(shown.at(-1), [0, 10]);
});

test('a clock that is set back does not stop the questions', async () => {
  const { go, answer } = page();
  go('/job/a');
  await answer('/jobs/a', { job: { id: 'a', state: 'queued' } });
  await answer('/explain', { data: {} });
  await answer('/output', piece(0, '1'));
  Date.now = () => -3_600_000;
  mock.timers.tick(12_000);
  await answer('/jobs/a', RUNS);
});

test('a page that loses its sign-in forgets the output and who could run the job, and begins anew when it is back', async () => {
  const { store, shown, go, answer } = page();
  go('/job/a');
  await answer('/jobs/a', { job: { id: 'a', state: 'queued' } });
  await answer('/explain', { data: { why: 'why', machines: [{ machine: 'studio', verdict: 'now', reasons: [] }] } });
  await answer('/output', piece(0, '1'));
  assert.deepEqual(store.state().jobDetail?.machines.map(({ machine }) => machine), ['studio']);
  mock.timers.tick(10_000);
  await answer('/jobs/a', RUNS);
  store.dispatch({ type: 'access/changed', access: 'none' });
  assert.deepEqual([store.state().jobDetail?.why, store.state().jobDetail?.machines], ['', []]);
  await answer('/output?after=1', piece(10, '2'));
  assert.deepEqual(shown, [[0]], 'what was asked for while signed in is shown after it');
  await answer('/jobs/a', RUNS);
  assert.deepEqual(asked, [], 'the output is asked for by a page that is not signed in');
  store.dispatch({ type: 'access/changed', access: 'act' });
  await answer('/jobs/a', RUNS);
  await answer('/output', piece(0, '1'));
  assert.deepEqual(shown, [[0], [0]]);
});
