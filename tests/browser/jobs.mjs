/** A job is dispatched from the page, which says before who could run it; it is watched, replayed, tried again, cancelled. */

import { browserTest, check, checkFaults, until } from './harness.mjs';
import { ok, signIn } from './terminals.mjs';

const SCRIPT = "printf 'one '; sleep 0.7; printf 'two '; sleep 0.7; echo three";

await browserTest(async (page, faults) => {
  await signIn(page);
  await page.locator('#panes [data-pane="queue"]').click();
  const dispatch = page.getByRole('button', { name: 'Dispatch…' });
  await until('jobs can be dispatched', () => dispatch.isVisible());

  /** @param {string} message @param {string} name @param {string} [needs] */
  async function fill(message, name, needs = '') {
    await dispatch.click();
    await page.locator('#dispatch-role').fill('shell');
    await page.locator('#dispatch-message').fill(message);
    await page.locator('#dispatch-name').fill(name);
    await page.locator('#dispatch-require').fill(needs);
  }
  await fill('echo x', 'wants', 'gpu=h100');
  const verdict = page.locator('#dispatch-judgement .verdict');
  await until('the machine is judged', async () => {
    await page.locator('#dispatch-try').click();
    return await verdict.count() === 1;
  });
  check(await verdict.getAttribute('data-verdict') === 'no', `the machine could run it: ${await page.locator('#dispatch-judgement').innerText()}`);
  await page.locator('#dispatch-form [type=submit]').click();
  await until('the job has its page', async () => new URL(page.url()).pathname.startsWith('/job/'));
  const heading = page.locator('#page-job .page-head');
  await until('it says why it waits', async () => (await page.locator('#page-job').innerText()).includes('needs gpu=h100'));
  await heading.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('#ask-yes').click();
  await until('it is cancelled', async () => (await heading.innerText()).includes('cancelled'));
  await page.goBack();

  await fill(SCRIPT, 'counts');
  await page.locator('#dispatch-form [type=submit]').click();
  await until('the job is done', async () => (await heading.innerText()).includes('done'));
  const screen = async () => (await page.locator('.player .xterm-rows').innerText()).replaceAll('\u00a0', ' ');
  await until('its output is shown', async () => (await screen()).includes('one two three'));

  // Scrubbed to a moment, which is then in the address.
  await page.locator('.scrubber').evaluate((bar) => {
    if (!(bar instanceof HTMLInputElement)) return;
    bar.value = '600';
    bar.dispatchEvent(new Event('input'));
    bar.dispatchEvent(new Event('change'));
  });
  await until('the moment is shown', async () => /one two(?! three)/.test(await screen()));
  await until('the moment is in the address', async () => new URL(page.url()).searchParams.has('t'));
  await page.reload();
  await until('the address brings the moment back', async () => /one/.test(await screen().catch(() => '')) && !(await screen()).includes('three'));
  await until('its records are on the page', async () => await page.locator('.job-record').count() > 0);
  await heading.getByRole('button', { name: 'Retry' }).click();
  await until('it has a second attempt', async () => await page.locator('#page-job .table tbody tr').count() === 2);

  // While a job runs its terminal is on its page, to be typed into; its output takes the place when it has ended.
  await page.locator('#panes [data-pane="queue"]').click();
  await fill('echo waits; read word; echo "got $word"', 'asks');
  await page.locator('#dispatch-form [type=submit]').click();
  const rows = async () => (await page.locator('.job-terminal .xterm-rows').innerText().catch(() => '')).replaceAll('\u00a0', ' ');
  await until('its terminal is on its page', async () => (await rows()).includes('waits'));
  await page.locator('.job-terminal .xterm-helper-textarea').focus();
  await page.keyboard.type('kumquat');
  await page.keyboard.press('Enter');
  await until('its output has taken the place', async () => !await page.locator('.job-terminal').isVisible() && (await screen().catch(() => '')).includes('got kumquat'));

  await page.locator('#panes [data-pane="queue"]').click();
  await page.locator('#queue-pause').click();
  await page.locator('#ask-yes').click();
  await until('the page says that it is paused', () => page.getByText('The queue is paused: running').isVisible());
  await page.locator('#queue-pause').click();
  await until('it goes on', async () => await page.locator('#queue-pause').innerText() === 'Pause');

  // Who is signed in no more sees nothing of the output, which stood on the page.
  await page.goBack();
  await until('its output is shown again', async () => (await screen().catch(() => '')).includes('got kumquat'));
  checkFaults(faults);
  await ok('auth', 'rotate');
  await until('the page says how to sign in', () => page.locator('.job-output .sign-in').isVisible());
  check(!(await page.content()).includes('kumquat'), 'the output is on the page after the rotation');
  await signIn(page);
  checkFaults(faults, /status of 40[13]/);
});
