/**
 * Takes a picture of every view in both themes at the sizes of a phone, a laptop and a large screen, of a daemon that runs
 * and has something to show: `DARKMUX_TEST_URL`, `DARKMUX_TEST_BIN` and `DARKMUX_TEST_HOME` as for the tests, and the folder
 * as the only argument. It says which views are wider than their screen, and fails then.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { browserTest, check, checkFaults, until } from '../browser/harness.mjs';
import { api, home, signIn } from '../browser/terminals.mjs';

const SIZES = [[390, 844], [1280, 800], [2560, 1440]];
const folder = process.argv[2];
if (!folder) throw new Error('name the folder for the pictures');
mkdirSync(folder, { recursive: true });

await browserTest(async (page, faults) => {
  await signIn(page);
  const { jobs } = await (await fetch(`${home()}/jobs`)).json();
  const sessions = await api('GET', '/v1/sessions');
  const machine = (await (await fetch(`${home()}/health`)).json()).machine_id;
  const alive = sessions.filter((/** @type {{alive: boolean}} */ one) => one.alive).map((/** @type {{id: string}} */ one) => one.id);
  const ended = jobs.find((/** @type {{state: string}} */ one) => one.state === 'done') ?? jobs[0];
  const views = {
    fleet: '/fleet', machine: `/machine/${machine}`, flow: '/', lanes: '/?view=lanes', raw: '/?view=raw', queue: '/queue', sessions: '/sessions', inbox: '/inbox',
    ...(ended ? { job: `/job/${ended.id}` } : {}), ...(alive[0] ? { session: `/session/${alive[0]}` } : {}), ...(alive[1] ? { tiles: `/sessions?show=${alive.slice(0, 2)}` } : {}),
  };
  for (const [name, path] of Object.entries(views)) {
    for (const [width, height] of SIZES) {
      for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme });
        await page.goto(`${home()}${path}`);
        await until('the page is signed in', async () => await page.locator('body').getAttribute('data-access') === 'act');
        await page.waitForLoadState('networkidle', { timeout: 3_000 }).catch(() => {});
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        check(over <= 0, `${name} is ${over} px wider than ${width} px`);
        await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.jpg`), type: 'jpeg', quality: 78 });
      }
    }
  }
  checkFaults(faults);
});
