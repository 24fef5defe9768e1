/** The terminal's connection against a daemon that loses it, resumes it, and ends it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTerminal } from '../../assets/viewer/socket.js';

/** A socket whose other end is the test. */
class Fake {
  readyState = 1;
  bufferedAmount = 0;
  sent = [];
  constructor(url) { this.url = new URL(url, 'ws://localhost'); }
  send(message) { this.sent.push(message); }
  close() { this.readyState = 3; }
  tell(message) { this.onmessage({ data: JSON.stringify(message) }); }
  show(text) { this.onmessage({ data: new TextEncoder().encode(text).buffer }); }
  drop(code) { this.readyState = 3; this.onclose({ code }); }
}

function open() {
  const sockets = [];
  const seen = { shown: [], old: [], sizes: [], lost: 0, refused: 0, end: null };
  const text = (bytes) => new TextDecoder().decode(bytes);
  const terminal = openTerminal('sess-1@desk', { cols: 80, rows: 24 }, {
    onSnapshot: (bytes) => { seen.shown = [`[${text(bytes)}]`]; },
    onOutput: (bytes, live) => { seen.shown.push(text(bytes)); if (!live) seen.old.push(text(bytes)); },
    onSize: (size) => seen.sizes.push(size),
    onOpen: (readOnly) => { seen.readOnly = readOnly; },
    onLost: (refused) => { seen.lost += 1; if (refused) seen.refused += 1; },
    onEnd: (how, code) => { seen.end = [how, code]; },
  }, (url) => { const fake = new Fake(url); sockets.push(fake); return fake; });
  return { sockets, seen, terminal };
}

test('begins with a snapshot and goes on at the byte where it was lost', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { sockets, seen } = open();
  assert.equal(sockets[0].url.pathname, '/ws/sess-1%40desk');
  assert.equal(sockets[0].url.searchParams.get('from'), null);
  sockets[0].tell({ type: 'attached', at: 1000, end: 1000, snapshot: true, read_only: false });
  sockets[0].show('screen');
  sockets[0].show('abc');
  sockets[0].drop(1006);
  assert.equal(seen.lost, 1);
  context.mock.timers.tick(200);
  assert.equal(sockets[1].url.searchParams.get('from'), '1003');
  sockets[1].tell({ type: 'attached', at: 1003, end: 1005, snapshot: false, read_only: true });
  sockets[1].show('de');
  sockets[1].show('f');
  assert.deepEqual(seen.shown, ['[screen]', 'abc', 'de', 'f']);
  assert.deepEqual(seen.old, ['de'], 'what others have seen answers no question');
  assert.equal(seen.readOnly, true);
  sockets[1].tell({ type: 'exit', exit_code: 7 });
  sockets[1].drop(4000);
  assert.deepEqual(seen.end, ['exited', 7]);
  context.mock.timers.tick(60_000);
  assert.equal(sockets.length, 2, 'an end is not retried');
});

test('it is told at once when this browser may be signed out: by the daemon, or by not being let in again', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const attached = { type: 'attached', at: 0, end: 0, snapshot: false, read_only: false };
  const { sockets, seen } = open();
  sockets[0].onopen();
  sockets[0].tell(attached);
  sockets[0].drop(1006);
  assert.equal(seen.refused, 0, 'a network that breaks is no refusal');
  context.mock.timers.tick(200);
  sockets[1].drop(1006);
  assert.equal(seen.refused, 1, 'it was not let in');
  context.mock.timers.tick(60_000);
  sockets[2].onopen();
  sockets[2].tell(attached);
  sockets[2].drop(4001);
  assert.deepEqual([seen.refused, seen.end], [2, null], 'it is opened again, should another tab have signed in');
});

test('a page that was away opens it anew, also where it looks open: what is typed must not go nowhere', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { sockets, seen, terminal } = open();
  sockets[0].tell({ type: 'attached', at: 0, end: 0, snapshot: true, read_only: false });
  sockets[0].show('screen');
  sockets[0].show('abc');
  terminal.wake();
  assert.equal(sockets.length, 2, 'a connection that can be dead is kept');
  assert.deepEqual([sockets[0].readyState, sockets[1].url.searchParams.get('from')], [3, '3']);
  sockets[0].show('late');
  sockets[0].drop(1006);
  sockets[1].tell({ type: 'attached', at: 3, end: 3, snapshot: false, read_only: false });
  sockets[1].show('d');
  assert.deepEqual([seen.shown, seen.lost], [['[screen]', 'abc', 'd'], 0]);
  context.mock.timers.tick(60_000);
  assert.equal(sockets.length, 2);
  terminal.close();
  terminal.wake();
  assert.equal(sockets.length, 2, 'one that is over is opened again');
});

