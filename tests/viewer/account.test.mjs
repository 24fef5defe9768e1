import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { createAccount } from '../../assets/viewer/account.js';
import { pageAfter } from '../../assets/viewer/login/signin.js';

/** @type {FakeEventSource[]} */
let made = [];
/** @type {Map<string, () => Response>} */
let answers = new Map();
/** @type {string[]} */
let asked = [];

class FakeEventSource {
  static OPEN = 1;
  static CLOSED = 2;

  constructor() {
    this.readyState = 0;
    this.heard = {};
    made.push(this);
  }

  addEventListener(name, listener) {
    this.heard[name] = listener;
  }

  refuse() {
    this.readyState = FakeEventSource.CLOSED;
    this.onerror();
  }

  close() {
    this.readyState = FakeEventSource.CLOSED;
  }
}

const json = (body) => () => new Response(JSON.stringify(body));

beforeEach(() => {
  made = [];
  asked = [];
  answers = new Map([['/auth/me', json({ scope: 'act' })], ['/v1/health', json({ data: {} })], ['/v1/discovery', json({ data: {} })]]);
  globalThis.document = /** @type {any} */ ({ hidden: false, visibilityState: 'visible', addEventListener() {}, removeEventListener() {} });
  globalThis.EventSource = /** @type {any} */ (FakeEventSource);
  globalThis.fetch = /** @type {any} */ (async (path) => {
    asked.push(path);
    return answers.get(path)?.() ?? new Response('', { status: 500 });
  });
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
});

async function settle() {
  for (let turn = 0; turn < 30; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test('sessions are asked for until their events have come, and again once those are refused, with a word', async () => {
  const told = [];
  const account = createAccount((action) => told.push(action), () => {});
  account.look();
  await settle();
  assert.equal(account.follows(), false, 'nothing has come yet');
  made[0].heard['session-snapshot']({ data: '{"ids":[]}' });
  assert.equal(account.follows(), true);
  made[0].refuse();
  await settle();
  assert.equal(account.follows(), false);
  assert.ok(told.some(({ type, key }) => type === 'toast/raised' && key === 'events'));
  mock.timers.tick(15_000);
  assert.equal(made.length, 2);
  made[1].heard['session-upsert']({ data: '{"session":{"id":"a"}}' });
  assert.equal(account.follows(), true);
  assert.ok(told.some(({ type, key }) => type === 'toast/closed' && key === 'events'));
});

test('what is not answered is asked for with growing pauses, also where the first question of a look is', async () => {
  answers.set('/v1/health', () => new Response('', { status: 500 }));
  const account = createAccount(() => {}, () => {});
  account.look();
  await settle();
  for (let ms = 0; ms < 60_000; ms += 500) {
    mock.timers.tick(500);
    await settle();
  }
  const times = asked.filter((path) => path === '/auth/me').length;
  assert.ok(times >= 4 && times <= 10, `asked for ${times} times in a minute`);
});

test('however many terminals are refused at once, it is asked once who the page is', async () => {
  const told = [];
  const account = createAccount((action) => told.push(action), () => {});
  account.look();
  await settle();
  answers.set('/auth/me', () => new Response('', { status: 401 }));
  asked = [];
  for (let tile = 0; tile < 8; tile += 1) account.refused();
  await settle();
  assert.equal(asked.filter((path) => path === '/auth/me').length, 1);
  assert.ok(told.some(({ type, access }) => type === 'access/changed' && access === 'none'));
  assert.ok(told.some(({ type, key }) => type === 'toast/raised' && key === 'signed-out'));
});

test('a link that was used says once what to do', async () => {
  const said = async (/** @type {() => Response} */ answer) => {
    answers.set('/auth/code', answer);
    globalThis.location = /** @type {any} */ ({ hash: `#code=${'a'.repeat(64)}`, pathname: '/', search: '' });
    globalThis.history = /** @type {any} */ ({ replaceState() {} });
    const told = [];
    await createAccount((action) => told.push(action), () => {}).start();
    return told.find(({ key }) => key === 'code').text;
  };
  const used = 'this link was used already or is older than a minute; `darkmux open` makes another';
  assert.equal(await said(() => new Response(JSON.stringify({ error: { message: used } }), { status: 401 })), `Not signed in: ${used}.`);
  assert.match(await said(() => new Response('', { status: 500 })), /refused \(500\)\. Run darkmux open again\.$/);
});

test('the login page leads to a page of its own daemon, and to no other', () => {
  const at = 'http://box:8765';
  const after = (next) => pageAfter(`${at}/auth/login?next=${encodeURIComponent(next)}`);
  assert.equal(pageAfter(`${at}/auth/login`), `${at}/`);
  assert.equal(after('/session/sess-1@desk?view=raw'), `${at}/session/sess-1@desk?view=raw`);
  assert.equal(after('/.//other.example'), `${at}//other.example`);
  for (const bad of ['//other.example', 'http://other.example/', '/\\other.example', 'javascript:alert(1)', 'http://[']) {
    assert.equal(after(bad), `${at}/`, bad);
  }
});
