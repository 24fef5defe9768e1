/**
 * The page asks for little and keeps little: one style and one script, kept for good; few rows however many records come;
 * a search whose result is complete; and nothing moves under who reads older records.
 */

import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { browserTest, check, checkFaults, env, until, url, waitForPill } from './harness.mjs';

const MANY = 6_000;
/** Rows of the live page, and the title of a day. */
const MOST_ROWS = 400 + 2;
/** Rows of who reads older ones: those and some that came. */
const MOST_PAUSED = MOST_ROWS + 100;

const day = new Date().toISOString().slice(0, 10);
const flows = join(env('DARKMUX_TEST_HOME'), 'flows');
let written = 0;
mkdirSync(flows, { recursive: true });

/** Appends records as another machine's daemon would have. @param {number} count */
function write(count) {
  const lines = Array.from({ length: count }, () => `${JSON.stringify({
    ts: new Date().toISOString(), level: 'info', category: 'work', tier: 'local', stage: 'dispatch', action: 'note', handle: `lean-${written % 7}`,
    machine_id: 'desk', record_id: `lean-${written++}`,
  })}\n`);
  appendFileSync(join(flows, `${day}.jsonl`), lines.join(''));
}

await browserTest(async (page, faults) => {
  /** @type {string[]} */
  let asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  let firstRecords = 0;
  page.on('request', (request) => firstRecords += Number(request.url().endsWith(`/flow/${day}?limit=100`)));
  const parts = () => asked.filter((path) => /\.(?:m?js|css)$/.test(path)).map((path) => path.replace(/-[0-9a-f]{16}\./, '.')).sort();
  const ours = ['/assets/viewer.css', '/assets/viewer.js'];

  await page.goto(url());
  await waitForPill(page, 'live');
  // And the worker that its tabs share.
  check(parts().join() === [...ours, '/assets/worker.js'].join(), `asked for ${parts().join(', ')}`);
  check(firstRecords <= 1, `the first records were asked for ${firstRecords} times`);
  // A busy machine may take longer than the page waits for them.
  await until('the first records come with the page, and are not asked for', async () => {
    firstRecords = 0;
    await page.goto(url());
    await waitForPill(page, 'live');
    return firstRecords === 0;
  });
  // The first frame has all its styles: it looks the same once the others are there, and nothing of it moves.
  /** @param {number} width @param {RegExp} left what it goes without */
  async function frame(width, left) {
    const other = await page.context().newPage();
    await other.setViewportSize({ width, height: 800 });
    await other.route(/viewer-[0-9a-f]{16}\./, (route) => (left.test(route.request().url()) ? route.abort() : route.continue()));
    await other.goto(url());
    const picture = await other.screenshot({ animations: 'disabled' });
    await other.close();
    return picture;
  }
  for (const width of [390, 1280]) {
    // What fades or turns at the moment of a picture is no difference that stays.
    await until(`the first frame at ${width} is the same without the later styles`, async () => (await frame(width, /./)).equals(await frame(width, /js$/)));
  }
  asked = [];
  await page.goto(`${url()}/fleet`);
  await waitForPill(page, 'live');
  const sent = await page.evaluate(() => performance.getEntriesByType('resource').filter(({ name }) => name.includes('/assets/viewer-'))
    .map((one) => /** @type {PerformanceResourceTiming} */ (one).transferSize));
  check(sent.length === ours.length && sent.every((size) => size === 0), `came over the network again: ${sent.join(', ')}`);

  // A page that is not shown is not drawn.
  const rows = page.locator('#records > li');
  await page.evaluate(() => {
    Object.assign(window, { changes: 0 });
    new MutationObserver((list) => Object.assign(window, { changes: Object(window).changes + list.length })).observe(document.querySelector('.flow'), { subtree: true, childList: true, characterData: true });
  });
  write(500);
  await page.locator('nav a[data-pane="queue"]').click();
  await page.locator('nav a[data-pane="fleet"]').click();
  write(500);
  const newest = async () => page.evaluate(() => document.querySelector('#records > li:last-child')?.getAttribute('data-record-id') ?? '');
  check(await page.evaluate(() => Object(window).changes) === 0, 'the flow was drawn while it was not shown');
  await page.locator('nav a[data-pane="flow"]').click();
  await until('the newest of what came meanwhile is shown', async () => (await newest()) === 'lean-999');

  // Many at once: rows stay few, and the last one ends up in view.
  for (let left = MANY; left > 0; left -= 500) write(500);
  let most = 0;
  await until('the last of many is shown', async () => {
    most = Math.max(most, await rows.count());
    return (await newest()) === `lean-${written - 1}`;
  });
  check(most <= MOST_ROWS, `${most} rows`);
  check(await page.locator('#records > li').last().isVisible(), 'the newest is out of view');
  await until('the rows out of view come back when it is calm', async () => (await rows.count()) >= 400);
  check(await rows.count() <= MOST_ROWS, `${await rows.count()} rows when it is calm`);

  // Who reads older records.
  await page.keyboard.press('f');
  const first = () => page.evaluate(() => {
    const top = document.querySelector('#timeline')?.getBoundingClientRect().top ?? 0;
    const seen = [...document.querySelectorAll('#records > li.record')].find((row) => row.getBoundingClientRect().bottom > top + 40);
    return `${seen?.getAttribute('data-record-id')} at ${Math.round(seen?.getBoundingClientRect().top ?? 0)}`;
  });
  const before = await first();
  for (let n = 0; n < 4; n += 1) write(500);
  await until('what came is counted', async () => (await page.locator('#new-records').innerText()).startsWith('2,000 new'));
  check(await first() === before, `${before} became ${await first()}`);
  check(await rows.count() <= MOST_PAUSED, `${await rows.count()} rows while paused`);
  await page.locator('#new-records').click();
  await until('the newest is shown again', async () => (await newest()) === `lean-${written - 1}`);

  // A search, and another one before it can have ended.
  await page.locator('#search').fill('lean-3');
  await page.locator('#search').fill('lean-5');
  await until('the later search alone is shown', async () => page.evaluate(() => {
    const found = [...document.querySelectorAll('#records .record-handle')].map((one) => one.textContent);
    return found.length >= 400 && found.every((text) => text === 'lean-5');
  }));
  await page.locator('#search').fill('nothing-is-called-so');
  await until('that nothing matches is said when all was looked at', async () => (await page.locator('#empty').innerText()).includes('No record matches'));
  checkFaults(faults);
});
