/**
 * How fast the page is, measured in Chromium with a CPU four times slower: a day of 100,000 records, a search in all of
 * them, and 1,000 records a second for who follows them and for who reads older ones. Prints numbers; checks nothing.
 *
 * `node tests/web/speed.mjs <darkmux>`: it starts a daemon of its own in a folder of its own.
 */

import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createPage } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const RECORDS = 100_000;
const PER_SECOND = 1_000;
const SECONDS = 15;
/** Times that the page is opened, of which the median is told. */
const OPENINGS = 5;
const THROTTLE = 4;
const OPENING_MS = 60_000;

/** A port that nobody listens on: what answers is the daemon that is started here. */
const PORT = await new Promise((resolve, reject) => {
  const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    server.close(() => resolve(port));
  });
});

const bin = process.argv[2] ?? 'darkmux';
const folder = mkdtempSync(join(tmpdir(), 'darkmux-speed-'));
const env = { ...process.env, HOME: folder, DARKMUX_HOME: join(folder, '.darkmux'), DARKMUX_MACHINE_ID: 'speed' };
const day = new Date().toISOString().slice(0, 10);
const flows = join(env.DARKMUX_HOME, 'flows');
const file = join(flows, `${day}.jsonl`);
mkdirSync(flows, { recursive: true });

/** @param {number} n */
const record = (n) => `${JSON.stringify({
  ts: new Date(Date.parse(`${day}T00:00:00Z`) + n * 10).toISOString().replace(/\.\d+Z/, 'Z'), level: n % 50 ? 'info' : 'warn', category: 'work', tier: 'local', stage: 'dispatch',
  action: ['dispatch start', 'dispatch.turn', 'dispatch.tool', 'dispatch complete'][n % 4], handle: `role-${n % 12}`, machine_id: `machine-${n % 5}`, machine_uid: 'u',
  session_id: `job-${Math.floor(n / 4)}`, record_id: `r-${n}`, payload: { turn_seq: n % 9, tool_name: 'read_file', exit_code: 0, wall_ms: n },
})}\n`;

writeFileSync(file, `{"_type":"schema","version":"1.14.0"}\n${Array.from({ length: RECORDS }, (_, n) => record(n)).join('')}`);
const daemon = spawn(bin, ['serve', '--port', String(PORT)], { env, stdio: 'ignore' });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
/**
 * Runs in the page before anything of it: tells when it was painted first and, where it `shows` some, when records stood there.
 *
 * @param {boolean} shows
 */
function measure(shows) {
  let paint = 0;
  let shown = 0;
  const tell = () => {
    if (paint === 0 || (shows && shown === 0)) return;
    const parts = performance.getEntriesByType('resource').map((one) => /** @type {PerformanceResourceTiming} */ (one)).filter(({ name }) => name.includes('/assets/'));
    const [page] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
    Object(window).tellMeasured(JSON.stringify({ paint, shown, bytes: parts.reduce((sum, one) => sum + one.encodedBodySize, page.encodedBodySize) }));
  };
  new PerformanceObserver((list) => {
    const first = list.getEntriesByName('first-contentful-paint')[0];
    if (!first) return;
    paint = first.startTime;
    tell();
  }).observe({ type: 'paint', buffered: true });
  const seen = new MutationObserver(() => {
    if (!document.querySelector('li.record')) return;
    shown = performance.now();
    seen.disconnect();
    tell();
  });
  if (shows) seen.observe(document, { childList: true, subtree: true });
}
const say = (/** @type {string} */ what, /** @type {unknown} */ value) => console.log(`${what.padEnd(52)} ${value}`);

