/**
 * One page before three machines of one fleet: a job goes from it to another machine; that machine dies and comes back,
 * Redis dies and comes back, and the page says what is known meanwhile; then it is one of 65 who look. The parent process
 * owns the machines and Redis: `DO <what>` is answered with `done`.
 */

import { get } from 'node:http';
import { browserTest, check, checkFaults, darkmux, note, until, url } from './harness.mjs';
import { ok, parent, signIn } from './terminals.mjs';

const OTHERS = 64;
/** A sign of life is good for a while, and its end is looked for now and then. */
const SIGN_MS = 60_000;
/** What the browser itself reports of answers and streams while something is dead. */
const CAUSED = /status of (401|404|429|50\d)|ERR_CONNECTION|ERR_INCOMPLETE|WebSocket connection/;

/** Streams of the flow beside the page's. @returns {Promise<{told: (text: string) => number, close: () => void}>} */
async function others() {
  const day = new Date().toISOString().slice(0, 10);
  /** @type {{said: string, status: number, request: import('node:http').ClientRequest}[]} */
  const all = Array.from({ length: OTHERS }, () => {
    const one = { said: '', status: 0, request: get(`${url()}/flow/${day}/stream`, { agent: false }, (answer) => {
      one.status = answer.statusCode ?? 0;
      answer.setEncoding('utf8').on('data', (/** @type {string} */ text) => { one.said += text; }).on('error', () => {});
    }) };
    one.request.on('error', () => {});
    return one;
  });
  await until('all others have a stream', async () => all.every(({ status, said }) => status === 200 && said !== ''));
  return { told: (text) => all.filter(({ said }) => said.includes(text)).length, close: () => all.forEach(({ request }) => request.destroy()) };
}

await browserTest(async (page, faults) => {
  const tell = parent();
  await signIn(page);
  const go = (/** @type {string} */ pane) => page.locator(`#panes [data-pane="${pane}"]`).click();
  const machine = (/** @type {string} */ name) => page.locator(`#fleet tr[data-machine="${name}"]`);
  const peer = (/** @type {string} */ name) => page.locator(`#peers tr[data-peer="${name}"]`);
  await go('fleet');
  await until('three machines are there', async () => await page.locator('#fleet tr[data-machine]').count() === 3, SIGN_MS);
  for (const name of ['studio', 'rack']) await until(`the link to ${name} is up`, async () => await peer(name).getAttribute('data-status') === 'connected');
  check((await machine('studio').innerText()).includes('idle 0/'), `studio shows: ${await machine('studio').innerText()}`);

  // From the page to another machine.
  await page.keyboard.press('d');
  await page.locator('#dispatch-role').fill('shell');
  await page.locator('#dispatch-message').fill('echo "ran on $DARKMUX_MACHINE_ID"; exec cat');
  await page.locator('#dispatch-machine').fill('studio');
  await page.locator('#dispatch-pin').check();
  await page.locator('#dispatch-form [type=submit]').click();
  await until('the job has its page', async () => new URL(page.url()).pathname.startsWith('/job/'));
  const id = new URL(page.url()).pathname.split('/')[2];
  await until('it runs there', async () => /running/.test(await page.locator('#page-job').innerText()) && /studio/.test(await page.locator('#page-job').innerText()));
  await until('its terminal is here', async () => (await page.locator('.job-terminal .xterm-rows').innerText().catch(() => '')).includes('ran on'));
  await go('fleet');
  await until('the fleet shows what it does', async () => /busy 1\//.test(await machine('studio').innerText()));
  const known = (await machine('studio').locator('td').nth(5).innerText()).trim();

  // That machine dies, and comes back.
  const its = page.locator(`#sessions li[data-session-id="${id}@studio"]`);
  await until('its session is listed', async () => await its.count() === 1);
  await tell('kill studio');
  await until('its link is down', async () => await peer('studio').getAttribute('data-status') !== 'connected', SIGN_MS);
  await until('its session is said to be as it was last known', async () => /disconnected|last known|away|no link|not connected/i.test(await its.innerText() + await its.locator('[title]').evaluateAll((all) => all.map((one) => one.getAttribute('title')).join(' '))));
  await until('it gives no sign of life', async () => (await machine('studio').innerText()).includes('no sign of life'), SIGN_MS);
  check(await machine('studio').getAttribute('data-gone') === 'true', 'it is not marked as gone');
  check((await machine('studio').locator('td').nth(5).innerText()).trim() === known && known !== '', `what was known of it is lost: ${await machine('studio').innerText()}`);
  check(!(await machine('rack').innerText()).includes('no sign of life'), 'the other machine is said to be gone, too');
  await tell('start studio');
  await until('it is back', async () => await machine('studio').getAttribute('data-gone') === null && /busy 1\//.test(await machine('studio').innerText()), SIGN_MS);
  await until('its link is up again', async () => await peer('studio').getAttribute('data-status') === 'connected', SIGN_MS);

  // Redis dies, and comes back.
  await tell('kill redis');
  await until('the page says that Redis is away', () => page.locator('#fleet-problem').isVisible());
  check(await page.locator('#fleet tr[data-machine]').count() === 3, 'the machines that were known are gone from the page');
  await go('queue');
  await until('the queue says so, too', () => page.locator('#queue-problem').isVisible());
  check(await page.locator(`#queue-jobs tr[data-job-id="${id}"]`).count() === 1, 'the jobs that were known are gone from the page');
  await go('flow');
  await note('while Redis is dead');
  const record = (/** @type {string} */ text) => page.locator('li.record', { hasText: text });
  await until('records of this machine come all the same', async () => await record('while Redis is dead').count() === 1);
  await tell('start redis');
  await go('fleet');
  await until('the fleet is known again', async () => !await page.locator('#fleet-problem').isVisible(), SIGN_MS);
  await until('and every machine in it', async () => await page.locator('#fleet tr[data-machine]:not([data-gone])').count() === 3, SIGN_MS);
  await go('queue');
  await until('the queue is known again', async () => !await page.locator('#queue-problem').isVisible());
  await until('the job runs on', async () => /running/.test(await page.locator(`#queue-jobs tr[data-job-id="${id}"]`).innerText()), SIGN_MS);
  await go('flow');
  await tell('note rack from-the-rack');
  await until('records of other machines come again', async () => await record('from-the-rack').count() === 1, SIGN_MS);

  // Many others look, too; a job is cancelled, and everybody hears of it at once.
  const crowd = await others();
  await tell('note rack to-the-crowd');
  await until('all others are told', async () => crowd.told('to-the-crowd') === OTHERS);
  await until('and so is the page', async () => await record('to-the-crowd').count() === 1);
  await ok('job', 'cancel', id);
  await go('queue');
  await until('the page hears that it was cancelled', async () => /cancelled/.test(await page.locator(`#queue-jobs tr[data-job-id="${id}"]`).innerText()));
  await until('nobody is left out', async () => crowd.told('job.cancelled') === OTHERS);
  crowd.close();
  check((await darkmux('serve', '--help')).status === 0, 'darkmux is not there');
  checkFaults(faults, CAUSED);
});
process.stdin.destroy();
