/**
 * Takes a picture of every view in both themes at the sizes of a phone, a laptop and a large screen, from the showcase, so
 * that the same views give the same pictures: `DARKMUX_TEST_BIN` names the binary, the argument the folder, which is
 * `docs/screenshots` for the ones that are kept; a second one takes the views that have it in their names. Pictures are
 * WebP. It fails when a view is wider than its screen, when something is cut without saying what, or when they take more
 * than they may.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { browserTest, check, checkFaults, env, until, waitForPill } from '../browser/harness.mjs';

/** @type {[number, number][]} */
const SIZES = [[390, 844], [1280, 800], [2560, 1440]];
const MAX_BYTES = 3 * 1024 * 1024;
const QUALITY = 0.47;
const [, , folder, only = ''] = process.argv;
if (!folder) throw new Error('name the folder for the pictures');
mkdirSync(folder, { recursive: true });

/** Views, and at which second each is taken. @type {{[name: string]: [string, number]}} */
const VIEWS = {
  fleet: ['/fleet', 38], 'fleet-without-redis': ['/fleet', 98], machine: ['/machine/rack', 40], flow: ['/', 80], lanes: ['/?view=lanes', 120], raw: ['/?view=raw', 80], queue: ['/queue', 70],
  sessions: ['/sessions', 40], inbox: ['/inbox', 40],
};

/** @typedef {import('playwright-core').Page} Page */

const demo = spawn(env('DARKMUX_TEST_BIN'), ['demo', '--no-open'], { env: { PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'inherit'] });
const home = String((await createInterface({ input: demo.stdout })[Symbol.asyncIterator]().next()).value).replace(/\/$/, '');
let total = 0;

/** @param {Page} page @param {string} path @param {number} at */
async function go(page, path, at) {
  await page.goto(`${home}${path}${path.includes('?') ? '&' : '?'}at=${at}`);
  await waitForPill(page, 'replay (showcase)');
}

/** Texts that are cut and have no title, in words. @param {Page} page @returns {Promise<string[]>} */
const cut = (page) => page.evaluate(() => [...document.querySelectorAll('body *')].filter((element) => {
  const style = getComputedStyle(element);
  return style.textOverflow === 'ellipsis' && element.scrollWidth > element.clientWidth + 1 && element.checkVisibility() && element.textContent?.trim() !== ''
    && !element.closest('[title]') && !element.querySelector('[title]') && !(element instanceof HTMLSelectElement);
}).map((element) => `${element.className || element.tagName}: ${element.textContent?.slice(0, 60)}`));

/** Chromium itself makes WebP of a picture. @param {import('playwright-core').Page} maker @param {Buffer} png @returns {Promise<Buffer>} */
async function webp(maker, png) {
  const data = await maker.evaluate(async ([base64, quality]) => {
    const image = new Image();
    image.src = `data:image/png;base64,${base64}`;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext('2d')?.drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', Number(quality)).split(',')[1];
  }, /** @type {const} */ ([png.toString('base64'), QUALITY]));
  return Buffer.from(data, 'base64');
}

await browserTest(async (page, faults) => {
  const maker = await page.context().newPage();
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await go(page, '/queue', 80);
  const path = async (/** @type {string} */ name) => new URL(await page.locator('#queue-jobs a', { hasText: name }).first().evaluate((a) => (a instanceof HTMLAnchorElement ? a.href : ''))).pathname;
  const ids = await page.locator('#sessions li').evaluateAll((all) => all.map((one) => (one instanceof HTMLElement ? [one.dataset.sessionId ?? '', one.innerText] : [])));
  const session = (/** @type {string} */ name) => ids.find(([, text]) => text?.includes(name))?.[0] ?? '';
  /** @type {typeof VIEWS} */
  const views = {
    ...VIEWS,
    job: [await path('bench: parser'), 80], parked: [await path('train: adapter'), 80],
    session: [`/session/${session('Refactor the lexer')}`, 40], tiles: [`/sessions?show=${['Refactor the lexer', 'gpu', 'dev server', 'tests, watching'].map(session)}`, 39],
  };
  /** @type {string[]} */
  const wrong = [];
  for (const [name, [where, at]] of Object.entries(views).filter(([one]) => one.includes(only))) {
    for (const [width, height] of SIZES) {
      // Lines of JSON look the same on a larger screen, and take a tenth of all there is.
      if (name === 'raw' && width > 2_000) continue;
      for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme });
        await go(page, where, at);
        await until('what there is is drawn', () => page.evaluate(() => ['flow', 'session'].includes(document.body.dataset.page ?? '') ? document.querySelector('li.record, .lane, #raw:not([hidden]), #terminal-pane:not([hidden])') !== null : true));
        if (['job', 'session', 'tiles'].includes(name)) await until('a terminal is drawn', async () => await page.locator('main .xterm-rows span').count() > 0);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (over > 0) wrong.push(`${name} is ${over} px wider than ${width} px`);
        if (colorScheme === 'light') wrong.push(...(await cut(page)).map((text) => `${name} at ${width} px cuts ${text}`));
        const picture = await webp(maker, await page.screenshot({ type: 'png' }));
        total += picture.length;
        writeFileSync(join(folder, `${name}-${width}-${colorScheme}.webp`), picture);
        if (process.env.SHOTS_PNG) writeFileSync(join(process.env.SHOTS_PNG, `${name}-${width}-${colorScheme}.png`), await page.screenshot({ type: 'png' }));
      }
    }
  }
  console.log(`${Math.round(total / 1024)} KiB`);
  check(wrong.length === 0, [...new Set(wrong)].join('\n'));
  check(total <= MAX_BYTES, `the pictures take ${total} bytes`);
  checkFaults(faults);
});
demo.kill('SIGINT');
