/** A program that needs somebody is in the inbox, and is answered there; and it is restarted, ended, resumed, dismissed. */

import { writeFileSync } from 'node:fs';
import { browserTest, check, checkFaults, until } from './harness.mjs';
import { api, connected, inHome, open, session, sh, shows, signIn } from './terminals.mjs';

const QUESTION = 'Delete the old index? It is 40 GB. <img src=x onerror=alert(1)>';
const ASKS = `
say() { curl -sS --unix-socket "$DARKMUX_SOCKET" -X PUT -d "$1" http://session/status; }
say '{"label":"asking","working":false,"needs_you":"${QUESTION}"}'
read answer
say '{"label":"indexing","working":true}'
echo "answer was $answer"
exec cat`;

await browserTest(async (page, faults) => {
  // Headless browsers show no notification; what the page asks for is recorded. Nobody looks at the page.
  await page.addInitScript(() => {
    const told = /** @type {string[]} */ ([]);
    class Recorded {
      static permission = 'granted';
      /** @param {string} title @param {{body: string}} options */
      constructor(title, { body }) {
        told.push(`${title}: ${body}`);
      }
    }
    Object.assign(window, { told, Notification: Recorded });
    document.hasFocus = () => false;
  });
  const told = () => page.evaluate(() => /** @type {any} */ (window).told);
  await signIn(page);
  check(await page.locator('#inbox-panel').isHidden(), 'the inbox is shown though nobody waits');
  const id = await sh(ASKS);
  const item = page.locator(`#inbox li[data-session-id="${id}"]`);
  await until('the question is in the inbox', () => item.isVisible());
  const asked = await item.locator('.inbox-question').innerText();
  check(asked === QUESTION, `the question is shown as: ${asked}`);
  check(await item.locator('img').count() === 0, 'an element came out of a question');
  const notices = await told();
  check(notices.length === 1 && notices[0].endsWith(`needs you: ${QUESTION}`), `the system was told: ${JSON.stringify(notices)}`);
  // A page that is hidden has no frames.
  await page.evaluate(() => {
    Object.assign(window, { kept: window.requestAnimationFrame, requestAnimationFrame: () => 0 });
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
  });
  const other = await sh(ASKS);
  await until('the system is told though the page is hidden', async () => (await told()).length === 2);
  await api('POST', `/v1/sessions/${other}/kill`);
  await page.evaluate(() => {
    Reflect.deleteProperty(document, 'hidden');
    window.requestAnimationFrame = /** @type {any} */ (window).kept;
  });
  await page.reload();
  await until('the question is in the inbox again', () => item.isVisible());
  check((await told()).length === 0, `of what was asked before the page was opened the system was told: ${JSON.stringify(await told())}`);
  const listed = page.locator(`#sessions li[data-session-id="${id}"]`);
  check((await listed.locator('.session-outcome').innerText()) === 'needs you', 'the list does not say that it needs somebody');

  // What was typed for one question is not sent to the next by itself; and an answer of which nothing was heard may have come.
  const go = inHome('go');
  const twice = await sh(`say() { curl -sS --unix-socket "$DARKMUX_SOCKET" -X PUT -d "{\\"needs_you\\":\\"$1\\"}" http://session/status; }
    say first; until [ -e '${go}' ]; do sleep 0.05; done; say second; read answer; say ''; echo "answer was $answer"; exec cat`);
  const asks = page.locator(`#inbox li[data-session-id="${twice}"]`);
  await until('it asks', async () => await asks.locator('.inbox-question').innerText().catch(() => '') === 'first');
  await asks.locator('input').fill('y');
  writeFileSync(go, '');
  await until('it asks something else', async () => await asks.locator('.inbox-question').innerText() === 'second');
  await asks.locator('input').press('Enter');
  await until('that is said', () => asks.getByText('It asks something else').isVisible());
  check(await asks.locator('input').inputValue() === 'y' && await asks.locator('.inbox-question').innerText() === 'second', 'what was typed for the first question was sent to the second');
  await page.route('**/input?submit=1', async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  await asks.locator('input').press('Enter');
  await until('it is said that nobody knows', () => page.locator('.toast', { hasText: 'It is not known whether your answer arrived' }).isVisible());
  await until('it asks no more', async () => await asks.count() === 0);
  await api('POST', `/v1/sessions/${twice}/kill`);

  await item.locator('input').fill('yes, but keep $HOME "as it is"');
  await page.keyboard.press('Enter');
  await until('it is in the inbox no more', () => page.locator('#inbox-panel').isHidden());
  await until('the list says what it does', async () => (await listed.locator('.session-outcome').innerText()) === 'indexing');
  await open(page, id);
  await shows(page, 'answer was yes, but keep $HOME "as it is"');

  const detail = page.locator('#session-detail');
  /** @param {string} name */
  const press = (name) => detail.getByRole('button', { name, exact: true }).click();
  await press('Restart');
  await page.locator('#ask-yes').click();
  await until('it asks again', () => item.isVisible());
  check((await session(id)).runs === 2, `it ran ${(await session(id)).runs} times`);
  await connected(page);
  await item.locator('input').fill('second');
  await page.keyboard.press('Enter');
  await shows(page, 'answer was second');

  await press('End');
  await page.keyboard.press('Escape');
  check((await session(id)).alive === true, 'it was ended though the question was not answered');
  await press('End');
  await page.locator('#ask-yes').click();
  await until('it has ended', async () => (await session(id)).alive === false);
  await until('it may be resumed', () => detail.getByRole('button', { name: 'Resume', exact: true }).isVisible());
  await press('Resume');
  await until('it runs again', async () => (await session(id)).alive === true && (await session(id)).runs === 3);
  await until('it asks a third time', () => item.isVisible());
  await connected(page);
  await item.locator('input').fill('third');
  await page.keyboard.press('Enter');
  await shows(page, 'answer was third');

  await api('POST', `/v1/sessions/${id}/kill`);
  await until('it may be dismissed', () => detail.getByRole('button', { name: 'Dismiss', exact: true }).isVisible());
  await press('Dismiss');
  await page.locator('#ask-yes').click();
  await until('it is in the list no more', async () => await listed.count() === 0);
  check(await page.locator('#terminal-pane').isHidden(), 'the terminal of a dismissed session is shown');
  await until('its page is left for the list of sessions', async () => new URL(page.url()).pathname === '/sessions');
  check(await page.locator('#page-sessions').isVisible(), 'the list of sessions is not shown');
  await page.goBack();
  check(new URL(page.url()).pathname !== `/session/${id}`, 'going back leads to the page of a session that is gone');
  checkFaults(faults, /net::ERR_FAILED/);
});
