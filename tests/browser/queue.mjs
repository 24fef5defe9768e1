/**
 * The queue is shown at a glance: depth, what runs and where, dead letters, whatever their words are; on a narrow
 * page it is a pane of its own; and when Redis goes, the page says so and keeps what it knew.
 *
 * The parent process owns Redis; the two speak in lines:
 *
 *   stdout  PHASE listed      everything is shown; end Redis
 *   stdout  PHASE done        and exit status 0
 */

import { browserTest, check, url, until, waitForPill } from './harness.mjs';

const NARROW = { width: 400, height: 800 };

await browserTest(async (page, faults) => {
  await page.goto(`${url()}/queue`);
  await waitForPill(page, 'live');
  const job = (/** @type {string} */ id) => page.locator(`#queue-jobs tr[data-job-id="${id}"]`);
  await until('the jobs are listed', async () => await page.locator('#queue-jobs tr').count() === 3);
  check((await page.locator('#queue-count').innerText()) === '1 queued · 1 running', `the depth is wrong: ${await page.locator('#queue-count').innerText()}`);
  const running = await job('run-1').innerText();
  for (const part of ['<b>name</b>', 'running', 'shell', 'studio']) check(running.includes(part), `the running job does not show "${part}": ${running}`);
  check((await job('wait-1').innerText()).includes('waits'), 'the queued job does not say how long it waits');
  check(await job('dead-1').getAttribute('data-tone') === 'bad', 'the dead job is not marked');
  const facts = await page.locator('#queue-facts').innerText();
  check(facts.includes('runs run-1') && facts.includes('studio'), `who holds what is not shown: ${facts}`);
  const dead = await page.locator('#queue-dead').innerText();
  check((await page.locator('#page-queue').innerText()).includes('1 dead letter') && dead.includes('<img src=x onerror=alert(1)>'), `the dead letter is not shown as text: ${dead}`);
  check(await page.locator('#page-queue img, #page-queue b').count() === 0, 'hostile words became elements');
  check(!(await page.locator('#page-queue').innerText()).includes('echo secret'), 'a message is shown');

  await page.setViewportSize(NARROW);
  await page.locator('#panes [data-pane="queue"]').click();
  check(await page.locator('#queue-jobs').isVisible() && !await page.locator('#sessions').isVisible(), 'the queue is no pane of its own');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  check(wide <= NARROW.width, `the page is ${wide} px wide at ${NARROW.width} px`);
  await page.setViewportSize({ width: 1280, height: 800 });
  check(faults.length === 0, `faults on the page:\n${faults.join('\n')}`);
  process.stdout.write('PHASE listed\n');

  const problem = page.locator('#queue-problem');
  await until('the page says that Redis is away', async () => await problem.isVisible());
  check((await problem.innerText()).includes('darkmux doctor'), `no way out in: ${await problem.innerText()}`);
  check(await page.locator('#queue-jobs tr').count() === 3, 'the last that was known is gone');
  // The browser itself reports an answer of 503.
  const others = faults.filter((fault) => !['/fleet/machines/live', '/jobs', '/queue'].some((path) => fault.includes(path)));
  check(others.length === 0, `faults on the page:\n${others.join('\n')}`);
  process.stdout.write('PHASE done\n');
});
