/** A session is given another name, which the list and the daemon know at once. */

import { browserTest, check, checkFaults, until } from './harness.mjs';
import { open, session, signIn, start } from './terminals.mjs';

await browserTest(async (page, faults) => {
  const id = await start('/bin/cat');
  await signIn(page);
  await open(page, id);
  const rename = page.locator('#session-detail').getByRole('button', { name: 'Rename', exact: true });
  await rename.click();
  await page.locator('#ask-field').fill('not this');
  await page.keyboard.press('Escape');
  await until('the question is closed', () => page.locator('#ask').isHidden());
  check((await session(id)).name !== 'not this', 'it was renamed though the question was not answered');
  await rename.click();
  await page.locator('#ask-field').fill('the indexer');
  await page.keyboard.press('Enter');
  const listed = page.locator(`#sessions li[data-session-id="${id}"] .session-title`);
  await until('the list has its new name', async () => (await listed.innerText()) === 'the indexer');
  check((await session(id)).name === 'the indexer', 'the daemon does not know its new name');
  checkFaults(faults);
});
