/**
 * A hub's page: its peers and how their links are, a machine behind a machine with the way there, its terminal, and a
 * session that is started on it. The hub's peers are `desk`, behind which is `dev`, and `gone`, where nothing listens.
 */

import { browserTest, check, checkFaults, until } from './harness.mjs';
import { home, signIn } from './terminals.mjs';

await browserTest(async (page, faults) => {
  await signIn(page);
  const go = (/** @type {string} */ path) => page.goto(`${home()}${path}`);
  const peer = (/** @type {string} */ name) => page.locator(`#peers tr[data-peer="${name}"]`);

  await go('/fleet');
  await until('the link to desk is up', async () => await peer('desk').getAttribute('data-status') === 'connected');
  check(!await page.locator('.topology-frame').isVisible(), 'a picture of no machines is shown');
  check(/1 of 2 peers connected/.test(await page.locator('#fleet-count').innerText()), 'the peers are not counted');
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 800 });
    const why = peer('gone').getByText('connection refused');
    const box = await why.boundingBox();
    check(box && box.x >= 0 && box.x + box.width <= width, `the reason is not in sight at ${width} pixels`);
    const tone = await peer('gone').locator('.session-outcome').getAttribute('data-tone');
    check(tone === 'bad', `a link that is down has the colour of ${tone}`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });

  await go('/sessions');
  await until('its session stands under the way there', async () => (await page.locator('#page-sessions h3').allInnerTexts()).some((text) => text.startsWith('desk › dev')));
  await page.locator('#page-sessions td a').first().click();
  const crumbs = page.locator('#session-detail .crumbs');
  await until('the way stands beside its name', async () => await crumbs.innerText().catch(() => '') === 'desk › dev');
  await until('its terminal is here', async () => (await page.locator('.xterm-rows').innerText().catch(() => '')).includes('deep'));
  await crumbs.getByText('dev', { exact: true }).click();
  await until('the machine has its page', async () => decodeURIComponent(new URL(page.url()).pathname) === '/machine/dev@desk');
  check(/Fleet \/ desk \/ dev/.test(await page.locator('#machine h2').innerText()), `the way on its page: ${await page.locator('#machine h2').innerText()}`);

  await page.locator('#machine').getByRole('button', { name: 'New session' }).click();
  check(await page.locator('#launch-machine').inputValue() === 'dev@desk', 'the dialog is about another machine');
  await page.locator('#launch-with').selectOption('');
  await page.locator('#launch-command').fill('cat');
  await page.locator('#launch-form [type=submit]').click();
  await until('it runs there', async () => /^\/session\/[^/]+@dev@desk$/.test(decodeURIComponent(new URL(page.url()).pathname)));

  // Away from the terminal, which takes keys of its own.
  await go('/fleet');
  await until('the peers are known', async () => await peer('gone').count() === 1);
  await page.keyboard.press('Control+k');
  await page.locator('#palette-field').fill('gone');
  await page.keyboard.press('Enter');
  await until('the palette leads to a peer', async () => new URL(page.url()).pathname === '/machine/gone');
  check((await page.locator('#machine').innerText()).includes('connection refused'), 'its page does not say what is wrong');
  checkFaults(faults);
});
