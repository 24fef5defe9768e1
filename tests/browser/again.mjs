/**
 * The daemon is killed and started again while a program counts: the terminal comes back by itself, goes on, and has
 * every line once.
 */

import { browserTest, check, checkFaults, until } from './harness.mjs';
import { open, parent, rows, screen, sh, shows, signIn } from './terminals.mjs';

const GONE = /Failed to load resource|WebSocket connection to .* failed/;

await browserTest(async (page, faults) => {
  const ask = parent();
  const id = await sh('trap "echo interrupted; exec cat" INT; n=0; while :; do n=$((n+1)); echo "<$n>"; sleep 0.02; done');
  await signIn(page);
  await open(page, id);
  await shows(page, /<\d+>/);

  await ask('kill');
  await until('the terminal says that the connection is lost', async () => /lost/.test(await page.locator('#terminal-state').innerText().catch(() => '')));
  const shown = last(await rows(page));
  await ask('start');
  await until('the terminal goes on', async () => last(await rows(page)) > shown + 30, 40_000);
  check(await page.locator('#terminal-state').isHidden(), 'the terminal still says that the connection is lost');

  await page.locator('#terminal .xterm-helper-textarea').focus();
  await page.keyboard.press('Control+c');
  await shows(page, 'interrupted');
  await until('the records are live again', async () => (await page.locator('#source').innerText()) === 'live', 40_000);

  // From the end to the beginning, a page at a time.
  const seen = new Set();
  let view = await rows(page);
  for (let pages = 0; pages < 200; pages += 1) {
    const numbers = view.map((row) => Number(/^<(\d+)>$/.exec(row)?.[1] ?? 0)).filter((n) => n > 0);
    check(numbers.every((n, index) => index === 0 || n === numbers[index - 1] + 1), `not one after the other: ${numbers}`);
    for (const n of numbers) seen.add(n);
    if (numbers[0] === 1) break;
    const top = view[0];
    await page.keyboard.press('Shift+PageUp');
    await until('it scrolls', async () => (await rows(page))[0] !== top);
    view = await rows(page);
  }
  const most = Math.max(...seen);
  check(seen.has(1) && seen.size === most && most > shown, `${seen.size} numbers up to ${most}: ${(await screen(page)).slice(0, 200)}`);
  checkFaults(faults, GONE);
});
// An open stdin would keep the process.
process.stdin.destroy();

/** @param {string[]} all */
function last(all) {
  return Math.max(0, ...all.map((row) => Number(/^<(\d+)>$/.exec(row)?.[1] ?? 0)));
}
