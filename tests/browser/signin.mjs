/**
 * Signing in: what an unsigned page shows, the code of `darkmux open`, the login page with a token and with wrong ones,
 * watching only, and what rotating the token takes away.
 */

import { browserTest, check, checkFaults, darkmux, until } from './harness.mjs';
import { connected, enter, home, ok, open, screen, sh, shows, signIn, signedIn, token } from './terminals.mjs';

/** Answers that the test itself provokes are errors in the console. */
const REFUSED = /status of 4(01|03|09|29)|WebSocket connection to .* failed/;

await browserTest(async (page, faults) => {
  const id = await sh("printf '%s-of-the-terminal\\n' secret; exec cat");

  // Nobody: the lists, and how to sign in.
  await page.goto(home());
  await page.locator(`#sessions li[data-session-id="${id}"] button`).click();
  const detail = page.locator('#session-detail');
  await until('the page says how to sign in', () => detail.getByText('darkmux open', { exact: true }).isVisible());
  check(await page.locator('#terminal-pane').isHidden(), 'an unsigned page shows a terminal');
  check(await page.locator('#launch-button').isHidden(), 'an unsigned page offers to start a session');
  check(!await signedIn(page), 'an unsigned page thinks that it is signed in');
  await page.locator('#account-button').click();
  await until('the dialog says how to sign in', () => page.locator('#account').getByText('darkmux open', { exact: true }).isVisible());
  await page.keyboard.press('Escape');
  checkFaults(faults);

  // The code of `darkmux open` works, is in no address afterwards, and works once.
  const address = await ok('open', '--print');
  await page.goto(address);
  await until('the page is signed in', () => signedIn(page));
  check(!page.url().includes('code'), `the code stays in the address: ${page.url()}`);
  await open(page, id);
  await shows(page, 'secret-of-the-terminal');
  const cookies = await page.context().cookies();
  check(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === 'Strict', `cookies: ${JSON.stringify(cookies.map(({ value, ...rest }) => rest))}`);
  checkFaults(faults);

  await page.locator('#account-button').click();
  await page.locator('#account-leave').click();
  await until('the page is signed out', async () => !await signedIn(page));
  check(await page.locator('#terminal-pane').isHidden(), 'the terminal is shown after signing out');
  check((await page.context().cookies()).length === 0, 'the cookie is there after signing out');
  await page.goto(address);
  await until('a used code is refused in words', () => page.locator('.toast', { hasText: 'Not signed in' }).isVisible());
  check(!await signedIn(page), 'a code works twice');

  // To watch: the terminal is seen, and typing says so.
  await signIn(page, '--read-only');
  check(await page.locator('#launch-button').isHidden(), 'a page that may watch offers to start a session');
  await open(page, id);
  await shows(page, 'secret-of-the-terminal');
  check((await page.locator('#terminal-state').innerText()) === 'Read-only', 'the terminal does not say that it is read-only');
  await enter(page, 'typed-by-nobody');
  await until('typing says that it may not', () => page.locator('.toast', { hasText: 'watch and not type' }).isVisible());
  check(!(await screen(page)).includes('typed-by-nobody'), 'a page that may watch typed');
  check(await detail.getByRole('button', { name: 'End', exact: true }).count() === 0, 'a page that may watch offers to end the session');

  // The login page: a wrong token, then the right one.
  await page.context().clearCookies();
  await page.goto(`${home()}/auth/login`);
  const said = page.locator('#said');
  /** @param {string} secret */
  const give = async (secret) => {
    await said.evaluate((element) => { element.textContent = ''; });
    await page.locator('#token').fill(secret);
    await page.locator('button[type=submit]').click();
  };
  await give('0'.repeat(64));
  await until('a wrong token is refused in words', async () => (await said.innerText()) !== '');
  await give(await token());
  await page.waitForURL(`${home()}/`);
  await until('the token signs in', () => signedIn(page));

  // Rotation ends what the old token opened, with a word about it.
  await open(page, id);
  await shows(page, 'secret-of-the-terminal');
  await ok('auth', 'rotate');
  await until('the rotation ends the access', async () => !await signedIn(page));
  await until('the page says why', () => page.locator('.toast', { hasText: 'Signed out' }).isVisible());
  check(await page.locator('#terminal-pane').isHidden() && !(await page.content()).includes('secret-of-the-terminal'), 'the terminal is shown after the rotation');
  await signIn(page);
  await open(page, id);
  await until('the word about it goes with the next sign-in', async () => await page.locator('.toast', { hasText: 'Signed out' }).count() === 0);
  await connected(page);

  // Who guesses is put off.
  await page.context().clearCookies();
  await page.goto(`${home()}/auth/login`);
  for (let guess = 1; guess <= 12; guess += 1) {
    await give(String(guess).padStart(64, '0'));
    await until('a guess is answered', async () => (await said.innerText()) !== '');
  }
  check(/too many/.test(await said.innerText()), `after twelve guesses the page says: ${await said.innerText()}`);
  // The right token is never put off: who guesses locks nobody out.
  await give(await token());
  await until('the right token signs in', async () => new URL(page.url()).pathname === '/');
  check((await darkmux('session', 'ls')).status === 0, 'the shell is locked out by a browser that guesses');
  checkFaults(faults, REFUSED);
});
