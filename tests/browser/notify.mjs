/** The switch for notifications: asked, allowed, off, blocked, and not there; and only what is new is told. */

import { browserTest, check, checkFaults, until } from './harness.mjs';
import { api, sh, signIn } from './terminals.mjs';

/** @param {string} question */
const asks = (question) => sh(`curl -sS --unix-socket "$DARKMUX_SOCKET" -X PUT -d '{"needs_you":"${question}"}' http://session/status; exec cat`);

await browserTest(async (page, faults) => {
  // Headless browsers show no notification; what the page asks for is recorded. Nobody looks at the page.
  await page.addInitScript(() => {
    const told = /** @type {string[]} */ ([]);
    const kept = sessionStorage.getItem('permission') ?? 'default';
    class Recorded {
      static permission = kept;
      static async requestPermission() {
        Recorded.permission = sessionStorage.getItem('answer') ?? 'granted';
        sessionStorage.setItem('permission', Recorded.permission);
      }
      /** @param {string} title @param {{body: string}} options */
      constructor(title, { body }) {
        told.push(`${title}: ${body}`);
      }
    }
    Object.assign(window, { told, Notification: kept === 'none' ? undefined : Recorded });
    document.hasFocus = () => false;
  });
  const told = () => page.evaluate(() => /** @type {any} */ (window).told);
  const box = page.getByRole('switch', { name: 'Notify me on this device' });
  const head = page.locator('#page-inbox .page-head');
  const shown = (/** @type {string} */ question) => until(`the page shows: ${question}`, () => page.locator('#page-inbox .inbox-question', { hasText: question }).isVisible());

  await asks('old one');
  await signIn(page);
  await page.goto(new URL('/inbox', page.url()).href);
  await shown('old one');
  check(!(await box.isChecked()), 'it is on before it was asked for');
  await box.click();
  await until('it is on', () => box.isChecked());
  check((await told()).join() === 'darkmux: You are told here when a session needs you.', `at its click the system was told: ${await told()}`);
  const second = await asks('new one');
  await until('what is new is told', async () => (await told()).length === 2);
  check((await told())[1].endsWith('needs you: new one'), `the system was told: ${await told()}`);
  await api('POST', `/v1/sessions/${second}/kill`);

  await page.reload();
  await shown('old one');
  check(await box.isChecked(), 'it is off after the page was loaded again');
  await asks('third one');
  await until('what is new is told again', async () => (await told()).length > 0);
  check((await told()).length === 1 && (await told())[0].endsWith('third one'), `of what is old the system was told: ${await told()}`);

  await box.click();
  await page.reload();
  await shown('third one');
  check(!(await box.isChecked()) && await box.isEnabled(), 'it is on though it was switched off');
  await asks('fourth one');
  await shown('fourth one');
  check((await told()).length === 0, `it is off, and the system was told: ${await told()}`);

  await page.evaluate(() => {
    sessionStorage.setItem('permission', 'default');
    sessionStorage.setItem('answer', 'denied');
  });
  await page.reload();
  await shown('old one');
  await box.click();
  await until('it is said what to do', async () => /allow them in its settings/.test(await head.innerText()));
  check(await box.isDisabled() && !(await box.isChecked()), 'what is blocked can be switched on');
  await page.evaluate(() => sessionStorage.setItem('permission', 'none'));
  await page.reload();
  await shown('old one');
  check(await box.isHidden(), 'a browser without notifications has the switch');
  checkFaults(faults);
});
