/** What is handed to a terminal besides keys: pasted by keys and by the phone's bar, dropped; and an arrow that is held. */

import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { browserTest, check, checkFaults, until } from './harness.mjs';
import { connected, inHome, rows, screen, sh, shows, signIn } from './terminals.mjs';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const CAT = 'stty -icanon -echo; echo ready; exec cat -v';

/** @param {import('playwright-core').Page} page @param {{text?: string, picture?: boolean}} what */
const copy = (page, what) => page.evaluate(async ([{ text, picture }, png]) => {
  const parts = {};
  if (picture) parts['image/png'] = new Blob([Uint8Array.from(atob(png), (char) => char.charCodeAt(0))], { type: 'image/png' });
  if (text) parts['text/plain'] = new Blob([text], { type: 'text/plain' });
  await navigator.clipboard.write([new ClipboardItem(parts)]);
}, /** @type {const} */ ([what, PNG]));

/** @param {import('playwright-core').Page} page */
const paths = async (page) => (await rows(page)).join('').match(/\/\S+?\.(?:png|bin)/g) ?? [];
/** @param {import('playwright-core').Page} page @param {string} text */
const said = async (page, text) => {
  const toast = page.locator('.toast', { hasText: text });
  await until(`it is said: ${text}; ${await page.locator('#toasts').innerText()}`, () => toast.isVisible());
  await toast.getByRole('button').tap();
};

await browserTest(async (page, faults) => {
  const id = await sh(CAT);
  await signIn(page);
  await page.goto(new URL(`/session/${id}`, page.url()).href);
  await connected(page);
  await shows(page, 'ready');
  const bar = page.locator('#keybar');
  const tap = (/** @type {string} */ key) => bar.locator(`[data-key="${key}"]`).tap();
  const context = page.context();

  // Refused, empty, a picture alone, text beside its picture.
  const { origin } = new URL(page.url());
  const devtools = await context.newCDPSession(page);
  const allow = (/** @type {string} */ setting) => devtools.send('Browser.setPermission', { permission: { name: 'clipboard-read' }, setting, origin });
  await allow('denied');
  await tap('paste');
  await said(page, 'allow it in the settings of this site');
  await allow('granted');
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.evaluate(() => navigator.clipboard.writeText(''));
  await tap('paste');
  await said(page, 'copy one first');
  await copy(page, { picture: true });
  await tap('paste');
  const [first] = await until('the path of the picture is typed', async () => (await paths(page)).length === 1 && paths(page));
  check(readFileSync(first).subarray(1, 4).toString() === 'PNG', `no picture at ${first}`);
  await copy(page, { text: ' BY-THE-BAR', picture: true });
  await tap('paste');
  await shows(page, 'BY-THE-BAR');
  await copy(page, { text: ' CELL-A1 CELL-B1', picture: true });
  await page.locator('#terminal .xterm-helper-textarea').focus();
  await page.keyboard.press('Control+v');
  await shows(page, 'CELL-A1 CELL-B1');
  check((await paths(page)).length === 1, 'the picture of a text was sent');
  check(!(await screen(page)).includes('^V'), 'text was pasted and the key typed');

  // A pasted text cannot end the pasting by itself, whichever way it comes: it has no escape.
  const evil = (/** @type {string} */ mark) => `\n${mark}\x1b[201~\x9b201~\x7f`;
  await page.evaluate((text) => navigator.clipboard.writeText(text), evil('BAR'));
  await tap('paste');
  await shows(page, 'BAR[201~201~');
  await page.evaluate((text) => navigator.clipboard.writeText(text), evil('KEY'));
  await page.keyboard.press('Control+Shift+v');
  await shows(page, 'KEY[201~201~');

  // An arrow: once for a touch, again and again while it is held, no more after that.
  const arrows = async () => (await rows(page)).join('').split('^[[D').length - 1;
  await tap('left');
  await until('a touch types it', async () => await arrows() === 1);
  const box = await bar.locator('[data-key="left"]').boundingBox();
  check(box, 'the arrow has no place');
  await page.mouse.move(box.x + 5, box.y + 5);
  await page.mouse.down();
  await until('it is typed on while it is held', async () => await arrows() >= 6);
  await page.mouse.up();
  let before = -1;
  await until('it ends', async () => before === (before = await arrows()) || new Promise((done) => setTimeout(done, 200)));
  await page.mouse.down();
  await until('it is held again', async () => await arrows() >= before + 3);
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  before = -1;
  await until('it ends when the page is hidden', async () => before === (before = await arrows()) || new Promise((done) => setTimeout(done, 200)));
  await page.mouse.up();

  // Dropped, by the browser's own means.
  const picture = resolve(inHome('dropped.png'));
  writeFileSync(picture, Buffer.from(PNG, 'base64'));
  const notes = resolve(inHome('notes.txt'));
  writeFileSync(notes, 'some notes');
  /** @param {string} place @param {{files?: string[], items?: {mimeType: string, data: string}[]}} what */
  const drop = async (place, { files = [], items = [] }) => {
    const at = await page.locator(place).boundingBox();
    check(at, `${place} has no place`);
    const [x, y] = [at.x + at.width / 2, at.y + at.height / 2];
    for (const type of ['dragEnter', 'dragOver', 'drop']) {
      await devtools.send('Input.dispatchDragEvent', { type: /** @type {any} */ (type), x, y, data: { items, files, dragOperationsMask: 1 } });
    }
  };
  await page.keyboard.press('Enter');
  const were = (await paths(page)).length;
  await drop('#terminal', { files: [picture, notes] });
  const now = await until('the paths of both files are typed', async () => (await paths(page)).length === were + 2 && paths(page));
  check(readFileSync(now[were]).subarray(1, 4).toString() === 'PNG', `no picture at ${now[were]}`);
  check(readFileSync(now[were + 1]).toString() === 'some notes', `not the file at ${now[were + 1]}`);
  await drop('#terminal', { items: [{ mimeType: 'text/plain', data: ' DROPPED-TEXT' }] });
  await shows(page, 'DROPPED-TEXT');
  await drop('#terminal', { items: [{ mimeType: 'text/plain', data: evil('DROP') }] });
  await shows(page, 'DROP[201~201~');
  check(!(await rows(page)).join('').includes('^[[201~'), 'an escape was pasted');
  await drop('#terminal', { files: [resolve(inHome('.'))] });
  await said(page, 'A folder is not taken');
  const address = page.url();
  await drop('#session-detail', { files: [notes] });
  await drop('#keybar', { files: [notes] });
  await until('the file beside it is not taken, nor opened', async () => await page.locator('#terminal').isVisible());
  check(page.url() === address && context.pages().length === 1, `a file was opened: ${page.url()}`);
  checkFaults(faults);
}, { options: { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true } });
