/**
 * The page opens without a fault, says `live`, and shows a record that another process appends
 * within a second.
 */

import { browserTest, check, note, url, until, waitForPill } from './harness.mjs';

const SHOWN_WITHIN_MS = 1_000;

await browserTest(async (page, faults) => {
  await page.goto(url());
  await waitForPill(page, 'live');
  const choices = await page.locator('.filters select').evaluateAll((all) => all.map((one) => one.textContent));
  check(choices.every((text) => text !== ''), `a choice without records has no name: ${choices}`);

  const text = `live test ${Date.now()}`;
  await note(text);
  const record = page.locator('li.record', { hasText: text });
  await until(`the record "${text}" is shown`, async () => (await record.count()) === 1, SHOWN_WITHIN_MS);
  check(await record.isVisible(), 'the newest record is in the page but not in view, although the timeline follows');

  await page.keyboard.press('/');
  await page.keyboard.type(text);
  await until('the search is in the address', async () => new URL(page.url()).search.includes('q=live+test'));
  await until('the search leaves only that record', async () => (await page.locator('li.record').count()) === 1);
  check(faults.length === 0, `faults on the page:\n${faults.join('\n')}`);
});
