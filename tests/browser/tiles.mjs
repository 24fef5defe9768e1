/** Two terminals side by side: both show what happens, and each takes what is typed into it. */

import { browserTest, check, checkFaults, until } from './harness.mjs';
import { home, sh, signIn } from './terminals.mjs';

await browserTest(async (page, faults) => {
  const one = await sh('echo first; exec cat');
  const two = await sh('echo second; exec cat');
  await signIn(page);
  await page.locator('#panes [data-pane="sessions"]').click();
  for (const id of [one, two]) await page.locator(`.board tr[data-session-id="${id}"] input`).check();
  await page.getByRole('button', { name: 'Side by side (2)' }).click();
  const tile = (/** @type {string} */ id) => page.locator(`.grid-tile[data-session-id="${id}"]`);
  const shows = (/** @type {string} */ id, /** @type {string} */ text) => until(`${id} shows ${text}`, async () => (
    (await tile(id).locator('.xterm-rows').innerText().catch(() => '')).replaceAll('\u00a0', ' ').includes(text)));
  await shows(one, 'first');
  await shows(two, 'second');
  await tile(two).locator('.xterm-helper-textarea').focus();
  await page.keyboard.type('typed here\n');
  await shows(two, 'typed here');
  check(!(await tile(one).locator('.xterm-rows').innerText()).includes('typed'), 'it was typed into both');
  await page.reload();
  await shows(one, 'first');
  await tile(one).getByRole('button', { name: /^Close/ }).click();
  await until('one is left', async () => await page.locator('.grid-tile').count() === 1);
  await page.goBack();
  await until('both are back', async () => await page.locator('.grid-tile').count() === 2);

  // A tile outlives the closing of others, which stay closed.
  const three = await sh('echo third; exec cat');
  await page.goto(`${home()}/sessions?show=${one},${two},${three}`);
  await until('all three are there', async () => await page.locator('.grid-tile').count() === 3);
  for (const id of [one, two]) {
    await tile(id).getByRole('button', { name: /^Close/ }).click();
    await until('it is closed', async () => await tile(id).count() === 0);
  }
  check(new URL(page.url()).search === `?show=${three}` && await page.locator('.grid-tile').count() === 1, `closing the second leads to ${page.url()}`);
  checkFaults(faults);
});
