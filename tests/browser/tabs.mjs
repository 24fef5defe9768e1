/**
 * More tabs than a browser has connections to a daemon: each is live, each has its terminals and its answers, and the daemon
 * has two streams of the browser. A tab that comes later, one that is signed in later and one that is left are no exception.
 */

import { browserTest, check, checkFaults, note, pill, until, url, watch } from './harness.mjs';
import { api, connected, enter, home, sh, shows, signIn } from './terminals.mjs';

/** A browser has six. */
const TABS = 9;

/** @typedef {import('playwright-core').Page} Page */

await browserTest(async (first, faults) => {
  const id = await sh("PS1='> ' exec /bin/sh");
  await signIn(first);
  const tabs = [first];
  while (tabs.length < TABS) {
    const tab = await first.context().newPage();
    tab.on('pageerror', (error) => faults.push(error.message));
    await tab.goto(home());
    tabs.push(tab);
  }
  /** @param {Page} tab @param {number} nth */
  const live = (tab, nth) => until(`tab ${nth} is live`, async () => await pill(tab) === 'live');
  for (const [nth, tab] of tabs.entries()) await live(tab, nth);

  /** @param {string} text */
  async function seenByAll(text) {
    await note(text);
    for (const [nth, tab] of tabs.entries()) await until(`tab ${nth} shows "${text}"`, async () => await tab.locator('li.record', { hasText: text }).count() === 1);
  }
  await seenByAll('to every tab');
  // What they ask for is answered as well: nothing waits for a connection.
  for (const [nth, tab] of tabs.entries()) {
    const status = await tab.evaluate(async () => (await fetch('/health', { signal: AbortSignal.timeout(5_000) })).status);
    check(status === 200, `tab ${nth} gets ${status} for a question`);
  }
  const last = tabs[TABS - 1];
  await last.goto(`${home()}/session/${id}`);
  await connected(last);
  await enter(last, 'echo from-the-last-tab');
  await shows(last, /^from-the-last-tab$/m);
  const started = await sh('exec cat');
  for (const [nth, tab] of tabs.entries()) await until(`tab ${nth} hears of a session`, async () => await tab.locator(`#sessions li[data-session-id="${started}"]`).count() === 1);

  // Tabs are closed and others come; what the last ones see is whole.
  for (const tab of tabs.splice(0, 6)) await tab.close();
  await last.goto(home());
  await seenByAll('to those that are left');
  const late = await tabs[0].context().newPage();
  await watch(late);
  await late.goto(home());
  tabs.push(late);
  await seenByAll('to one that came late');
  check(await late.locator(`#sessions li[data-session-id="${started}"]`).count() === 1, 'who came late does not know of the sessions');

  // What ends is told to all of them.
  await api('POST', `/v1/sessions/${started}/kill`);
  for (const [nth, tab] of tabs.entries()) await until(`tab ${nth} hears of the end`, async () => !/running/.test(await tab.locator(`#sessions li[data-session-id="${started}"]`).innerText()));
  check(url() !== '', 'there is no daemon');
  checkFaults(faults);
});
