/** A phone: one pane at a time, a bar for the keys that its keyboard lacks, nothing wider than the screen. */

import { browserTest, check, checkFaults, until } from './harness.mjs';
import { connected, rows, screen, session, sh, shows, signIn } from './terminals.mjs';

/** Prints every byte it gets, so that a key can be told from another. */
const BYTES = "stty raw -echo; echo ready; while :; do b=$(dd bs=16 count=1 2>/dev/null | od -An -tx1 | tr -d '\\n'); printf 'got%s;\\r\\n' \"$b\"; done";

/** @param {import('playwright-core').Page} page @param {string} what */
async function fits(page, what) {
  const wide = await page.evaluate(() => {
    const limit = document.documentElement.clientWidth;
    const scrolls = (/** @type {Element} */ element) => {
      for (let at = element.parentElement; at; at = at.parentElement) if (getComputedStyle(at).overflowX !== 'visible' && at !== document.body) return true;
      return false;
    };
    return [...document.querySelectorAll('body *')]
      .filter((element) => element.getBoundingClientRect().right > limit + 1 && element.checkVisibility() && !scrolls(element))
      .map((element) => `${element.tagName}#${element.id}.${element.className}`);
  });
  const scrolled = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide.length === 0 && scrolled <= 0, `${what} is wider than the phone by ${scrolled}: ${wide}`);
}

await browserTest(async (page, faults) => {
  const keys = await sh(BYTES);
  const shell = await sh("PS1='> ' exec /bin/sh");
  const pane = (/** @type {string} */ name) => page.locator(`#panes [data-pane="${name}"]`).tap();
  await page.goto('about:blank');
  await signIn(page);
  for (const name of ['fleet', 'flow', 'queue', 'inbox', 'sessions']) {
    await pane(name);
    await until(`the pane ${name} is chosen`, async () => await page.locator(`#panes [data-pane="${name}"]`).getAttribute('aria-current') === 'page');
    const side = await page.locator('.side').isVisible();
    check(side === (name === 'sessions') && await page.locator('main').isVisible() === (name !== 'sessions'), `more than the pane ${name} is shown`);
    await fits(page, `the pane ${name}`);
  }

  await pane('sessions');
  await page.locator(`#sessions li[data-session-id="${keys}"] button`).tap();
  await connected(page);
  await shows(page, 'ready');
  await fits(page, 'a terminal');
  const bar = page.locator('#keybar');
  const wanted = { esc: '1b', tab: '09', left: '1b 5b 44', up: '1b 5b 41', down: '1b 5b 42', right: '1b 5b 43' };
  for (const [key, bytes] of Object.entries(wanted)) {
    await bar.locator(`[data-key="${key}"]`).tap();
    await shows(page, `got ${bytes};`);
  }
  const ctrl = page.locator('#keybar-ctrl');
  await ctrl.tap();
  check(await ctrl.getAttribute('aria-pressed') === 'true', 'ctrl is not armed');
  await page.locator('#terminal .xterm-screen').tap();
  await page.locator('#terminal .xterm-helper-textarea').focus();
  await page.keyboard.type('d');
  await shows(page, 'got 04;');
  check(await ctrl.getAttribute('aria-pressed') === 'false', 'ctrl stays armed after one key');
  await ctrl.tap();
  await bar.locator('[data-key="left"]').tap();
  await shows(page, 'got 1b 5b 31 3b 35 44;');

  // The phone's own keyboard takes half of the page; the terminal and the bar stay in view.
  const before = (await rows(page)).length;
  await page.setViewportSize({ width: 390, height: 420 });
  await until('the terminal has fewer rows', async () => (await rows(page)).length < before);
  const place = await bar.boundingBox();
  check(place && place.y + place.height <= 421, `the bar of keys is out of view: ${JSON.stringify(place)}`);
  await page.setViewportSize({ width: 390, height: 800 });
  await until('the terminal has its rows back', async () => (await rows(page)).length === before);

  // What may be done with a session is there as well.
  await pane('sessions');
  await page.locator(`#sessions li[data-session-id="${shell}"] button`).tap();
  await connected(page);
  for (const name of ['Rename', 'Restart', 'End', 'Records']) {
    const button = page.locator('#session-detail').getByRole('button', { name, exact: true });
    await until(`a phone offers: ${name}`, () => button.isVisible());
    // The head is built anew whenever the session changes.
    const at = await until(`${name} has a place`, () => button.boundingBox());
    check(at.x >= 0 && at.x + at.width <= 390 && at.height >= 30, `${name} is not to be tapped: ${JSON.stringify(at)}`);
  }
  await page.locator('#session-detail').getByRole('button', { name: 'Records', exact: true }).tap();
  await fits(page, 'the records of a session');
  await page.locator('#session-detail').getByRole('button', { name: 'End', exact: true }).tap();
  await page.locator('#ask-yes').tap();
  await until('it has ended', async () => (await session(shell)).alive === false);
  check(!(await screen(page)).includes('undefined'), 'something undefined is shown');
  await fits(page, 'an ended session');
  checkFaults(faults);
}, { options: { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true } });
