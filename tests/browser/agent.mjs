/**
 * The page of a job that the built-in agent did: its last message, the files and the commands, all as text. Of a session that
 * no queue knows the page of the session has them.
 */

import { browserTest, check, checkFaults, until } from './harness.mjs';
import { signIn } from './terminals.mjs';

await browserTest(async (page, faults) => {
  await signIn(page);
  await page.locator('#panes [data-pane="queue"]').click();
  await page.locator('#queue-jobs a').first().click();
  const result = page.locator('#page-job .agent-result');
  await until('the result is shown', () => result.isVisible());
  const words = await result.innerText();
  for (const part of ['scripted at lmstudio', '2 turns, 2 calls, 240 tokens', 'Done.', '<img src=x onerror=alert(1)>', '\\u{1b}[31m', 'notes.md', 'exit 3']) {
    check(words.includes(part), `${part} is missing: ${words}`);
  }
  check(await result.locator('img').count() === 0, 'what the model said became a part of the page');
  check(await result.locator('.check[data-ok="false"]').count() === 1, 'the command that failed is not marked');
  await page.goto(new URL('/session/alone', page.url()).href);
  await page.locator('#session-detail').getByRole('button', { name: 'Records', exact: true }).click();
  const alone = page.locator('#session-detail .agent-result');
  await until('the result of the session is shown', () => alone.isVisible());
  check((await alone.innerText()).includes('Done here alone.'), `its last message is missing: ${await alone.innerText()}`);
  checkFaults(faults);
});
