/**
 * The daemon is killed and restarted while records are appended: afterwards every record is shown
 * exactly once, and the source pill told the truth on the way.
 *
 * The parent process owns the daemon; the two speak in lines:
 *
 *   stdout  PHASE live        the page is live; append records, kill -9 the daemon, go on appending
 *   stdout  PHASE down        the page has noticed; restart the daemon on the same port
 *   stdin   expect <prefix> <count>
 *                             the daemon was restarted; the handles of all records appended
 *                             by then are `<prefix>-1` to `<prefix>-<count>`
 *   stdout  PHASE done        and exit status 0
 */

import { createInterface } from 'node:readline';
import { browserTest, check, pill, url, until, waitForPill } from './harness.mjs';

const RESUMED_WITHIN_MS = 30_000;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** @param {string} name */
const phase = (name) => process.stdout.write(`PHASE ${name}\n`);

async function expected() {
  const { value = '' } = await lines.next();
  const [word, prefix, count] = value.split(' ');
  check(word === 'expect' && Number(count) > 0, `expected "expect <prefix> <count>" on stdin, got "${value}"`);
  return Array.from({ length: Number(count) }, (_, index) => `${prefix}-${index + 1}`);
}

await browserTest(async (page, faults) => {
  await page.goto(url());
  await waitForPill(page, 'live');
  await page.evaluate(() => {
    const source = /** @type {HTMLElement} */ (document.getElementById('source'));
    const told = /** @type {string[]} */ ([]);
    Object.assign(window, { told });
    new MutationObserver(() => told.push(source.textContent ?? '')).observe(source, { childList: true, characterData: true, subtree: true });
  });
  phase('live');

  await until('the page notices that the daemon is gone', async () => (await pill(page)) === 'no daemon');
  phase('down');

  const wanted = await expected();
  const handles = () => page.locator('.record-handle').evaluateAll((cells) => cells.map((cell) => cell.textContent ?? ''));
  await until('the page is live again', async () => (await pill(page)) === 'live', RESUMED_WITHIN_MS);
  await until('every record is shown', async () => {
    const shown = new Set(await handles());
    return wanted.every((handle) => shown.has(handle));
  }, RESUMED_WITHIN_MS).catch(async (error) => {
    const shown = new Set(await handles());
    throw new Error(`${error.message}; missing: ${wanted.filter((handle) => !shown.has(handle)).slice(0, 20)}`);
  });

  const shown = (await handles()).filter((handle) => wanted.includes(handle));
  check(shown.length === wanted.length, `${shown.length} rows for ${wanted.length} records: some are shown twice`);
  check(shown.every((handle, index) => handle === wanted[index]), 'the records are not in the order of the log');

  const told = await page.evaluate(() => /** @type {any} */ (window).told);
  check(told.at(-1) === 'live' && told.includes('no daemon'), `the pill told: ${told}`);
  const uncaught = faults.filter((fault) => !fault.startsWith('console: Failed to load resource'));
  check(uncaught.length === 0, `faults on the page:\n${uncaught.join('\n')}`);
  phase('done');
});
// An open stdin would keep the process.
process.stdin.destroy();
