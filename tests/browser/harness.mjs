/**
 * What the browser tests share: the browser, the page with everything that must not happen on it
 * recorded, darkmux's own verbs, and waiting for a condition with a deadline.
 *
 * A test is a script: `DARKMUX_TEST_URL`, `DARKMUX_TEST_BIN`, `DARKMUX_TEST_HOME` and optionally
 * `CHROMIUM` in the environment, exit status 0 or 1, the reason on stderr.
 */

import { execFile } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

const DEADLINE_MS = 20_000;
const POLL_MS = 20;
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
  // Without a graphics card the terminal draws itself with elements, which a test can read.
  '--disable-3d-apis',
];

/** @param {string} name */
export function env(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; tests/browser/harness.mjs says what these scripts need`);
  return value;
}

export const url = () => env('DARKMUX_TEST_URL').replace(/\/$/, '');

function browserPath() {
  const onPath = (process.env.PATH ?? '').split(delimiter)
    .flatMap((folder) => ['chromium', 'google-chrome', 'chromium-browser'].map((name) => join(folder, name)));
  const found = [process.env.CHROMIUM, '/usr/bin/chromium', ...onPath].find((path) => path && executable(path));
  if (!found) throw new Error('no Chromium: set CHROMIUM to its path, or install chromium or google-chrome');
  return found;
}

/** @param {string} path */
function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const run = promisify(execFile);

/** Runs darkmux with the test's home; a status that is not 0 is an answer, not an error. @param {string[]} args */
export async function darkmux(...args) {
  try {
    const options = { env: { ...process.env, DARKMUX_HOME: env('DARKMUX_TEST_HOME') }, timeout: DEADLINE_MS };
    return { ...(await run(env('DARKMUX_TEST_BIN'), args, options)), status: 0 };
  } catch (error) {
    if (typeof error.code !== 'number') throw error;
    return { stdout: error.stdout, stderr: error.stderr, status: error.code };
  }
}

/** Appends a record from another process. @param {string} text */
export async function note(text) {
  const { status, stderr } = await darkmux('flow', 'note', '--text', text);
  if (status !== 0) throw new Error(`flow note ended with ${status}: ${stderr}`);
}

/**
 * @param {string} what completes "timed out waiting until …"
 * @param {() => Promise<unknown>} condition
 * @param {number} [ms]
 */
export async function until(what, condition, ms = DEADLINE_MS) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`timed out after ${ms} ms waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** @param {unknown} condition @param {string} message */
export function check(condition, message) {
  if (!condition) throw new Error(message);
}

/** @param {import('playwright-core').Page} page */
export const pill = (page) => page.locator('#source').innerText();

/** @param {import('playwright-core').Page} page @param {string} text */
export const waitForPill = (page, text) => until(`the source pill says "${text}"`, async () => (await pill(page)) === text);

/** No faults but those that a test caused itself. @param {string[]} faults @param {RegExp} [caused] */
export function checkFaults(faults, caused) {
  const found = faults.filter((fault) => !caused?.test(fault));
  check(found.length === 0, `faults on the page:\n${found.join('\n')}`);
}

/**
 * Runs a test in a fresh browser and ends the process with its outcome.
 *
 * @param {(page: import('playwright-core').Page, faults: string[]) => Promise<void>} test
 *   `faults` fills with console errors, uncaught errors, dialogs and violations of the CSP
 * @param {{flags?: string[], without?: string[], options?: import('playwright-core').BrowserContextOptions}} [how]
 */
export async function browserTest(test, { flags = [], without = [], options = {} } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'darkmux-browser-'));
  /** @type {import('playwright-core').BrowserContext | undefined} */
  let context;
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath: browserPath(), headless: true, viewport: { width: 1280, height: 800 }, ...options,
      args: [...FLAGS.filter((flag) => !without.includes(flag)), ...flags],
    });
    const page = context.pages()[0] ?? await context.newPage();
    await test(page, await watch(page));
  } catch (error) {
    console.error(`FAILED: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await context?.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** Records what must not happen on a page. @param {import('playwright-core').Page} page */
export async function watch(page) {
  /** @type {string[]} */
  const faults = [];
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => faults.push(`uncaught: ${error.message}`));
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.exposeFunction('reportViolation', (/** @type {string} */ text) => faults.push(`csp: ${text}`));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      // @ts-expect-error set by exposeFunction
      reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
    });
  });
  return faults;
}
