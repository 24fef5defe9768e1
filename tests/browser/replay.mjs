/**
 * The showcase in a page of a daemon: it plays, every page shows its moment, nothing is asked of the daemon but the
 * recording, and nothing can be changed. A day that is over has the same bar.
 */

import { browserTest, check, checkFaults, darkmux, note, until, url, waitForPill } from './harness.mjs';

/** @param {import('playwright-core').Page} page @param {string} path @param {number} at seconds into it */
async function go(page, path, at) {
  await page.goto(`${url()}${path}${path.includes('?') ? '&' : '?'}replay=showcase&at=${at}`);
  await waitForPill(page, 'replay (showcase)');
}

await browserTest(async (page, faults) => {
  /** @type {string[]} */
  const asked = [];
  page.on('request', (request) => request.isNavigationRequest() || asked.push(new URL(request.url()).pathname));
  page.on('websocket', (socket) => asked.push(socket.url()));
  const text = (/** @type {string} */ what) => page.locator(what).innerText();
  const time = () => text('.play-time');

  // It plays by itself, and is paused by the keyboard; then its moment is in the address.
  await page.goto(`${url()}/?replay=showcase`);
  await waitForPill(page, 'replay (showcase)');
  const first = await until('it has a moment', time);
  await until('it plays', async () => await time() !== first);
  await until('records come', async () => await page.locator('li.record').count() > 2);
  await page.keyboard.press('Space');
  await until('the moment is in the address', async () => /replay=showcase&at=\d/.test(page.url()));
  const paused = page.url();
  await page.locator('#panes [data-pane="queue"]').click();
  check(new URL(page.url()).search === new URL(paused).search, `another page is at ${page.url()}`);

  // The bar goes anywhere, and every page follows.
  const scrub = (/** @type {number} */ part) => page.locator('#play-moment').evaluate((bar, to) => {
    if (!(bar instanceof HTMLInputElement)) return;
    bar.value = String(Number(bar.max) * to);
    bar.dispatchEvent(new Event('input'));
    bar.dispatchEvent(new Event('change'));
  }, part);
  await scrub(1);
  await until('a job was run again elsewhere', async () => await page.locator('#queue-jobs tr', { hasText: 'bench: parser' }).count() === 1);
  check(await page.locator('#queue-dead tr').count() >= 2, 'the dead letters are not shown');
  const acts = page.locator('#page-queue [data-acts]');
  check(await acts.count() > 5 && await page.locator('#page-queue [data-acts]:not(:disabled)').count() === 0, 'something can be done to the queue of a recording');
  check(/replay/.test(await acts.first().getAttribute('title') ?? ''), 'it is not said why nothing can be done');
  for (const key of ['n', 'd']) await page.keyboard.press(key);
  check(await page.locator('dialog[open]').count() === 0, 'a key opens what cannot be done');
  // A link that is opened in another tab leads into the same replay.
  const [other] = await Promise.all([page.context().waitForEvent('page'), page.locator('#queue-jobs a').first().click({ modifiers: ['ControlOrMeta'] })]);
  await waitForPill(other, 'replay (showcase)');
  check(/^\/job\//.test(new URL(other.url()).pathname), `another tab shows ${other.url()}`);
  await other.close();
  await page.bringToFront();

  await scrub(0);
  await until('it was not there at the beginning', async () => await page.locator('#queue-jobs tr', { hasText: 'bench: parser' }).count() === 0);

  await page.locator('#panes [data-pane="fleet"]').click();
  await until('three machines are there', async () => await page.locator('#fleet tr').count() === 3);
  await scrub(0.68);
  await until('Redis is away', () => page.locator('#fleet-problem').isVisible());
  await scrub(1);
  await until('Redis is back', async () => !await page.locator('#fleet-problem').isVisible());

  // A job's page, its output by then, and its terminal; a terminal of another machine.
  await page.locator('#panes [data-pane="queue"]').click();
  await page.locator('#queue-jobs a', { hasText: 'unit tests' }).click();
  const screen = async () => (await page.locator('.player .xterm-rows').innerText()).replaceAll('\u00a0', ' ');
  await until('its output is shown', async () => (await screen().catch(() => '')).includes('48 passed'));
  await until('its records are there', async () => await page.locator('.job-record').count() > 1);
  await scrub(0.1);
  await until('its output ends where it was', async () => { const now = await screen().catch(() => ''); return now.includes('running 48 tests') && !now.includes('48 passed'); });
  await scrub(1);
  await page.locator('#sessions button', { hasText: 'Refactor the lexer' }).first().click();
  const rows = async () => (await page.locator('#terminal .xterm-rows').innerText().catch(() => '')).replaceAll('\u00a0', ' ');
  await until('the agent has ended its turn', async () => (await rows()).includes('no longer allocates'));
  await scrub(0.3);
  await until('it is at work', async () => (await rows()).includes('The lexer copies each token') && !(await rows()).includes('no longer allocates'));
  await page.locator('#terminal .xterm-helper-textarea').focus();
  await page.keyboard.type('x');
  await until('typing is refused', async () => /watch and not type/.test(await page.locator('.toasts').innerText().catch(() => '')));

  // As it is written the flow ends at its newest, whatever takes of its height, until somebody reads on above.
  await go(page, '/?view=raw', 100);
  const raw = page.locator('.raw-lines');
  const left = () => raw.evaluate((lines) => (lines.scrollTop === 0 ? Infinity : lines.scrollHeight - lines.scrollTop - lines.clientHeight));
  await until('raw ends at its newest line', async () => await left() < 2);
  await page.setViewportSize({ width: 1280, height: 560 });
  await until('it still does in a lower window', async () => await raw.evaluate(({ clientHeight }) => clientHeight) < 400 && await left() < 2);
  await raw.evaluate((lines) => lines.scrollBy(0, -200));
  await until('who reads is not moved', async () => await page.locator('#follow').getAttribute('aria-pressed') === 'false' && await left() > 100);
  await page.locator('#follow').click();
  await until('it follows again', async () => await left() < 2);
  await page.setViewportSize({ width: 1280, height: 800 });

  // The palette leads within the recording, and offers nothing that changes something.
  await go(page, '/inbox', 60);
  await until('an agent asks something', async () => /cargo test/.test(await text('#page-inbox').catch(() => '')));
  check(await page.locator('.inbox-answer [data-acts]:not(:disabled)').count() === 0, 'an agent of a recording can be answered');
  await page.keyboard.press('Control+k');
  await page.keyboard.type('pause the queue');
  check(!/Pause the queue/.test(await text('#palette-list')), 'the palette offers to pause the queue');
  await page.keyboard.press('Escape');
  await page.locator('#source').click();
  await until('the way out is shown', () => page.getByRole('link', { name: 'Leave the replay' }).isVisible());
  const foreign = asked.filter((path) => !path.startsWith('/assets/') && path !== '/favicon.ico');
  check(foreign.length === 0, `a recording asked the daemon for ${foreign}`);

  // One that is not there is said.
  await page.goto(`${url()}/?replay=none`);
  await until('it is said', async () => /There is no replay called none/.test(await text('#empty').catch(() => '')));

  // A day: all of it first, then from its beginning.
  await note('of today');
  const { stdout } = await darkmux('flow', 'status', '--json');
  check(stdout.includes('{'), 'there is no flow');
  await page.goto(`${url()}/play/2026-01-02`);
  await waitForPill(page, 'replay (2026-01-02)');
  await until('its records are shown', async () => await page.locator('li.record').count() === 3);
  await page.locator('.play').click();
  await until('it begins anew', async () => await page.locator('li.record').count() === 1);
  await until('silence is passed over', async () => await page.locator('li.record').count() === 3);
  // What is chosen shows at once where the clock stands still.
  await page.goto(`${url()}/flow/2026-01-02?view=lanes`);
  await until('it has lanes', async () => await page.locator('#lanes .lane').count() > 0);
  await page.locator('#search').fill('in none of the records');
  await until('the lanes are those that match', async () => await page.locator('#lanes .lane').count() === 0);
  // Another page and back is the same day, and the present is another page.
  await page.goto(`${url()}/flow/2026-01-02`);
  await waitForPill(page, 'replay (2026-01-02)');
  await page.locator('#panes [data-pane="queue"]').click();
  await page.locator('#panes [data-pane="flow"]').click();
  check(new URL(page.url()).pathname === '/flow/2026-01-02', `the flow of a day's page is at ${page.url()}`);
  await page.locator('#day').click();
  await page.locator('.day-list a', { hasText: 'Today, live' }).click();
  await waitForPill(page, 'live');
  await page.goto(`${url()}/flow/2026-01-02`);
  await waitForPill(page, 'replay (2026-01-02)');
  await page.locator('#panes [data-pane="sessions"]').click();
  check(!await page.locator('#playbar').isVisible(), 'the present has a bar of the past');
  checkFaults(faults, /showcase|none\.json|404/);
});
