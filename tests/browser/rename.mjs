/**
 * A session is given another name, which the list and the daemon know at once; an address by its name, or by a part of its
 * id, is one of the session.
 */

import { browserTest, check, checkFaults, darkmux, until, url } from './harness.mjs';
import { connected, home, open, session, signIn, start } from './terminals.mjs';

await browserTest(async (page, faults) => {
  const id = await start('/bin/cat');
  const detail = page.locator('#session-detail');
  /** What the page of a session says, from its first moment on. @type {() => Promise<string>} */
  const said = () => page.evaluate(() => Reflect.get(window, 'said').join('\n'));
  await page.addInitScript(() => {
    const all = /** @type {string[]} */ ([]);
    Object.assign(window, { said: all });
    new MutationObserver(() => all.push(document.getElementById('session-detail')?.textContent ?? '')).observe(document, { childList: true, subtree: true });
  });
  /** @param {string} origin @param {string} text what the address has in the place of the id */
  async function leads(origin, text) {
    await page.goto(`${origin}/fleet`);
    const before = await page.evaluate(() => history.length);
    await page.goto(`${origin}/session/${encodeURIComponent(text)}?level=info`);
    await until(`"${text}" leads to the session`, async () => page.url() === `${origin}/session/${id}?level=info`);
    await until('its id is shown', async () => (await detail.textContent())?.includes(id));
    check(await page.evaluate(() => history.length) === before + 1, `"${text}" is a step of its own for the back button`);
    check(!/No session|Several/.test(await said()), `before it was shown, it was said: ${await said()}`);
  }
  // Also for who has not signed in.
  await leads(url(), id.slice(-8));
  await signIn(page);
  await open(page, id);
  const rename = detail.getByRole('button', { name: 'Rename', exact: true });
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

  for (const text of ['the indexer', id.slice(0, -2), id.slice('sess-'.length), id.slice(-6)]) {
    await page.goto(`${home()}/session/${encodeURIComponent(text)}`);
    await until(`"${text}" leads to it`, async () => new URL(page.url()).pathname === `/session/${id}`);
    await connected(page);
    check(!/No session|Several/.test(await said()), `before it was shown, it was said: ${await said()}`);
  }
  await start('/bin/cat');
  /** @param {string} text @param {RegExp} words */
  async function says(text, words) {
    await page.goto(`${home()}/session/${text}`);
    await until(`the page of "${text}" says ${words}`, async () => words.test(await detail.innerText()));
    check(new URL(page.url()).pathname === `/session/${text}`, `"${text}" led to ${page.url()}`);
  }
  await says('sess-', /Several sessions fit/);
  check(!/No session/.test(await said()), `it was said: ${await said()}`);
  await says('nothing-like-it', /No session of this machine has this id/);
  // A session of which there are only records is meant by its own id, whatever else begins like it.
  const begin = id.slice(0, -1);
  await darkmux('flow', 'note', '--session-id', begin, 'of another machine');
  await says(begin, /No session of this machine has this id/);
  await page.locator('.record-session').first().click();
  await until('a link to it is followed', async () => new URL(page.url()).pathname === `/session/${begin}`);
  checkFaults(faults);
});
