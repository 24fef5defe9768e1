/**
 * The whole way by keys: nothing of this test points at anything. A session is started, typed into, left and ended; a record
 * is read; the flow is filtered; and each place where the focus rests on the way says what it is and shows that it is there.
 */

import { browserTest, check, checkFaults, note, until } from './harness.mjs';
import { connected, session, shows, signIn } from './terminals.mjs';

/** Presses of Tab after which something is out of reach. */
const REACH = 80;

/** @typedef {import('playwright-core').Page} Page */

/** What has the focus: its words, and what is wrong with it. @param {Page} page */
const focused = (page) => page.evaluate(() => {
  const one = document.activeElement;
  if (!(one instanceof HTMLElement || one instanceof SVGElement) || one === document.body) return { name: '', wrong: '' };
  const labels = one instanceof HTMLInputElement || one instanceof HTMLSelectElement || one instanceof HTMLTextAreaElement ? [...one.labels ?? []].map((label) => label.textContent) : [];
  const name = (one.getAttribute('aria-label') ?? '') || labels.join(' ') || one.textContent?.trim() || one.getAttribute('title') || '';
  const { width, height, right, bottom } = one.getBoundingClientRect();
  const seen = width > 0 && height > 0 && right > 0 && bottom > 0 && one.checkVisibility();
  // The ring is the element's own, or that of the row or the field around it.
  const ringed = [one, one.parentElement, one.closest('.field-pair, li, .terminal')].some((at) => {
    if (!at) return false;
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(at);
    return (outlineStyle !== 'none' && Number.parseFloat(outlineWidth) > 0) || boxShadow !== 'none';
  }) || [...one.querySelectorAll('rect')].some((shape) => Number.parseFloat(getComputedStyle(shape).strokeWidth) > 1.5);
  const what = `${one.tagName.toLowerCase()}#${one.id}.${one.getAttribute('class') ?? ''} "${name.slice(0, 40)}"`;
  return { name, wrong: [name === '' && `${what} has no name`, !seen && `${what} is not to be seen`, !ringed && one.tabIndex >= 0 && `${what} does not show that it has the focus`].filter(Boolean).join('; ') };
});

await browserTest(async (page, faults) => {
  await note('read by keys');
  await signIn(page);
  await page.emulateMedia({ reducedMotion: 'reduce' });
  /** @type {Set<string>} */
  const wrong = new Set();
  /** @param {RegExp} wanted */
  async function tabTo(wanted) {
    for (let press = 0; press < REACH; press += 1) {
      const { name, wrong: found } = await focused(page);
      if (found) wrong.add(found);
      if (wanted.test(name)) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(`${wanted} is not reached by ${REACH} presses of Tab`);
  }
  const isOpen = (/** @type {string} */ dialog) => page.locator(`${dialog}[open]`).isVisible();

  // The way past the rail is the first thing there is.
  await page.keyboard.press('Tab');
  check(/skip/i.test((await focused(page)).name), `the first thing is "${(await focused(page)).name}"`);
  await page.keyboard.press('Enter');
  check(await page.evaluate(() => document.activeElement?.id === 'main'), 'skipping does not lead to the page');

  // A session, by the dialog.
  await page.keyboard.press('n');
  await until('the dialog is open', () => isOpen('#launch'));
  await tabTo(/^With$/);
  await page.keyboard.press('End');
  await until('a command can be given', () => page.locator('#launch-command').isVisible());
  await tabTo(/^Command/i);
  await page.keyboard.type('/bin/sh -c "PS1=\'> \' exec /bin/sh"');
  await page.keyboard.press('Enter');
  await connected(page);
  const id = new URL(page.url()).pathname.split('/')[2];
  await until('the terminal has the focus', () => page.evaluate(() => document.activeElement?.classList.contains('xterm-helper-textarea')));
  await page.keyboard.type('echo typed-$((40+2))');
  await page.keyboard.press('Enter');
  await shows(page, 'typed-42');
  // Tab is the shell's; one key leaves it.
  await page.keyboard.press('Tab');
  check(await page.evaluate(() => document.activeElement?.classList.contains('xterm-helper-textarea')), 'Tab leaves the terminal');
  await page.keyboard.press('Control+Shift+L');
  await until('the terminal is left', () => page.evaluate(() => !document.activeElement?.classList.contains('xterm-helper-textarea')));
  await tabTo(/^End$/);
  await page.keyboard.press('Enter');
  await until('it is asked first', () => isOpen('#ask'));
  await page.keyboard.press('Escape');
  await until('it is not ended by Escape', async () => !await isOpen('#ask') && (await session(id)).alive === true);
  check(/^End$/.test((await focused(page)).name), 'the focus is lost with the question');
  await page.keyboard.press('Enter');
  await until('it is asked again', () => isOpen('#ask'));
  await page.keyboard.press('Enter');
  await until('it has ended', async () => (await session(id)).alive === false);

  // The flow: a record by its key, the filter, the way back.
  await page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur());
  await page.keyboard.press('g');
  await page.keyboard.press('l');
  await page.keyboard.press('/');
  await until('the search has the focus', async () => (await focused(page)).name === 'Search records');
  await page.keyboard.type('read by keys');
  await until('one record is left', async () => await page.locator('li.record').count() === 1);
  await page.keyboard.press('Escape');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await until('its JSON is shown', async () => await page.locator('li.record .record-detail').count() === 1);
  await page.keyboard.press('Escape');
  await until('Escape closes it', async () => await page.locator('li.record .record-detail').count() === 0);

  // Each page, all the way round.
  for (const [key, name] of [['f', 'Fleet'], ['q', 'Queue'], ['s', 'Sessions'], ['i', 'Inbox'], ['l', 'Flow']]) {
    await page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur());
    await page.keyboard.press('g');
    await page.keyboard.press(key);
    // Until it is drawn, Tab would go on in the page before.
    await until(`${name} is shown`, () => page.locator('[aria-current="page"]', { hasText: name }).isVisible());
    for (let press = 0; press < 30; press += 1) {
      await page.keyboard.press('Tab');
      const { wrong: found } = await focused(page);
      if (found) wrong.add(found);
    }
  }
  check(wrong.size === 0, `where the focus rests:\n${[...wrong].join('\n')}`);
  checkFaults(faults);
});
