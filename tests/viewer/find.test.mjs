import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findSession, knowsSessions } from '../../assets/viewer/find.js';

const one = (id, name = '', state = 'running') => ({ id, name, state });
const found = (sessions, text) => {
  const fits = findSession(sessions, text);
  return typeof fits === 'string' ? fits : fits.id;
};

test('a session is found by its id, its name, the beginning or the end of its id', () => {
  const sessions = [one('sess-1a2b3c4d', 'api'), one('sess-1affffff', ''), one('coder-20261123-77aa', 'indexer')];
  for (const [text, id] of [
    ['sess-1a2b3c4d', 'sess-1a2b3c4d'], ['api', 'sess-1a2b3c4d'], ['sess-1a2', 'sess-1a2b3c4d'], ['1a2b3c4d', 'sess-1a2b3c4d'],
    ['1a2', 'sess-1a2b3c4d'], ['3c4d', 'sess-1a2b3c4d'], ['c', 'coder-20261123-77aa'], ['77aa', 'coder-20261123-77aa'],
    // The command line takes no shorter end.
    ['c4d', 'none'], ['2b3c', 'none'], ['ap', 'none'], ['', 'none'], ['API', 'none'],
    ['sess-1a', 'several'], ['1a', 'several'], ['sess-', 'several'],
  ]) assert.equal(found(sessions, text), id, text);
  assert.equal(found([], 'x'), 'none');
});

test('an id goes before a name, a name before a part of an id, one that runs before those that ended', () => {
  assert.equal(found([one('a', 'b'), one('b', 'a')], 'a'), 'a');
  assert.equal(found([one('sess-1', 'web'), one('web-2', '')], 'web'), 'sess-1');
  assert.equal(found([one('a', 'web', 'exited'), one('b', 'web'), one('c', 'web', 'lost')], 'web'), 'b');
  assert.equal(found([one('a', 'web', 'exited'), one('web-2', '')], 'web'), 'a');
  assert.equal(found([one('a', 'web', 'exited'), one('b', 'web', 'lost')], 'web'), 'several');
  assert.equal(found([one('a', 'web'), one('b', 'web', 'starting')], 'web'), 'several');
});

test('a session of another machine is named with its machine', () => {
  const sessions = [one('sess-1a2b3c4d@dev@desk', 'api'), one('sess-1a2b0000', 'web'), one('sess-9', 'me@home')];
  for (const [text, id] of [
    ['api@dev@desk', 'sess-1a2b3c4d@dev@desk'], ['1a2b@dev@desk', 'sess-1a2b3c4d@dev@desk'], ['3c4d@dev@desk', 'sess-1a2b3c4d@dev@desk'],
    ['me@home', 'sess-9'], ['1a2b', 'sess-1a2b0000'],
    ['api', 'none'], ['api@desk', 'none'], ['1a2b@desk', 'none'], ['@dev@desk', 'none'], ['1a2b3c4d@dev@d', 'none'], ['sess-1a2b3c4d', 'none'], ['web@desk', 'none'],
  ]) assert.equal(found(sessions, text), id, text);
});

test('nothing is said of a session before all are known', () => {
  const knows = (sessionsLoaded, access, kind = 'live') => knowsSessions({ mode: { kind }, access, sessionsLoaded });
  assert.deepEqual(['', 'some', 'all'].map((loaded) => knows(loaded, 'act')), [false, false, true]);
  assert.deepEqual(['', 'some', 'all'].map((loaded) => knows(loaded, 'unknown')), [false, false, true]);
  assert.deepEqual(['', 'some'].map((loaded) => knows(loaded, 'none')), [false, true]);
  assert.equal(knows('', 'unknown', 'demo'), true);
});
