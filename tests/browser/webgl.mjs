/** The terminal is drawn by WebGL where the browser has it, without a word about it on the console. */

import { browserTest, check, checkFaults, until } from './harness.mjs';
import { sh, signIn } from './terminals.mjs';

// Without a card the browser computes the drawing; on a busy machine its watchdog takes that for a hang.
const FLAGS = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist', '--disable-gpu-watchdog'];

await browserTest(async (page, faults) => {
  const id = await sh("printf '\\033[41m\\033[2J\\033[H'; exec cat");
  await signIn(page);
  await until('this browser has WebGL', () => page.evaluate(() => document.createElement('canvas').getContext('webgl2') !== null));
  await page.locator(`#sessions li[data-session-id="${id}"] button`).click();
  await until('the terminal has a canvas of its own', () => page.locator('#terminal canvas:not(.xterm-decoration-overview-ruler)').count());
  check(await page.locator('#terminal .xterm-rows > div').count() === 0, 'the terminal is drawn twice');
  checkFaults(faults);
}, { without: ['--disable-gpu', '--disable-3d-apis'], flags: FLAGS });
