/**
 * Sessions are listed with their state, and opening one filters the timeline to its records and
 * offers the commands that reach it.
 */

import { browserTest, check, darkmux, note, url, until, waitForPill } from './harness.mjs';

/** @param {string} script @returns {Promise<string>} the id of the session */
async function dispatch(script) {
  const { stdout, stderr, status } = await darkmux('crew', 'dispatch', 'shell', '-d', '--message', script);
  const id = stdout.trim();
  if (!id) throw new Error(`crew dispatch printed no id (status ${status}): ${stderr}`);
  return id;
}

await browserTest(async (page, faults) => {
  await page.goto(url());
  await waitForPill(page, 'live');

  const failing = await dispatch('exit 3');
  const good = await dispatch('true');
  await note('a record of no session');

  for (const [id, outcome] of [[failing, 'exit 3'], [good, 'exit 0']]) {
    const session = page.locator(`#sessions li[data-session-id="${id}"]`);
    await until(`session ${id} is listed as exited`, async () => (await session.getAttribute('data-state').catch(() => '')) === 'exited');
    const shown = await session.locator('.session-outcome').innerText();
    check(shown === outcome, `session ${id} shows "${shown}", not "${outcome}"`);
    check((await session.innerText()).includes('shell'), `session ${id} does not show its role`);
  }

  await page.locator(`#sessions li[data-session-id="${failing}"] button`).click();
  const records = page.locator('li.record');
  await until('the timeline has only records of the session', async () => {
    const sessions = await records.evaluateAll((rows) => rows.map((row) => row.dataset.session));
    return sessions.length > 0 && sessions.every((session) => session === failing);
  });
  const actions = await records.evaluateAll((rows) => rows.map((row) => row.dataset.action));
  check(actions.includes('dispatch start'), `no dispatch start among the records of the session: ${actions}`);
  check(actions.some((action) => action === 'dispatch error' || action === 'dispatch complete'), `no end among: ${actions}`);

  const detail = page.locator('#session-detail');
  for (const line of [`darkmux session attach ${failing}`, `darkmux session tail -f ${failing}`]) {
    check(await detail.getByText(line, { exact: true }).count() === 1, `the session does not offer: ${line}`);
  }
  check(new URL(page.url()).pathname === `/session/${failing}`, `the session is not in the address: ${page.url()}`);

  await page.goBack();
  await until('going back shows other records again', () => (
    records.evaluateAll((rows) => rows.some((row) => row.dataset.session === ''))
  ));
  check(faults.length === 0, `faults on the page:\n${faults.join('\n')}`);
});
