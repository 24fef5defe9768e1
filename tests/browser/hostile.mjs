/**
 * A record whose handle is HTML with escape sequences and direction marks is shown as text: nothing
 * runs, no element comes out of it, and what would be invisible is visible.
 */

import { browserTest, check, note, url, until, waitForPill } from './harness.mjs';

const MARK = `hostile${Date.now()}`;
const HTML = `<img src=x onerror="alert('${MARK}')"><script>alert(1)</script>`;
const HOSTILE = `${MARK} ${HTML} \x1b[31mred\x1b]0;title\x07 \u202egnp.exe\u2066 \u200b\ufeff\x9b1m`;
const SEEN = ['\\u{1b}[31mred', '\\u{7}', '\\u{202e}gnp.exe', '\\u{2066}', '\\u{200b}', '\\u{feff}', '\\u{9b}1m'];
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/;

await browserTest(async (page, faults) => {
  /** @type {string[]} */
  const requested = [];
  page.on('request', (request) => requested.push(new URL(request.url()).pathname));
  await page.goto(url());
  await waitForPill(page, 'live');

  await note(HOSTILE);
  const record = page.locator('li.record', { hasText: MARK });
  await until('the hostile record is shown', async () => (await record.count()) === 1);
  await record.locator('.record-toggle').click();
  await until('the whole record is shown', async () => (await record.locator('.json').count()) === 1);

  const handle = await record.locator('.record-handle').innerText();
  check(handle.includes(HTML), `the handle is not shown as it was written: ${handle}`);
  for (const text of SEEN) check(handle.includes(text), `"${text}" is not visible in the handle: ${handle}`);

  check(await record.locator('img, script, [onerror], [src]').count() === 0, 'an element came out of a record');
  const unsafe = await page.evaluate((pattern) => {
    const found = new RegExp(pattern);
    const attributes = [...document.querySelectorAll('*')]
      .flatMap((element) => ['title', 'aria-label'].map((name) => element.getAttribute(name) ?? ''));
    return [document.documentElement.innerText, document.title, ...attributes].filter((text) => found.test(text));
  }, UNSAFE.source);
  check(unsafe.length === 0, `raw control characters are on the page: ${JSON.stringify(unsafe).slice(0, 500)}`);
  check(!requested.includes('/x'), 'the page asked for the image of the record');
  check(faults.length === 0, `faults on the page:\n${faults.join('\n')}`);
});
