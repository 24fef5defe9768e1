/**
 * Every page of the viewer in both themes, on a phone and on a laptop, has no violation that axe-core finds: names, roles,
 * order, contrast. Pages show the showcase, so that they have all there is; every dialog and the sign-in page are a daemon's.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { browserTest, check, checkFaults, until, url, waitForPill } from './harness.mjs';
import { open as openSession, sh, signIn } from './terminals.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** A moment at which something of everything is there. */
const AT = 62;
const SIZES = [[390, 844], [1280, 800]];
const PAGES = {
  fleet: '/fleet', machine: '/machine/laptop', flow: '/', lanes: '/?view=lanes', raw: '/?view=raw', queue: '/queue', sessions: '/sessions', inbox: '/inbox',
};

/** @typedef {import('playwright-core').Page} Page */

/** @param {Page} page @param {string} what @returns {Promise<string[]>} */
async function violations(page, what) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    // What a program draws in a terminal has the colours of the program.
    // @ts-expect-error set by the script above
    const { violations: all } = await axe.run({ exclude: ['.xterm-rows'] }, { resultTypes: ['violations'] });
    return all.map((/** @type {any} */ one) => `${one.id}: ${one.nodes.slice(0, 3).map((/** @type {any} */ node) => `${node.target} ${node.any[0]?.message ?? node.failureSummary}`).join(' | ')}`);
  });
  return found.map((/** @type {string} */ one) => `${what}: ${one}`);
}

/** What became of the last keys, for the report of a dialog that did not open. @param {Page} page */
const keysSeen = (page) => page.evaluate(() => {
  const open = [...document.querySelectorAll('dialog[open], :popover-open')].map((one) => one.id);
  // @ts-expect-error set by the init script
  return JSON.stringify({ keys: window.keysSeen, open, focus: document.activeElement?.outerHTML.slice(0, 120), visible: document.visibilityState, focused: document.hasFocus() });
});

await browserTest(async (page, faults) => {
  await page.addInitScript(() => {
    // @ts-expect-error read above
    const seen = window.keysSeen = /** @type {string[]} */ ([]);
    const note = (/** @type {KeyboardEvent} */ event) => {
      const target = event.target instanceof Element ? event.target.id || event.target.tagName : '';
      seen.push(`${event.eventPhase === 1 ? 'down' : 'done'} ${event.key} at ${target} ${Math.round(event.timeStamp)} ${event.defaultPrevented}`);
      seen.splice(0, seen.length - 8);
    };
    addEventListener('keydown', note, true);
    addEventListener('keydown', note);
  });
  /** @type {string[]} */
  const found = [];
  await page.emulateMedia({ reducedMotion: 'reduce' });
  const at = (/** @type {string} */ path) => `${url()}${path}${path.includes('?') ? '&' : '?'}replay=showcase&at=${AT}`;
  await page.goto(at('/queue'));
  await waitForPill(page, 'replay (showcase)');
  const link = async (/** @type {string} */ name) => new URL(await page.locator('#queue-jobs a', { hasText: name }).first().evaluate((a) => (a instanceof HTMLAnchorElement ? a.href : ''))).pathname;
  const [ended, waiting] = [await link('unit tests'), await link('train: adapter')];
  const ids = await page.locator('#sessions li').evaluateAll((all) => all.map((one) => (one instanceof HTMLElement ? one.dataset.sessionId ?? '' : '')));
  const sessions = ids.filter((id) => id.startsWith('sess-'));
  const pages = { ...PAGES, job: ended, parked: waiting, session: `/session/${sessions[0]}`, tiles: `/sessions?show=${sessions.slice(0, 2)}` };
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    await page.emulateMedia({ colorScheme });
    for (const [width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      for (const [name, path] of Object.entries(pages)) {
        await page.goto(at(path));
        await waitForPill(page, 'replay (showcase)');
        if (['session', 'tiles', 'job'].includes(name)) await until('a terminal is drawn', async () => await page.locator('main .xterm-rows').count() > 0 || !await page.locator('main').isVisible());
        found.push(...await violations(page, `${name} ${width} ${colorScheme}`));
      }
    }
  }

  // What is opened over a page, of a daemon that one is signed in to; and how one signs in.
  await signIn(page);
  await waitForPill(page, 'live');
  const id = await sh('exec cat');
  /** What opens each of them. @type {{[dialog: string]: () => Promise<unknown>}} */
  const dialogs = {
    palette: () => page.keyboard.press('Control+k'),
    help: () => page.keyboard.press('?'),
    launch: () => page.keyboard.press('n'),
    // There is nothing to dispatch to until the page knows of a queue, which it asks for after the records.
    dispatch: () => until('the key of the dispatch form counts', async () => {
      await page.keyboard.press('d');
      return page.locator('#dispatch').isVisible();
    }),
    // On a phone there is no room for its button.
    account: () => byPalette('sign out'),
    source: () => page.locator('#source').click(),
    day: () => page.locator('#day').click(),
    ask: async () => {
      if (await page.locator('#panes [data-pane="sessions"]').isVisible()) await page.locator('#panes [data-pane="sessions"]').click();
      await openSession(page, id);
      await page.locator('#session-detail').getByRole('button', { name: 'End', exact: true }).click();
    },
  };
  const PANELS = { source: 'source-truth', day: 'days' };
  async function byPalette(/** @type {string} */ words) {
    await page.keyboard.press('Control+k');
    await page.keyboard.type(words);
    await page.keyboard.press('Enter');
  }
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    await page.emulateMedia({ colorScheme });
    for (const [width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      await page.goto(url().replace('127.0.0.1', 'localhost'));
      await waitForPill(page, 'live');
      for (const [name, show] of Object.entries(dialogs)) {
        const dialog = page.locator(`#${PANELS[/** @type {keyof typeof PANELS} */ (name)] ?? name}`);
        await show();
        await until(`${name} is open at ${width} px`, () => dialog.isVisible()).catch(async (error) => {
          throw new Error(`${error.message}; ${await keysSeen(page)}`);
        });
        found.push(...await violations(page, `${name} ${width} ${colorScheme}`));
        await page.keyboard.press('Escape');
        // The browser takes the focus out of it with the next frame; a key before that is still the dialog's.
        await until(`${name} is closed`, async () => !await dialog.isVisible() && !await dialog.evaluate((node) => node.contains(document.activeElement)));
      }
      await page.goto(`${url()}/auth/login`);
      found.push(...await violations(page, `sign in ${width} ${colorScheme}`));
    }
  }
  check(found.length === 0, `${found.length} violations:\n${[...new Set(found)].join('\n')}`);
  checkFaults(faults);
});