try {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      execFileSync('curl', ['-sf', `http://localhost:${PORT}/health`], { stdio: 'ignore' });
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  /**
   * A page that is measured from within: who asks it from without makes it work, and that before its first frame.
   *
   * @param {string} address @param {boolean} shows whether it comes to show records
   */
  async function slowPage(address, shows) {
    const page = await (await browser.newContext()).newPage();
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Page.enable');
    await cdp.send('Runtime.enable');
    await cdp.send('Runtime.addBinding', { name: 'tellMeasured' });
    await cdp.send('Page.addScriptToEvaluateOnNewDocument', { source: `(${measure})(${shows})` });
    await cdp.send('Emulation.setCPUThrottlingRate', { rate: THROTTLE });
    async function open() {
      const told = new Promise((resolve, reject) => {
        cdp.once('Runtime.bindingCalled', ({ payload }) => resolve(JSON.parse(payload)));
        setTimeout(() => reject(new Error(`${address} showed nothing`)), OPENING_MS).unref();
      });
      await page.goto(address, { waitUntil: 'commit' });
      return /** @type {Promise<{paint: number, shown: number, bytes: number}>} */ (told);
    }
    return { page, cdp, open };
  }
  const median = (/** @type {number[]} */ all) => Math.round(all.sort((a, b) => a - b)[Math.floor(all.length / 2)]);
  const viewer = `http://localhost:${PORT}/`;
  const bare = createPage((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>bare</title><p>A line of text.'));
  await new Promise((resolve) => bare.listen(0, '127.0.0.1', () => resolve(undefined)));
  const floor = [];
  const cold = [];
  // One after the other, so that what else the machine does is in both.
  for (let n = 0; n < OPENINGS; n += 1) {
    for (const [all, address, shows] of /** @type {const} */ ([[floor, `http://localhost:${/** @type {import('node:net').AddressInfo} */ (bare.address()).port}/`, false], [cold, viewer, true]])) {
      const { page, open } = await slowPage(address, shows);
      all.push(await open());
      await page.context().close();
    }
  }
  bare.close();
  bare.closeAllConnections();
  const { page, cdp, open } = await slowPage(viewer, true);
  await open();
  const warm = [];
  for (let n = 0; n < OPENINGS; n += 1) warm.push(await open());
  const least = median(floor.map(({ paint }) => paint));
  const first = median(cold.map(({ paint }) => paint));
  say(`first paint of a line of text, cold (ms, median of ${OPENINGS})`, least);
  for (const [name, all] of /** @type {const} */ ([['cold', cold], ['warm', warm]])) {
    say(`first paint, ${name} (ms, median of ${OPENINGS})`, median(all.map(({ paint }) => paint)));
    say(`records shown, ${name} (ms, median of ${OPENINGS})`, median(all.map(({ shown }) => shown)));
  }
  say('first paint of the viewer over that of a line of text', (first / least).toFixed(1));
  say('page, scripts, styles, icons (KiB as sent)', Math.round(cold[0].bytes / 1024));
  await page.locator('#show-older').click();
  const before = Date.now();
  await page.locator('#load-day').click();
  await page.waitForFunction(() => !document.querySelector('#load-day'), null, { timeout: 60_000 });
  say('the whole day loaded (ms)', Date.now() - before);
  for (const words of ['role-7', 'role-7 machine-3', 'nothing-is-called-so']) {
    const took = await page.evaluate(async (/** @type {string} */ text) => {
      const field = /** @type {HTMLInputElement} */ (document.getElementById('search'));
      const long = /** @type {number[]} */ ([]);
      const observer = new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)));
      observer.observe({ entryTypes: ['longtask'] });
      field.value = text;
      field.dispatchEvent(new Event('input'));
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      observer.disconnect();
      return long.map(Math.round);
    }, words);
    say(`a search in all of them, "${words}" (tasks, ms)`, took.join(' + ') || 'below 50');
  }
  await page.locator('#clear-filters').click();
  let n = RECORDS;
  const writing = setInterval(() => {
    appendFileSync(file, Array.from({ length: PER_SECOND / 20 }, () => record(n++)).join(''));
  }, 50);
  for (const follows of [true, false]) {
    await page.evaluate((/** @type {boolean} */ wanted) => {
      const button = document.getElementById('follow');
      if (button?.getAttribute('aria-pressed') !== String(wanted)) button?.click();
    }, follows);
    const frames = await page.evaluate((seconds) => new Promise((resolve) => {
      const begun = performance.now();
      let count = 0;
      let worst = 0;
      let last = begun;
      const step = (/** @type {number} */ now) => {
        count += 1;
        worst = Math.max(worst, now - last);
        last = now;
        if (now - begun < seconds * 1000) requestAnimationFrame(step);
        else resolve({ rate: count / seconds, worst });
      };
      requestAnimationFrame(step);
    }), SECONDS);
    const who = follows ? 'following' : 'reading older ones';
    say(`frames a second at ${PER_SECOND} records a second, ${who}`, frames.rate.toFixed(1));
    say(`longest frame, ${who} (ms)`, Math.round(frames.worst));
  }
  clearInterval(writing);
  const { usedSize } = await cdp.send('Runtime.getHeapUsage');
  say('heap (MiB)', Math.round(usedSize / 1024 / 1024));
} finally {
  await browser.close();
  daemon.kill();
  rmSync(folder, { recursive: true, force: true });
}
