import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialState, reduce } from '../../assets/viewer/store.js';
import { depth, lettered, outcome, times, tone } from '../../assets/viewer/views/jobs.js';
import { readJobs, readQueue } from '../../assets/viewer/wire.js';

const job = (fields) => readJobs({ jobs: [{ id: 'j', ...fields }] })[0];

test('a queue is read whatever it leaves out, and is none without Redis', () => {
  assert.equal(readQueue(null), null);
  assert.equal(readQueue({}), null);
  const empty = readQueue({ dead: 0 });
  assert.deepEqual([empty.queued, empty.paused, empty.holds, empty.letters], [0, false, [], []]);
  assert.ok(Number.isNaN(empty.oldest));
  const queue = readQueue({
    dead: 1, paused: true, now_ms: 5000, oldest_queued_ms: 2000, depth: { queued: 2, waiting: 1, running: 'x' },
    running: { studio: ['a', 7] }, drained: ['laptop', {}], dead_letters: [{ entry: '1-1', why: 'lost' }, 'x'],
  });
  assert.deepEqual([queue.oldest, queue.running, queue.drained], [3000, 0, ['laptop']]);
  assert.deepEqual(queue.holds, [{ machine: 'studio', ids: ['a', '7'] }]);
  assert.deepEqual(queue.letters[1], { entry: '', job: '', why: '' });
  assert.equal(depth(queue), '2 queued · 1 waiting · 0 running · paused');
});

test('a job is read whatever it leaves out', () => {
  assert.deepEqual(readJobs({ jobs: [{}, null, { id: 'a' }] }).map((one) => one.id), ['a']);
  assert.deepEqual(readJobs(undefined), []);
  assert.equal(job({ result: { exit_code: '3' } }).exitCode, null);
});

test('how a job stands shows in its colour, its outcome and its times', () => {
  const failed = job({ state: 'failed', result: { exit_code: 3 }, started_ms: 1000, finished_ms: 3000 });
  assert.deepEqual([tone(failed), outcome(failed), times(failed, 63_000)], ['bad', 'exit 3', '2.0 s · 1 min ago']);
  const queued = job({ state: 'queued', queued_ms: 1000 });
  assert.deepEqual([tone(queued), outcome(queued), times(queued, 11_000)], ['lost', 'queued', 'waits 10 s']);
  assert.equal(times(job({ state: 'waiting', due_ms: 21_000 }), 1000), 'due in 20 s');
  assert.deepEqual([tone(job({ state: 'running' })), tone(job({ state: 'done' })), tone(job({ state: 'dead' }))], ['open', 'good', 'bad']);
});

test('a queue that is not known is the last that was known, and the problem', () => {
  const mode = /** @type {const} */ ({ kind: 'live', label: '', src: '' });
  const queue = readQueue({ dead: 0 });
  const known = reduce(initialState(mode, 5), { type: 'queue/loaded', queue, jobs: [job({})] });
  const failed = reduce(known, { type: 'queue/failed', problem: 'away' });
  assert.deepEqual([failed.queue, failed.jobs.length, failed.queueProblem, failed.queueAt], [queue, 1, 'away', 5]);
  assert.equal(reduce(failed, { type: 'queue/loaded', queue: null, jobs: [] }).queueProblem, '');
});

test('a dead letter says in words why it is one and what to do, whatever it says itself', () => {
  const said = (/** @type {string} */ why, job = 'j') => lettered({ entry: '1-1', job, why });
  assert.equal(said('lease-lost').code, 'lease-lost');
  assert.deepEqual([said('lease-lost').words, said('refused').words], ['its runner was lost', 'its runner gave it up']);
  assert.match(said('refused').advice, /Requeue/);
  assert.deepEqual([said('it has no record', '').code, said('it has no record', '').words], ['', 'it has no record']);
  assert.match(said('it has no record', '').advice, /Drop it/);
  assert.equal(said('constructor').words, 'constructor');
});

test("the built-in agent's result is read, and only that", () => {
  const agent = { result: 'stop', final: 'Done.', model: 'm', endpoint: 'e', changed: ['a', {}], checks: [{ command: 'make', ok: true }, { command: 'odd', ok: 'yes' }], totals: { total_turns: 2 } };
  const read = job({ result: { details: { agent }, workspace: { changed: 1 } } });
  assert.deepEqual(read.agent, {
    last: 'Done.', handOffTo: '', model: 'm', endpoint: 'e', changed: ['a'], checks: [{ command: 'make', ok: true }, { command: 'odd', ok: false }], turns: 2, calls: 0, tokens: 0,
  });
  assert.equal(read.came, true);
  for (const details of [undefined, null, {}, { agent: [] }, { agent: { result: {} } }]) assert.equal(job({ result: { details } }).agent, null);
});
