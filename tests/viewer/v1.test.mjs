import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitCommand } from '../../assets/viewer/commands.js';
import { initialState, reduce } from '../../assets/viewer/store.js';
import { way } from '../../assets/viewer/format.js';
import { readAccess, readFound, readLaunchers, readPeers, readRefusal, readSession, noticing, waiting } from '../../assets/viewer/v1.js';

const HOSTILE = [undefined, null, 7, 'text', [], { data: 1 }, { data: { launchers: [null, 1, {}] } }, { status: 'x', alive: 'yes', terminal_cols: -1, command: 5 }];

test('a notice that nobody has looked at is read, and told where the session asks nothing', () => {
  const one = (more) => readSession({ id: 'a', alive: true, notice: { title: 'make', body: 'all built', at: '2026-01-01T00:00:00.000Z' }, ...more });
  assert.deepEqual([one({}).notice.text, one({}).notice.at], ['make: all built', Date.UTC(2026, 0, 1)]);
  assert.equal(one({ notice: { title: '', body: 'done' } }).notice.text, 'done');
  for (const none of [undefined, null, 7, [], {}]) assert.equal(one({ notice: none }).notice.text, '');
  const sessions = [one({}), one({ needs_you: 'well?' }), one({ notice: null })];
  assert.deepEqual(noticing(sessions), [sessions[0]]);
});

test('bodies of any shape are read without an error', () => {
  for (const body of HOSTILE) {
    assert.deepEqual(readLaunchers(body), []);
    assert.equal(readAccess(body), 'none');
    assert.equal(readRefusal(body), '');
    const session = readSession(body);
    assert.equal(session.id, '');
    assert.equal(session.working, false);
    assert.equal(session.cols, 0);
  }
});

test('a session is read with its title, its report and how it ended', () => {
  const session = readSession({
    id: 'sess-1@desk', peer: 'desk', alive: false, exit_code: 7, title: 'vim', kind: 'claude', created_at: '2026-11-22T01:02:03Z',
    status: { label: 'thinking', working: true, needs_you: 'Run rm?' }, unread: true, terminal_cols: 120, terminal_rows: 40,
  });
  assert.equal(session.state, 'exited');
  assert.equal(session.machine, 'desk');
  assert.equal(session.exitCode, 7);
  assert.deepEqual([session.label, session.working, session.needsYou, session.unread], ['thinking', true, 'Run rm?', true]);
  assert.deepEqual([session.cols, session.rows], [120, 40]);
  assert.equal(readSession({ id: 'sess-2', alive: false, exit_code: -1, exit: { signal: 15 } }).signal, '15');
});

test('a session behind a machine has the whole way there, and a peer what it starts', () => {
  const machine = (/** @type {object} */ body) => readSession(body).machine;
  assert.equal(machine({ id: 'sess-1@dev@desk', peer: 'desk', machine_id: 'devbox' }), 'dev@desk');
  assert.equal(machine({ id: 'sess-1', machine_id: 'here' }), 'here');
  assert.deepEqual(['dev@desk', 'desk', ''].map(way), ['desk › dev', 'desk', '']);
  const peers = [{ name: 'desk', status: 'connected', launchers: [{ id: 'shell', label: 'Shell', available: true }, { id: 'no', available: false }] }, { name: 'box' }];
  assert.deepEqual(readPeers({ data: { peers } }).map(({ launchers }) => launchers.map(({ id }) => id)), [['shell'], []]);
});

test('who has waited longest is first in the inbox, and who has ended waits for nobody', () => {
  const one = (id, created, more = {}) => readSession({ id, alive: true, created_at: created, status: { needs_you: 'well?' }, ...more });
  const found = waiting([
    one('late', '2026-11-22T03:00:00Z'), one('early', '2026-11-22T01:00:00Z'),
    one('ended', '2026-11-22T00:00:00Z', { alive: false }), one('busy', '2026-11-22T00:00:00Z', { status: { working: true } }),
  ]);
  assert.deepEqual(found.map(({ id }) => id), ['early', 'late']);
});

test('changes of sessions are put in, newest first, and removals taken out', () => {
  let state = initialState({ kind: 'live', label: '', src: '' }, 0);
  const session = (id, created, title) => readSession({ id, alive: true, created_at: created, title });
  state = reduce(state, { type: 'sessions/upserted', sessions: [session('a', '2026-11-22T01:00:00Z', '1'), session('b', '2026-11-22T02:00:00Z', '1')] });
  state = reduce(state, { type: 'sessions/upserted', sessions: [session('a', '2026-11-22T01:00:00Z', '2')] });
  assert.deepEqual(state.sessions.map(({ id, title }) => id + title), ['b1', 'a2']);
  state = reduce(state, { type: 'sessions/removed', id: 'b' });
  assert.deepEqual(state.sessions.map(({ id }) => id), ['a']);
});

test('a toast said again replaces itself, and there are only a few', () => {
  let state = initialState({ kind: 'live', label: '', src: '' }, 0);
  const raise = (key, at) => { state = reduce(state, { type: 'toast/raised', key, tone: 'note', text: key, at }); };
  for (let at = 0; at < 100; at += 1) raise(`t${at % 10}`, at);
  assert.deepEqual(state.toasts.map(({ key, at }) => [key, at]), [['t6', 96], ['t7', 97], ['t8', 98], ['t9', 99]]);
  assert.equal(state.toastLog.length, 50);
  state = reduce(state, { type: 'toast/closed', key: 't9' });
  assert.equal(state.toasts.length, 3);
});

test('a command line is split as a shell would', () => {
  assert.deepEqual(splitCommand(''), []);
  assert.deepEqual(splitCommand(' ls  -la '), ['ls', '-la']);
  assert.deepEqual(splitCommand(`sh -c 'echo "a b"' "" x\\ y "q\\"q"`), ['sh', '-c', 'echo "a b"', '', 'x y', 'q"q']);
  assert.equal(splitCommand(`echo 'a`), null);
});

test('what the daemon does not name in its snapshot is gone', () => {
  let state = initialState({ kind: 'live', label: '', src: '' }, 0);
  state = reduce(state, { type: 'sessions/kept', ids: [] });
  assert.ok(state.sessionsLoaded);
  state = reduce(state, { type: 'sessions/upserted', sessions: ['a', 'b', 'c'].map((id) => readSession({ id })) });
  state = reduce(state, { type: 'sessions/kept', ids: ['c', 'a', 'never-seen'] });
  assert.deepEqual(state.sessions.map(({ id }) => id), ['a', 'c']);
});

test('machines that were found are those that the user has to do something about', () => {
  const machine = (more) => ({ name: 'desk', url: 'http://100.64.0.2:8765', online: true, origin: 'tailscale', host: 'desk.tail1.ts.net', ...more });
  const body = (machines) => ({ ok: true, data: { machines } });
  assert.deepEqual(readFound(body([machine({ access: 'identity' }), machine({ access: 'joined' })])), []);
  assert.deepEqual(readFound(body([machine({ access: 'suggestion', join: 'on desk: …' })])), [
    { name: 'desk', url: 'http://100.64.0.2:8765', place: 'desk.tail1.ts.net', off: false, todo: 'on desk: …' },
  ]);
  assert.equal(readFound(body([machine({ access: 'taken', taken: 'the roster has desk', online: false })]))[0].off, true);
  for (const none of [null, {}, body(null), body([{ join: 'x' }])]) assert.deepEqual(readFound(none), []);
});
