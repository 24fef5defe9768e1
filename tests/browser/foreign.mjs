/**
 * A page on another origin, in a browser that is signed in, can neither read from the daemon nor connect to it nor do
 * anything with it; nor can one whose name was turned into the daemon's address.
 */

import { createServer } from 'node:http';
import { browserTest, check, until, url } from './harness.mjs';
import { api, home, open, sh, shows, signIn } from './terminals.mjs';

const port = new URL(url()).port;

/** What a hostile page tries; runs in it. @param {{base: string, id: string}} at */
async function attempts({ base, id }) {
  /** @type {{[name: string]: string}} */
  const got = {};
  const socket = base.replace('http', 'ws');
  /** @param {string} name @param {() => Promise<string>} work */
  const attempt = async (name, work) => {
    got[name] = await Promise.race([
      work().catch((error) => `refused: ${error}`),
      new Promise((resolve) => setTimeout(() => resolve('refused: nothing came'), 5000)),
    ]);
  };
  const paths = ['/v1/sessions', '/v1/health', `/v1/sessions/${id}/scrollback`, '/sessions', '/auth/me', '/assets/main.js'];
  await Promise.all([
    ...paths.map((path) => attempt(`fetch ${path}`, async () => {
      const response = await fetch(base + path, { credentials: 'include' });
      return `read ${response.status}`;
    })),
    attempt('blind post', async () => {
      // A request that needs no permission; its effect is looked for afterwards.
      await fetch(`${base}/v1/sessions/${id}/input?submit=1`, { method: 'POST', mode: 'no-cors', credentials: 'include', body: 'typed-by-a-foreign-page' });
      return 'refused: unreadable';
    }),
    attempt('launch', async () => {
      await fetch(`${base}/v1/launch`, { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'content-type': 'text/plain' }, body: '{"command":["/bin/cat"]}' });
      return 'refused: unreadable';
    }),
    ...['', '?darkmux=1'].map((query) => attempt(`websocket ${query}`, () => new Promise((resolve, reject) => {
      const opened = new WebSocket(`${socket}/ws/${id}${query}`);
      opened.onopen = () => resolve('connected');
      opened.onmessage = () => resolve('read');
      opened.onerror = () => reject(new Error('no connection'));
    }))),
    ...['/v1/events', `/flow/${new Date().toISOString().slice(0, 10)}/stream`].map((path) => attempt(`events ${path}`, () => new Promise((resolve, reject) => {
      const opened = new EventSource(base + path, { withCredentials: true });
      opened.onopen = () => resolve('connected');
      opened.onmessage = () => resolve('read');
      opened.onerror = () => reject(new Error('no stream'));
    }))),
    ...['/assets/icon.svg', '/v1/sessions'].map((path) => attempt(`img ${path}`, () => new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve('read');
      image.onerror = () => reject(new Error('no image'));
      image.src = base + path;
    }))),
    attempt('script', () => new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.onload = () => resolve('read');
      script.onerror = () => reject(new Error('no script'));
      script.src = `${base}/assets/sanitize.js`;
      script.type = 'module';
      document.head.append(script);
    })),
  ]);
  return got;
}

/** A page of nothing, served on a port of its own. */
async function foreign() {
  const server = createServer((request, answer) => {
    answer.setHeader('content-type', 'text/html');
    answer.end(request.url === '/frame'
      ? `<iframe id="frame" src="${home()}/"></iframe>`
      : `<form id="form" method="post" enctype="text/plain" action="${home()}/v1/launch"><input name='{"command":["/bin/cat"],"x":"' value='"}'></form>`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { server, port: address.port };
}

await browserTest(async (page) => {
  const id = await sh('echo secret-of-the-terminal; exec cat');
  await signIn(page);
  await open(page, id);
  await shows(page, 'secret-of-the-terminal');
  // What is refused below works from the daemon's own page.
  const own = await page.evaluate(attempts, { base: home(), id: await sh('exec cat') });
  for (const name of ['fetch /v1/sessions', 'websocket ', 'websocket ?darkmux=1', 'events /v1/events', 'img /assets/icon.svg']) {
    check(own[name] && !own[name].startsWith('refused'), `the daemon's own page: ${name}: ${own[name]}`);
  }
  const known = JSON.stringify((await api('GET', '/v1/sessions')).map(({ id }) => id).sort());
  const site = await foreign();

  try {
    // Another port of the same name gets the cookie: it is the same site. Another name does not.
    for (const origin of [`http://localhost:${site.port}`, `http://127.0.0.1:${site.port}`, `http://evil.test:${site.port}`]) {
      const other = await page.context().newPage();
      await other.goto(origin);
      for (const base of [home(), url()]) {
        const got = await other.evaluate(attempts, { base, id });
        for (const [name, outcome] of Object.entries(got)) check(outcome.startsWith('refused'), `${origin} → ${base}: ${name}: ${outcome}`);
      }

      await other.goto(`${origin}/frame`);
      const frame = await until('the frame is loaded', async () => other.frames()[1]);
      await other.waitForLoadState('load');
      const inside = await /** @type {import('playwright-core').Frame} */ (frame).evaluate(() => document.body?.innerText ?? '').catch(() => '');
      check(!/Sessions|secret/.test(inside), `${origin} shows the viewer in a frame: ${inside}`);

      await other.goto(origin);
      await other.locator('#form').evaluate((form) => /** @type {HTMLFormElement} */ (form).submit());
      let said = '';
      await until('the form is refused', async () => {
        said = await other.locator('body').innerText().catch(() => '');
        return /"ok":false/.test(said) && /refused|sign in/.test(said);
      }).catch((error) => {
        throw new Error(`${error.message}; ${origin} got: ${said}`);
      });
      await other.close();
    }

    // A name of theirs that leads to the daemon: the page and the daemon are one origin then, but for `Host`.
    const rebound = await page.context().newPage();
    const response = await rebound.goto(`http://evil.test:${port}/`);
    check((response?.status() ?? 0) >= 400, `a foreign name is answered with ${response?.status()}`);
    const got = await rebound.evaluate(attempts, { base: `http://evil.test:${port}`, id });
    for (const [name, outcome] of Object.entries(got)) check(outcome.startsWith('refused') || /^read 4\d\d$/.test(outcome), `rebinding: ${name}: ${outcome}`);
    await rebound.close();

    const now = JSON.stringify((await api('GET', '/v1/sessions')).map(({ id }) => id).sort());
    check(now === known, `sessions were started: ${now}`);
    await shows(page, /^secret-of-the-terminal$/);
  } finally {
    site.server.closeAllConnections();
    site.server.close();
  }
  // The daemon is to refuse by itself, not the newest browser for it.
}, { flags: ['--host-resolver-rules=MAP evil.test 127.0.0.1', '--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets'] });
