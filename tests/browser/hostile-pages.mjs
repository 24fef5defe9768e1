/**
 * Every page with hostile text in every field that comes from others: HTML, escape sequences, direction marks, a megabyte,
 * emoji, right-to-left. It is the showcase with such text in the place of its own, so every view has rows to show.
 */

import { readFileSync } from 'node:fs';
import { browserTest, check, checkFaults, until, url, waitForPill } from './harness.mjs';

const TEXTS = [
  '<img src=x onerror="alert(1)"><script>alert(2)</script>', '\x1b[31mred\x1b]0;title\x07\x9b1m', '\u202egnp.exe\u2066\u200b\ufeff', '👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿 e\u0301\u0301', 'שלום עולם مرحبا',
  '"><svg onload=alert(3)>', 'javascript:alert(4)', `long${'x'.repeat(1024 * 1024)}`, '{{7*7}} ${7*7} %s \\ \' "',
];
/** Fields that others fill as they like. */
const FIELDS = new Set(['name', 'title', 'role', 'why', 'parked', 'cancel', 'reason', 'cwd', 'label', 'needs_you', 'last_error', 'url', 'origin', 'version', 'os', 'arch', 'clash', 'kind', 'error', 'published_by', 'workdir', 'handle', 'reasoning', 'text', 'darkmux_version', 'display_name', 'state_word', 'action', 'level', 'tier', 'machine_id']);
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/;

let nth = 0;
const text = readFileSync(new URL('../../assets/viewer/showcase.json', import.meta.url), 'utf8');
/** A megabyte is in some places alone. */
let long = 0;
const hostile = JSON.stringify(JSON.parse(text, (key, value) => {
  if (!FIELDS.has(key) || typeof value !== 'string' || value === '') return value;
  nth += 1;
  // Machines are told apart by their names, and a link to one must lead to it.
  const made = TEXTS[nth % TEXTS.length];
  if (made.length > 1_000 && (long += 1) > 6) return `${value} short`;
  return key === 'machine_id' || key === 'display_name' ? `${value}${made.slice(0, 40)}` : made;
}));

/** @param {import('playwright-core').Page} page @param {string} what */
async function safe(page, what) {
  const found = await page.evaluate((pattern) => {
    const unsafe = new RegExp(pattern);
    const attributes = [...document.querySelectorAll('*')].flatMap((element) => ['title', 'aria-label', 'placeholder'].map((name) => element.getAttribute(name) ?? ''));
    return {
      raw: [document.documentElement.innerText, document.title, ...attributes].filter((one) => unsafe.test(one)).map((one) => JSON.stringify(one.slice(0, 200))),
      elements: [...document.querySelectorAll('main img, main script, main iframe, .side img, [onerror], [onload], a[href^="javascript"]')].map((one) => one.outerHTML.slice(0, 200)),
      wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      // Text of a megabyte is nowhere in whole.
      size: document.documentElement.innerText.length,
    };
  }, UNSAFE.source);
  check(found.raw.length === 0, `${what}: characters that are not seen: ${found.raw.slice(0, 5)}`);
  check(found.elements.length === 0, `${what}: elements came out of texts: ${found.elements}`);
  check(found.wide <= 0, `${what} is ${found.wide} px wider than the screen`);
  check(found.size < 400_000, `${what} shows ${found.size} characters`);
}

await browserTest(async (page, faults) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await page.route('**/assets/showcase.json', (route) => route.fulfill({ contentType: 'application/json', body: hostile }));
  await page.goto(`${url()}/queue?replay=showcase&at=70`);
  await waitForPill(page, 'replay (showcase)');
  await until('jobs are listed', async () => await page.locator('#queue-jobs tr').count() > 5);
  const job = await page.locator('#queue-jobs a').first().getAttribute('href') ?? '';
  const session = await page.locator('#sessions li').first().getAttribute('data-session-id') ?? '';
  const pages = ['/fleet', `/machine/${encodeURIComponent('studio')}`, '/', '/?view=lanes', '/?view=raw', '/queue', '/sessions', '/inbox', job, `/session/${session}`];
  for (const [width, height] of [[390, 844], [1280, 800]]) {
    await page.setViewportSize({ width, height });
    for (const path of pages) {
      for (const at of [40, 98]) {
        await page.goto(`${url()}${path}${path.includes('?') ? '&' : '?'}replay=showcase&at=${at}`);
        await waitForPill(page, 'replay (showcase)');
        // The raw lens shows records as they are; its text is made visible as all text is.
        await safe(page, `${path} at ${width} px`);
      }
    }
  }
  await page.goto(`${url()}/?replay=showcase&at=70`);
  await waitForPill(page, 'replay (showcase)');
  await page.keyboard.press('Control+k');
  await safe(page, 'the palette');
  await page.keyboard.press('Escape');
  await page.locator('li.record .record-toggle').last().click();
  await until('a whole record is shown', async () => await page.locator('.json').count() === 1);
  await safe(page, 'a whole record');
  checkFaults(faults);
});
