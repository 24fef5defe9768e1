/**
 * What the tests of terminals share: signing in, starting sessions, reading and typing. A terminal is read from the
 * page, as a person would: from the rows that it draws.
 */

import { createInterface } from 'node:readline';
import { check, darkmux, env, url, until } from './harness.mjs';

/** @typedef {import('playwright-core').Page} Page */

/** The name that `darkmux open` uses, and so the one that the cookie is for. */
export const home = () => `http://localhost:${new URL(url()).port}`;

/** @param {string[]} args of `darkmux`, which must succeed */
export async function ok(...args) {
  const { stdout, stderr, status } = await darkmux(...args);
  check(status === 0, `darkmux ${args.join(' ')} ended with ${status}: ${stderr}`);
  return stdout.trim();
}

/** Signs the page in by `darkmux open`. @param {Page} page @param {string[]} flags */
export async function signIn(page, ...flags) {
  await page.goto(await ok('open', '--print', ...flags));
  await until('the page is signed in', () => signedIn(page));
}

/** @param {Page} page */
export const signedIn = async (page) => ['act', 'watch'].includes(await page.locator('body').getAttribute('data-access') ?? '');

/** Asks the daemon as a program does. @param {string} method @param {string} path @param {unknown} [body] */
export async function api(method, path, body) {
  const response = await fetch(`${url()}${path}`, {
    method,
    headers: { authorization: `Bearer ${await token()}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  check(response.ok, `${method} ${path} was answered with ${response.status}`);
  return /** @type {any} */ ((await response.json()).data);
}

/** Starts a session from outside of the browser. @param {string[]} command @returns {Promise<string>} its id */
export const start = async (...command) => (await api('POST', '/v1/launch', { command })).session_id;

/** Starts a shell that runs this. @param {string} script */
export const sh = (script) => start('/bin/sh', '-c', script);

/** @param {string} id */
export const session = (id) => api('GET', `/v1/sessions/${id}`);

/** Opens a session's terminal from the list. @param {Page} page @param {string} id */
export async function open(page, id) {
  await page.locator(`#sessions li[data-session-id="${id}"] button`).click();
  await connected(page);
}

/** @param {Page} page */
export async function connected(page) {
  await until('the terminal is drawn', async () => (await page.locator('#terminal .xterm-rows').count()) === 1);
  await until('the terminal is connected', async () => !/Connect/.test(await page.locator('#terminal-state').textContent() ?? ''));
}

/** @param {Page} page @returns {Promise<string[]>} the rows that it shows */
export const rows = (page) => page.locator('#terminal .xterm-rows > div').evaluateAll((all) => (
  all.map((row) => (row.textContent ?? '').replaceAll('\u00a0', ' ').trimEnd())
));

/** @param {Page} page */
export const screen = async (page) => (await rows(page)).join('\n').trimEnd();

/** @param {Page} page @param {string | RegExp} text */
export async function shows(page, text) {
  const found = (/** @type {string} */ now) => (typeof text === 'string' ? now.includes(text) : text.test(now));
  let last = '';
  await until(`the terminal shows ${text}`, async () => {
    last = await screen(page);
    return found(last);
  }).catch((error) => {
    throw new Error(`${error.message}; it shows:\n${last}`);
  });
  return last;
}

/** Types a line into the terminal in view. @param {Page} page @param {string} line */
export async function enter(page, line) {
  await page.locator('#terminal .xterm-helper-textarea').focus();
  await page.keyboard.type(line);
  await page.keyboard.press('Enter');
}

/** The token of this home. */
export const token = () => ok('auth', 'show', '--print');

/** @param {string} folder in the home of the test */
export const inHome = (folder) => `${env('DARKMUX_TEST_HOME')}/../${folder}`;

/**
 * What the parent does for a test is asked for in lines, such as `DO kill` of the daemon, answered with `done`.
 *
 * @returns {(what: string) => Promise<void>}
 */
export function parent() {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  return async (what) => {
    process.stdout.write(`DO ${what}\n`);
    const { value } = await lines.next();
    check(value === 'done', `the parent answered "${value}" to ${what}`);
  };
}
