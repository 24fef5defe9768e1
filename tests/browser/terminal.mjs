/**
 * A terminal in the page: started from the dialog, typed into, resized, with a full-screen program, links, a pasted
 * picture, and after its end.
 */

import { statSync, readFileSync, readdirSync } from 'node:fs';
import { browserTest, check, checkFaults, until } from './harness.mjs';
import { api, connected, enter, open, rows, screen, session, sh, shows, signIn, start } from './terminals.mjs';

/** @param {import('playwright-core').Page} page @param {string} name */
const current = async (page, name) => {
  await until(`the session ${name} is in view`, async () => (await page.locator('#session-detail h2').textContent() ?? '').includes(name));
  await connected(page);
  return new URL(page.url()).pathname.match(/^\/session\/(.+)$/)?.[1] ?? '';
};

await browserTest(async (page, faults) => {
  await signIn(page);

  // The dialog: a command of one's own, refused and then started; then a launcher.
  await page.keyboard.press('n');
  await page.locator('#launch-with').selectOption({ label: 'A command…' });
  await page.locator('#launch-command').fill('sh -c "unclosed');
  await page.locator('#launch button[type=submit]').click();
  await until('a quote that is not closed is told', async () => /quote/.test(await page.locator('#launch-problem').innerText()));
  await page.locator('#launch-command').fill('/bin/sh -c "PS1=\'> \' exec /bin/sh"');
  await page.locator('#launch-folder').fill('/no/such/folder');
  await page.locator('#launch button[type=submit]').click();
  await until('a folder that is not there is told', async () => /folder|directory/.test(await page.locator('#launch-problem').innerText()));
  await page.locator('#launch-folder').fill('/');
  await page.locator('#launch-name').fill('by hand');
  // An answer that is lost: it was started, and is not started again.
  await page.route('**/v1/launch', async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  const were = (await api('GET', '/v1/sessions')).length;
  await page.locator('#launch button[type=submit]').click();
  check(await page.locator('#launch button[type=submit]').isDisabled(), 'it can be started again while it is being started');
  await until('the page says that it is not known', async () => /may have been started/.test(await page.locator('#launch-problem').innerText()));
  // Its program is not to be had at first.
  await page.route('**/vendor/xterm.mjs', (route) => route.abort(), { times: 1 });
  await page.locator('#launch button[type=submit]').click();
  await until('the page says that the terminal could not be loaded', async () => /could not be loaded/.test(await page.locator('#terminal-state').innerText()));
  const id = await current(page, 'by hand');
  const are = (await api('GET', '/v1/sessions')).length;
  check(are === were + 1, `${are - were} sessions were started`);
  check((await session(id)).cwd === '/', 'the session does not run in the folder that was given');

  await enter(page, 'echo it-$((6*7))-works');
  await shows(page, /^it-42-works$/m);
  await enter(page, "printf '\\033[31mred\\033[0m \\344\\275\\240 \\360\\237\\230\\200|\\n'");
  await shows(page, /red 你 😀\|/);
  await until('a colour is drawn', async () => await page.locator('#terminal .xterm-rows span[class*="xterm-fg-1"]').count() > 0);

  // Its own keys: search, and leaving it for the keys of the page.
  await page.keyboard.press('Control+Shift+F');
  await page.locator('#terminal-search').fill('42-works');
  await page.keyboard.press('Enter');
  await until('what was found is selected', async () => await page.locator('#terminal .xterm-selection div').count() > 0);
  await page.keyboard.press('Escape');
  check(await page.locator('#terminal-search').isHidden(), 'the search stays');
  await page.keyboard.press('Control+Shift+L');
  await page.keyboard.press('?');
  await until('the help is shown', () => page.locator('#help').isVisible());
  await page.keyboard.press('Escape');
  check(!(await screen(page)).includes('?'), 'a key of the page was typed');

  // The size of the page is the size of the program's terminal.
  const sizes = [];
  for (const [width, height] of [[1280, 800], [1000, 520], [390, 844], [2560, 1440]]) {
    await page.setViewportSize({ width, height });
    const shown = (await until('the terminal has as many rows as fit', async () => {
      const count = (await rows(page)).length;
      const { terminal_rows: told } = await session(id);
      return count === told && !sizes.includes(`${count}`) && count;
    }));
    sizes.push(`${shown}`);
    await enter(page, 'clear; stty size');
    await shows(page, new RegExp(`^${shown} \\d+$`, 'm'));
    await fits(page);
  }

  // A full-screen program is the same after the page is loaded again.
  await enter(page, 'clear; seq 1 300 > /tmp/$$.txt; exec vim -N -u NONE -n /tmp/$$.txt');
  await shows(page, /^300|"\/tmp/m);
  await page.keyboard.type('150Gzz');
  await page.keyboard.type('Oinserted');
  await shows(page, /^inserted$/m);
  await until('the mode of vim is shown', async () => /INSERT/.test(await screen(page)));
  const before = await rows(page);
  await page.reload();
  await connected(page);
  await shows(page, /^inserted$/m);
  const after = await rows(page);
  check(JSON.stringify(after) === JSON.stringify(before), `before the reload:\n${before.join('\n')}\nafter:\n${after.join('\n')}`);
  await page.locator('#terminal .xterm-helper-textarea').focus();
  await page.keyboard.press('Escape');
  await page.keyboard.type(':q!');
  await page.keyboard.press('Enter');

  // Ended: its last picture, its code, and no keyboard.
  const failing = await sh('echo last-words; sleep 0.2; exit 7');
  await until('it has ended', async () => (await session(failing)).alive === false);
  await open(page, failing);
  await shows(page, 'last-words');
  await until('its code is shown', async () => (await page.locator('#terminal-state').innerText()) === 'Ended with 7');
  await enter(page, 'x');
  await until('typing says that it has ended', () => page.locator('.toast', { hasText: 'has ended' }).isVisible());

  // The launcher of the list is a shell.
  await page.locator('#launch-button').click();
  await page.locator('#launch-with').selectOption({ label: 'Shell' });
  await page.locator('#launch-name').fill('from the list');
  await page.locator('#launch-folder').fill('');
  await page.locator('#launch button[type=submit]').click();
  await current(page, 'from the list');
  await enter(page, 'echo launched-$((1+1))');
  await shows(page, 'launched-2');

  // Links ask first.
  const linked = await sh("read go; printf 'see http://127.0.0.1:9/some/page and\\n\\033]8;;http://127.0.0.1:9/hidden\\033\\\\here\\033]8;;\\033\\\\\\n'; exec cat");
  await open(page, linked);
  await enter(page, '');
  await shows(page, 'see http');
  const pages = page.context().pages().length;
  for (const [row, column, wanted] of [[1, 12, 'http://127.0.0.1:9/some/page'], [2, 1, 'http://127.0.0.1:9/hidden']]) {
    await clickCell(page, Number(row), Number(column));
    await until('the link asks', () => page.locator('#ask').isVisible());
    check((await page.locator('#ask-text').innerText()) === wanted, `the question names ${await page.locator('#ask-text').innerText()}`);
    await page.keyboard.press('Escape');
    await until('the question is closed', () => page.locator('#ask').isHidden());
  }
  check(page.context().pages().length === pages, 'a link was opened without a yes');

  // A picture is kept on the session's machine, and its path is typed.
  const pasting = await sh("stty -icanon -echo; echo ready; exec cat -v");
  await open(page, pasting);
  await shows(page, 'ready');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.evaluate(async () => {
    const bytes = Uint8Array.from(atob('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='), (char) => char.charCodeAt(0));
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': new Blob([bytes], { type: 'image/png' }) })]);
  });
  await page.locator('#terminal .xterm-helper-textarea').focus();
  await page.keyboard.press('Control+Shift+V');
  await until('it is said how a picture is pasted', () => page.locator('.toast', { hasText: 'Ctrl+V pastes a picture' }).isVisible());
  await page.keyboard.press('Control+v');
  await shows(page, '.png');
  const path = (await rows(page)).join('').match(/\/\S+?\.png/)?.[0] ?? '';
  check(readFileSync(path).subarray(1, 4).toString() === 'PNG', `no picture at ${path}`);
  check((statSync(path).mode & 0o777) === 0o600, 'the picture can be read by others');
  check(readdirSync(path.replace(/\/[^/]*$/, '')).length === 1, 'more than one file was kept');
  check(!(await screen(page)).includes('^V'), 'a picture was pasted and the key typed');
  // Without a picture the key is the program's, and text is pasted with Shift.
  await page.evaluate(() => navigator.clipboard.writeText('just text'));
  await page.keyboard.press('Control+v');
  await shows(page, '^V');
  await page.keyboard.press('Control+Shift+V');
  await shows(page, '^Vjust text');
  checkFaults(faults, /status of 4(00|22)|net::ERR_FAILED/);
});

/** Every cell is in view, with room around them all, and nothing scrolls sideways. @param {import('playwright-core').Page} page */
async function fits(page) {
  const cells = await page.locator('#terminal .xterm-screen').boundingBox();
  const pane = await page.locator('#terminal-pane').boundingBox();
  const bar = await page.locator('#keybar').boundingBox();
  check(cells && pane, 'the terminal has no place');
  const room = {
    left: cells.x - pane.x,
    right: pane.x + pane.width - cells.x - cells.width,
    top: cells.y - pane.y,
    bottom: (bar?.y ?? pane.y + pane.height) - cells.y - cells.height,
  };
  // At most a cell more than the narrowest room that a terminal has.
  const small = Object.entries(room).every(([side, px]) => px >= (side === 'bottom' ? 0 : 4) && px < 24);
  check(small, `the room around the cells is ${JSON.stringify(room)}`);
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page scrolls sideways');
}

/** @param {import('playwright-core').Page} page @param {number} row @param {number} column */
async function clickCell(page, row, column) {
  const box = await page.locator('#terminal .xterm-screen').boundingBox();
  const count = (await rows(page)).length;
  check(box, 'the terminal has no place');
  const height = box.height / count;
  const x = box.x + column * 7.85;
  const y = box.y + (row + 0.5) * height;
  await page.mouse.move(x - 3, y);
  await page.mouse.move(x, y, { steps: 3 });
  await until('the link is under the mouse', () => page.locator('#terminal .xterm-screen.xterm-cursor-pointer, #terminal .xterm-cursor-pointer').count());
  await page.mouse.click(x, y);
}
