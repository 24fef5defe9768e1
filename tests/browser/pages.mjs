/**
 * Every page has an address that opens it, back and forward go where they should, the keyboard alone reaches all of them,
 * filters and lenses are in the address, a day is picked, and what is shown is saved.
 */

import { readFileSync } from 'node:fs';
import { browserTest, check, checkFaults, note, until, url, waitForPill } from './harness.mjs';
import { ok, signIn } from './terminals.mjs';

await browserTest(async (page, faults) => {
  await note('pages one');
  await note('pages two');
  const id = await ok('crew', 'dispatch', 'shell', '-d', '--message', 'exec cat');
  const at = (/** @type {string} */ path) => until(`the address is ${path}`, async () => new URL(page.url()).pathname + new URL(page.url()).search === path);
  const visible = (/** @type {string} */ what) => until(`${what} is shown`, () => page.locator(what).isVisible());

  // As a stranger: every page opens by its address, and says what it has or teaches.
  for (const [path, what] of [['/fleet', '#page-fleet h2'], ['/queue', '#page-queue h2'], ['/sessions', '#page-sessions h2'], ['/inbox', '#page-inbox h2'], ['/job/none', '#page-job h2'], ['/machine/testbox', '#machine h2'], ['/', '#timeline']]) {
    await page.goto(`${url()}${path}`);
    await waitForPill(page, 'live');
    await visible(what);
    check(await page.locator('main > :visible').count() === 1, `more than one page is shown at ${path}`);
  }
  // A machine that works alone is a fleet of one, and says why it has no queue: also to who comes there first.
  await page.goto(`${url()}/fleet`);
  await until('it is in the table and in the picture', async () => await page.locator('#fleet tr').count() === 1 && await page.locator('.topology .node').count() === 1);
  await page.goto(`${url()}/queue`);
  await until('it is said why there is no queue', () => page.locator('#page-queue h3', { hasText: 'This machine has no queue' }).isVisible());
  await page.goto(url());
  await until('the records are shown', async () => await page.locator('li.record', { hasText: 'pages two' }).count() === 1);

  // By the keyboard.
  await signIn(page);
  await page.keyboard.press('Control+k');
  await visible('#palette');
  await page.keyboard.type('queu');
  await until('the queue is first', async () => /Queue/.test(await page.locator('#palette-list [aria-selected="true"]').innerText()));
  await page.keyboard.press('Enter');
  await at('/queue');
  await visible('#page-queue');
  await page.keyboard.press('Control+k');
  await page.keyboard.type(id);
  await page.keyboard.press('Enter');
  await at(`/session/${id}`);
  await visible('#terminal-pane');
  await page.goBack();
  await at('/queue');
  await visible('#page-queue');
  await page.goForward();
  await visible('#terminal-pane');
  await page.goBack();
  await visible('#page-queue');
  for (const [key, path] of [['f', '/fleet'], ['s', '/sessions'], ['i', '/inbox'], ['l', '/']]) {
    await page.keyboard.press('g');
    await page.keyboard.press(key);
    await at(path);
  }

  // Filters and lenses are in the address, and an address brings them back.
  await page.keyboard.press('/');
  await page.keyboard.type('pages one');
  await at('/?q=pages+one');
  await page.locator('[data-lens="raw"]').click();
  await at('/?q=pages+one&view=raw');
  const raw = page.locator('.raw-lines');
  await page.locator('#theme').click();
  await page.locator('#theme').click();
  await until('raw shows what matches', async () => /^(?=.*pages one)(?!.*pages two)/s.test(await raw.innerText()));
  await page.reload();
  check(/^<!doctype html>\s*<html lang="en" data-first="flow" data-theme="dark">/.test(await (await page.request.get(page.url())).text()), 'the page comes in other colours');
  check(await page.locator('html').evaluate((root) => getComputedStyle(root).colorScheme) === 'dark', 'it is drawn in other colours');
  await until('the address brings the lens back', async () => /pages one/.test(await raw.innerText().catch(() => '')));
  const [saved] = await Promise.all([page.waitForEvent('download'), page.locator('#export').click()]);
  const lines = readFileSync(await saved.path(), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  check(lines.length === 1 && lines[0].handle === 'pages one', `saved: ${JSON.stringify(lines)}`);
  await page.locator('[data-lens="lanes"]').click();
  await page.locator('#clear-filters').click();
  await until('the session has a lane with a bar', async () => await page.locator(`.lane:has(a[href="/session/${id}"]) .lane-bar`).count() === 1);

  // Where the records come from, and the year of days.
  await page.locator('#source').click();
  const truth = page.locator('#source-truth');
  for (const part of ['live since', 'this machine alone', 'Missed']) await until(`"${part}" is told`, async () => (await truth.innerText()).includes(part));
  await page.keyboard.press('Escape');
  await page.locator('#day').click();
  await until('today is in the year', async () => await page.locator('.heat-day[href="/"]').count() === 1);
  check(await page.locator('.heat-week').count() === 53, 'a year has no 53 weeks');
  checkFaults(faults);
});
