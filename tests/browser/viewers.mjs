/**
 * Two pages on one terminal: who types owns its size, the other one sees it letter-boxed and can take it over. And a page
 * that draws with the graphics card shows the same.
 */

import { browserTest, check, checkFaults, until, watch } from './harness.mjs';
import { connected, enter, open, rows, screen, session, sh, shows, signIn } from './terminals.mjs';

await browserTest(async (big, faults) => {
  const id = await sh("PS1='> ' exec /bin/sh");
  await signIn(big);
  await open(big, id);
  await enter(big, 'echo from-the-big-one');
  await shows(big, /^from-the-big-one$/m);
  const full = (await rows(big)).length;
  await until('the terminal is as big as the first page', async () => (await session(id)).terminal_rows === full);

  const small = await big.context().newPage();
  const more = await watch(small);
  await small.setViewportSize({ width: 900, height: 420 });
  await small.goto(big.url());
  await connected(small);
  await shows(small, /^from-the-big-one$/m);
  const claim = (/** @type {import('playwright-core').Page} */ page) => page.locator('#terminal-claim');
  await until('the second page sees the size of the first', async () => (await rows(small)).length === full && await claim(small).isVisible());
  check((await session(id)).terminal_rows === full, 'looking changed the size');
  const box = await small.locator('#terminal .xterm-screen').boundingBox();
  const pane = await small.locator('#terminal-pane').boundingBox();
  check(box && pane && box.height <= pane.height, `the letter-boxed terminal is ${box?.height} high in ${pane?.height}`);

  // Typing takes it over.
  await enter(small, 'echo from-the-small-one');
  await shows(small, /^from-the-small-one$/m);
  await until('the page that typed owns the size', async () => await claim(small).isHidden() && (await rows(small)).length < full);
  const few = (await rows(small)).length;
  await until('the other is letter-boxed', async () => await claim(big).isVisible() && (await rows(big)).length === few);
  await shows(big, /^from-the-small-one$/m);
  check((await session(id)).terminal_rows === few, 'the terminal is not as big as the page that typed');

  // And so does asking for it.
  await claim(big).click();
  await until('the first page has it again', async () => await claim(big).isHidden() && (await rows(big)).length === full);
  await until('the second is letter-boxed again', () => claim(small).isVisible());

  // The owner leaves: the size stays until somebody wants it.
  await big.goto('about:blank');
  await enter(small, 'echo alone');
  await shows(small, /^alone$/m);
  await until('who is left has it', async () => await claim(small).isHidden() && (await session(id)).terminal_rows === few);
  check((await screen(small)).includes('alone'), 'the last page does not show what it typed');
  checkFaults([...faults, ...more]);
});
