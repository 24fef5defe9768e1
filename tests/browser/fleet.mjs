/**
 * The machines of the fleet are listed with what they say of themselves, whatever that is; a clash is named;
 * the list fits a narrow page; and when Redis goes, the page says so and keeps what it knew.
 *
 * The parent process owns Redis; the two speak in lines:
 *
 *   stdout  PHASE listed      every machine is shown; end Redis
 *   stdout  PHASE done        and exit status 0
 */

import { browserTest, check, url, until, waitForPill } from './harness.mjs';

const NARROW = { width: 400, height: 800 };

await browserTest(async (page, faults) => {
  await page.goto(`${url()}/fleet`);
  await waitForPill(page, 'live');
  const machine = (/** @type {string} */ uid) => page.locator(`#fleet tr[data-machine-uid="${uid}"]`);
  await until('the machines are listed', async () => await page.locator('#fleet tr').count() === 4);
  const own = page.locator('#fleet tr[data-machine="testbox"]');
  check((await own.innerText()).includes('idle 0/3'), `this machine shows: ${await own.innerText()}`);
  check((await page.locator('#fleet-count').innerText()) === '4 machines', 'the count is wrong');

  const busy = await machine('u1').innerText();
  for (const part of ['studio', 'clash', '9.9.9', 'linux x86_64', '3.0 GiB free', 'qwen3-4b', '2 machines are called studio']) {
    check(busy.includes(part), `the busy machine does not show "${part}": ${busy}`);
  }
  check(await machine('u2').getAttribute('data-tone') === 'bad', 'the other of the same name is not marked');
  const hostile = await machine('u3').innerText();
  check(hostile.includes('<img src=x onerror=alert(1)>'), `a hostile name is not text: ${hostile}`);
  check(await page.locator('#fleet img').count() === 0, 'a hostile name became an element');

  for (const scheme of /** @type {const} */ (['light', 'dark'])) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize(NARROW);
    await page.locator('#panes [data-pane="fleet"]').click();
    check(await page.locator('#fleet').isVisible(), `the fleet is not shown on a narrow ${scheme} page`);
    check(!await page.locator('#sessions').isVisible(), 'the sessions are shown beside it');
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    check(wide <= NARROW.width, `the page is ${wide} px wide at ${NARROW.width} px`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  check(faults.length === 0, `faults on the page:\n${faults.join('\n')}`);
  process.stdout.write('PHASE listed\n');

  const problem = page.locator('#fleet-problem');
  await until('the page says that Redis is away', async () => await problem.isVisible());
  check((await problem.innerText()).includes('darkmux doctor'), `no way out in: ${await problem.innerText()}`);
  check(await page.locator('#fleet tr').count() === 4, 'the last that was known is gone');
  // The browser itself reports an answer of 503.
  const others = faults.filter((fault) => !['/fleet/machines/live', '/jobs', '/queue'].some((path) => fault.includes(path)));
  check(others.length === 0, `faults on the page:\n${others.join('\n')}`);
  process.stdout.write('PHASE done\n');
});
