import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFrames } from '../../assets/viewer/frame.js';

test('the first frame waits for what is to be shown, and not for ever', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  /** @type {(() => void)[]} */
  const asked = [];
  Object.assign(globalThis, { requestAnimationFrame: (/** @type {() => void} */ go) => asked.push(go) });
  const drawn = /** @type {boolean[]} */ ([]);
  const frames = createFrames((all) => drawn.push(all), true);
  frames.start();
  frames.soon(false);
  assert.equal(asked.length, 0);
  frames.soon(true);
  frames.soon(true);
  assert.equal(asked.length, 1);
  asked[0]();
  assert.deepEqual(drawn, [false]);
  t.mock.timers.tick(1_000);
  assert.deepEqual(drawn, [false]);
  frames.soon(false);
  assert.equal(asked.length, 2);

  const late = createFrames((all) => drawn.push(all), true);
  late.start();
  late.soon(false);
  t.mock.timers.tick(150);
  assert.deepEqual(drawn, [false, false]);

  const atOnce = createFrames((all) => drawn.push(all), false);
  atOnce.start();
  atOnce.now(true);
  assert.deepEqual(drawn, [false, false, false, true]);
});
