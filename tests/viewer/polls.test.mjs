import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { createPolls } from '../../assets/viewer/polls.js';

/** @type {{path: string, answer: (status?: number) => void}[]} */
let asked = [];
let follows = false;
let fleetIsSeen = false;
/** @type {string[]} */
let told = [];

async function settle() {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
}

beforeEach(() => {
  asked = [];
  told = [];
  [follows, fleetIsSeen] = [false, false];
  globalThis.document = /** @type {any} */ ({ visibilityState: 'visible' });
  globalThis.fetch = /** @type {any} */ ((path) => new Promise((resolve) => {
    asked.push({ path, answer: (status = 200) => resolve(new Response('{"sessions":[]}', { status })) });
  }));
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  // The clock that nobody sets goes on with the timers.
  const { now } = Date;
  performance.now = () => now.call(Date);
});

const polls = () => createPolls((action) => told.push(action.type), () => told.push('unreachable'), () => follows, () => fleetIsSeen);
/** Answers all that was asked, and forgets it. @param {number} [status] @returns {Promise<string[]>} what it was */
async function answered(status) {
  const paths = asked.map(({ path }) => path).sort();
  for (const { answer } of asked.splice(0)) answer(status);
  await settle();
  return paths;
}

test('an answer of the list that comes after the events have begun does not replace what they said', async () => {
  const it = polls();
  it.told(['sessions']);
  mock.timers.tick(1_000);
  assert.deepEqual(await answered(), ['/sessions']);
  assert.deepEqual(told, ['sessions/loaded']);

  it.told(['sessions']);
  mock.timers.tick(1_000);
  follows = true;
  assert.deepEqual(await answered(), ['/sessions']);
  assert.deepEqual(told, ['sessions/loaded']);
});

test('what is told of is asked for at once, once more when an answer that was kept is over, and never more often than once a second', async () => {
  const it = polls();
  it.told(['queue']);
  mock.timers.tick(150);
  assert.deepEqual(await answered(), ['/jobs', '/queue']);
  mock.timers.tick(2_000);
  assert.deepEqual(await answered(), ['/jobs', '/queue']);
  mock.timers.tick(60_000);
  assert.deepEqual(await answered(), [], 'it is asked for though nothing was told');

  let times = 0;
  for (let ms = 0; ms < 10_000; ms += 20) {
    it.told(['queue']);
    mock.timers.tick(20);
    times += (await answered()).filter((path) => path === '/queue').length;
  }
  assert.ok(times >= 8 && times <= 11, `asked for ${times} times in ten seconds`);
});

test('nothing is asked for every few seconds but machines that are looked at, and what Redis does not answer', async () => {
  const it = polls();
  it.start();
  assert.deepEqual(await answered(), ['/fleet/machines/live', '/flow-days', '/jobs', '/machine/specs', '/queue', '/sessions']);
  for (let ms = 0; ms < 25_000; ms += 2_500) {
    mock.timers.tick(2_500);
    assert.deepEqual(await answered(), []);
  }
  fleetIsSeen = true;
  mock.timers.tick(2_500);
  assert.ok((await answered()).includes('/fleet/machines/live'));
  mock.timers.tick(5_000);
  assert.ok((await answered(503)).includes('/fleet/machines/live'));
  fleetIsSeen = false;
  assert.ok(told.includes('fleet/failed'));
  mock.timers.tick(5_000);
  assert.ok((await answered()).includes('/fleet/machines/live'), 'what was refused is not asked for soon');
});

test('a clock that is set back, or on, changes nothing of what is asked for', async () => {
  fleetIsSeen = true;
  for (const jump of [-3_600_000, 3_600_000]) {
    const it = polls();
    it.start();
    await answered();
    const now = Date.now() + jump;
    Date.now = () => now;
    let times = 0;
    for (let ms = 0; ms < 60_000; ms += 2_500) {
      mock.timers.tick(2_500);
      times += (await answered()).filter((path) => path === '/fleet/machines/live').length;
    }
    assert.ok(times >= 11 && times <= 26, `the machines are asked for ${times} times in a minute`);
    it.told(['queue']);
    mock.timers.tick(1_000);
    assert.ok((await answered()).includes('/queue'), 'what is told of is not asked for');
  }
});

test('a hidden page asks for nothing', async () => {
  const it = polls();
  it.start();
  await answered();
  globalThis.document = /** @type {any} */ ({ visibilityState: 'hidden' });
  it.told(['queue', 'sessions', 'fleet']);
  mock.timers.tick(600_000);
  assert.deepEqual(await answered(), []);
});