test('a daemon that tells no places begins with a picture, again and again', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { sockets, seen } = open();
  assert.equal(seen.readOnly, undefined);
  sockets[0].show('screen');
  assert.equal(seen.readOnly, false, 'the terminal is there');
  sockets[0].show('abc');
  assert.deepEqual(seen.shown, ['[screen]', 'abc']);
  sockets[0].drop(1006);
  context.mock.timers.tick(200);
  assert.equal(sockets[1].url.searchParams.get('from'), null);
  sockets[1].show('screen with abc');
  sockets[1].show('d');
  assert.deepEqual(seen.shown, ['[screen with abc]', 'd']);
  assert.deepEqual(seen.old, []);
});

test('a picture that never came is asked for again, and what is known is told from what is new', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { sockets, seen } = open();
  sockets[0].tell({ type: 'attached', at: 1000, end: 1000, snapshot: true });
  sockets[0].drop(1006);
  context.mock.timers.tick(200);
  assert.equal(sockets[1].url.searchParams.get('from'), null);
  sockets[1].tell({ type: 'attached', at: 1000, end: 1003, snapshot: true });
  sockets[1].show('screen');
  sockets[1].show('oldnew');
  assert.deepEqual(seen.shown, ['[screen]', 'old', 'new']);
  assert.deepEqual(seen.old, ['old']);
});

test('what is too old to go on with is replaced by a snapshot', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { sockets, seen } = open();
  sockets[0].tell({ type: 'attached', at: 5, end: 5, snapshot: true });
  sockets[0].show('one');
  sockets[0].drop(4008);
  context.mock.timers.tick(200);
  sockets[1].tell({ type: 'attached', at: 9_000_000, end: 9_000_000, snapshot: true });
  sockets[1].show('two');
  sockets[1].show('x');
  sockets[1].drop(1001);
  context.mock.timers.tick(200);
  assert.deepEqual(seen.shown, ['[two]', 'x']);
  assert.equal(sockets[2].url.searchParams.get('from'), '9000001');
});

test('a long paste goes in pieces, and too much is refused as a whole', () => {
  const { sockets, terminal } = open();
  assert.equal(terminal.type(new Uint8Array(150_000)), true);
  assert.deepEqual(sockets[0].sent.map(({ length }) => length), [65_536, 65_536, 18_928]);
  sockets[0].bufferedAmount = 4 * 1024 * 1024;
  assert.equal(terminal.type(new Uint8Array(1)), false);
  sockets[0].readyState = 0;
  assert.equal(terminal.type(new Uint8Array(1)), false);
  assert.equal(sockets[0].sent.length, 3);
});

test('sizes of a dragged window are joined, a claim goes at once', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { sockets, seen, terminal } = open();
  for (let cols = 81; cols < 100; cols += 1) terminal.resize({ cols, rows: 30 });
  context.mock.timers.tick(100);
  terminal.resize({ cols: 120, rows: 40 }, true);
  assert.deepEqual(sockets[0].sent.map(JSON.parse), [
    { type: 'resize', cols: 99, rows: 30, claim: false }, { type: 'resize', cols: 120, rows: 40, claim: true },
  ]);
  sockets[0].tell({ type: 'terminal_resize', cols: 100, rows: 30, owner: false });
  sockets[0].tell({ type: 'terminal_resize', cols: 'x', rows: 30 });
  assert.deepEqual(seen.sizes, [{ cols: 100, rows: 30, own: false }]);
});

test('messages of any shape do no harm', () => {
  const { sockets, seen } = open();
  for (const data of ['', 'null', '[]', '{"type":"attached","at":"x"}', '{"type":"nonsense"}']) sockets[0].onmessage({ data });
  sockets[0].show('a');
  assert.deepEqual(seen.shown, ['a']);
});
