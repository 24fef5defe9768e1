/**
 * Two tabs of a browser that has no worker to share (Chrome on Android): each follows the records and the sessions by
 * streams of its own while it is looked at, and all that works elsewhere works here.
 */

import { browserTest, check, checkFaults, note, pill, until, watch } from './harness.mjs';
import { api, connected, enter, home, sh, shows, signIn } from './terminals.mjs';

/** @typedef {import('playwright-core').Page} Page */

/** Runs in a page before anything of it: takes the worker away, and keeps what streams it opens. */
function alone() {
  Reflect.deleteProperty(globalThis, 'SharedWorker');
  const Real = EventSource;
  /** @type {EventSource[]} */
  const streams = [];
  Object.assign(globalThis, {
    streams,
    EventSource: class extends Real {
      /** @param {string} url */
      constructor(url) {
        super(url);
        streams.push(this);
      }
    },
  });
}

/** @param {Page} tab @returns {Promise<string[]>} what it follows now, in order */
const follows = (tab) => tab.evaluate(() => /** @type {EventSource[]} */ (Object(globalThis).streams)
  .filter(({ readyState }) => readyState !== EventSource.CLOSED).map(({ url }) => new URL(url).pathname.replace(/\/flow\/[\d-]+\//, '/flow/')).sort());

/** What the page finds when it asks whether somebody looks at it. @param {Page} tab @param {'visible' | 'hidden'} state */
const turn = (tab, state) => tab.evaluate((now) => {
  Object.defineProperty(document, 'visibilityState', { value: now, configurable: true });
  Object.defineProperty(document, 'hidden', { value: now === 'hidden', configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}, state);

await browserTest(async (first, faults) => {
  const id = await sh("PS1='> ' exec /bin/sh");
  await first.context().addInitScript(alone);
  await signIn(first);
  const second = await first.context().newPage();
  const others = await watch(second);
  await second.goto(home());
  const tabs = [first, second];
  for (const tab of tabs) {
    check(await tab.evaluate(() => typeof SharedWorker) === 'undefined', 'there is a worker after all');
    await until('the tab is live', async () => await pill(tab) === 'live');
    await until('it follows the records once and the sessions once', async () => (await follows(tab)).join() === '/flow/stream,/v1/events');
  }

  /** @param {string} text @param {Page[]} where */
  async function seen(text, where) {
    for (const tab of where) await until(`"${text}" is shown`, async () => await tab.locator('li.record', { hasText: text }).count() === 1);
  }
  await note('to both tabs');
  await seen('to both tabs', tabs);
  const other = await sh('exec cat');
  for (const tab of tabs) await until('a session is heard of', async () => await tab.locator(`#sessions li[data-session-id="${other}"]`).count() === 1);

  // Who is not looked at follows nothing, and has missed nothing when somebody looks again.
  await turn(first, 'hidden');
  await until('a hidden tab follows nothing', async () => (await follows(first)).length === 0);
  await note('while nobody looked');
  await seen('while nobody looked', [second]);
  check(await first.locator('li.record', { hasText: 'while nobody looked' }).count() === 0, 'a hidden tab still heard of it');
  await turn(first, 'visible');
  await seen('while nobody looked', [first]);
  await until('it follows both again', async () => (await follows(first)).join() === '/flow/stream,/v1/events');
  for (const tab of tabs) check(await tab.locator('li.record', { hasText: 'to both tabs' }).count() === 1, 'a record is shown twice');

  // A terminal, what is done to a session, and every page.
  await second.goto(`${home()}/session/${id}`);
  await connected(second);
  await enter(second, 'echo typed-without-a-worker');
  await shows(second, /^typed-without-a-worker$/m);
  await api('POST', `/v1/sessions/${other}/kill`);
  for (const tab of tabs) await until('the end is heard of', async () => !/running/.test(await tab.locator(`#sessions li[data-session-id="${other}"]`).innerText()));
  for (const pane of ['fleet', 'queue', 'sessions', 'inbox', 'flow']) {
    await second.locator(`#panes [data-pane="${pane}"]`).click();
    await until(`${pane} is shown`, async () => await second.locator('body').getAttribute('data-page') === pane);
    check((await follows(second)).join() === '/flow/stream,/v1/events', `on ${pane} it follows ${await follows(second)}`);
  }
  checkFaults(faults);
  checkFaults(others);
});
