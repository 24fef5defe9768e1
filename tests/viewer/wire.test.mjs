import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sessionCommands } from '../../assets/viewer/commands.js';
import { readDays, readFleet, readHealth, readMachine, readSessions } from '../../assets/viewer/wire.js';

const HOSTILE = [undefined, null, 7, 'text', [], {}, { sessions: 1, days: {}, loaded_models: 'x' }, { sessions: [null, 1, [], {}], days: [null, 'x'] }];

test('bodies of any shape are read without an error', () => {
  for (const body of HOSTILE) {
    assert.deepEqual(readSessions(body), []);
    assert.deepEqual(readDays(body), []);
    assert.deepEqual(readFleet(body), []);
    assert.equal(readMachine(body).id, '');
    assert.deepEqual(readHealth(body), { id: '', version: '' });
  }
});

test('a session is read with its times, exit code and command line', () => {
  const [session] = readSessions({ sessions: [{
    id: 's1', role: 'shell', name: null, state: 'exited', machine_id: 'studio', created_at: '2026-11-22T01:02:03.004Z',
    started_at: '2026-11-22T01:02:03.005Z', ended_at: null, exit_code: 0, signal: null, reason: null, cwd: '/tmp',
    command: ['sh', '-c', "it's; rm"],
  }] });
  assert.equal(session.started - session.created, 1);
  assert.ok(Number.isNaN(session.ended));
  assert.equal(session.exitCode, 0);
  assert.equal(session.name, '');
  assert.equal(session.command, "sh -c 'it'\\''s; rm'");
});

test('days are only dates', () => {
  const days = readDays({ days: [{ date: '2026-11-22', records: 3, bad: 1, fleet: true }, { date: '../../etc' }, { date: 5 }] });
  assert.deepEqual(days, [{ date: '2026-11-22', records: 3, dispatches: 0, bad: 1, fleet: true }]);
});

test('loaded models are names or objects', () => {
  const machine = readMachine({ loaded_models: ['a', { identifier: 'b' }, { model: 'c' }, {}, null], ram_total_bytes: null });
  assert.deepEqual(machine.models, ['a', 'b', 'c']);
  assert.ok(Number.isNaN(machine.ramTotal));
});

test('commands for a session depend on whether it is open', () => {
  const lines = (state) => sessionCommands({ id: 'crew-dispatch-shell-1', state }).map((command) => command.line);
  assert.deepEqual(lines('exited'), ['darkmux session attach crew-dispatch-shell-1', 'darkmux session tail -f crew-dispatch-shell-1']);
  assert.equal(lines('running').at(-1), 'darkmux session kill crew-dispatch-shell-1');
});

test('no command is made of an id that a shell could read as more than an id', () => {
  for (const id of ['$(reboot)', 'a;b', 'a b', '-rf', '', "a'b", 'a\nb', '../x', 'ä', 'a\u202eb', 'x'.repeat(200)]) {
    assert.deepEqual(sessionCommands({ id, state: 'running' }), [], id);
  }
});

test('a machine of the fleet is read whatever it leaves out', () => {
  const [old, busy] = readFleet([
    { machine_uid: 'u', display_name: 'oldmac', schema_version: '1.14.0', beat_ts_ms: 1 },
    {
      machine_uid: 'v', display_name: 'x', machine_id: 'studio', slots: { total: 2, busy: 1 },
      runner: { enabled: true, draining: false }, loaded_models: ['a', 7], os: 'macos', arch: 'aarch64', clash: 'two',
    },
    { display_name: 'no identity' },
  ]);
  assert.deepEqual([old.name, old.state, old.version, old.clash], ['oldmac', '', '', '']);
  assert.ok(Number.isNaN(old.ramFree) && Number.isNaN(old.slots));
  assert.deepEqual([busy.name, busy.state, busy.busy, busy.system], ['studio', 'busy', 1, 'macos aarch64']);
  assert.deepEqual([busy.models[0], busy.clash], ['a', 'two']);
  const state = (runner, running) => readFleet([{ machine_uid: 'u', machine_id: 'm', runner, slots: { total: 1, busy: running } }])[0].state;
  assert.deepEqual(
    [state({ enabled: false }, 0), state({ enabled: true, draining: true }, 1), state({ enabled: true }, 0), state('x', 0)],
    ['no runner', 'draining', 'idle', ''],
  );
});
