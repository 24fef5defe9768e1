import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { createPolls } from '../../assets/viewer/polls.js';

test('an answer of the list that comes after the events have begun does not replace what they said', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  let follows = false;
  /** @type {(() => void)[]} */
  const answers = [];
  const answer = () => ({ ok: true, status: 200, headers: new Headers(), json: async () => ({ sessions: [] }), text: async () => '{"sessions":[]}' });
  mock.method(globalThis, 'fetch', () => new Promise((resolve) => answers.push(() => resolve(answer()))));
  const told = [];
  const polls = createPolls((action) => told.push(action.type), () => told.push('unreachable'), () => follows);
  const settle = async () => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };

  polls.sessionsChanged();
  mock.timers.tick(1_000);
  assert.equal(answers.length, 1, 'the list was not asked for');
  answers[0]();
  await settle();
  assert.deepEqual(told, ['sessions/loaded']);

  polls.sessionsChanged();
  mock.timers.tick(1_000);
  assert.equal(answers.length, 2, 'the list was not asked for again');
  follows = true;
  answers[1]();
  await settle();
  assert.deepEqual(told, ['sessions/loaded']);
});
