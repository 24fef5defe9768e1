import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beside, called } from '../../assets/viewer/called.js';
import { offers, ranked } from '../../assets/viewer/palette.js';
import { initialState } from '../../assets/viewer/store.js';
import { readSession } from '../../assets/viewer/v1.js';

const session = (more) => readSession({ id: 'sess-1', kind: 'shell', alive: true, ...more });

test('a given name heads a session, whatever its program calls itself, which stands beside it', () => {
  const named = session({ name: 'deploy', title: 'vim main.rs' });
  assert.deepEqual([called(named), beside(named)], ['deploy', 'vim main.rs']);
  // Before the program says anything, the daemon's title is the name, and `what` the rest.
  const quiet = session({ name: 'deploy', title: 'deploy', what: 'bash -l' });
  assert.deepEqual([called(quiet), beside(quiet)], ['deploy', 'bash -l']);
  const same = session({ name: 'deploy', title: 'deploy' });
  assert.deepEqual([called(same), beside(same)], ['deploy', ''], 'the same is said twice');
});

test('one that nobody named is called what it calls itself, and nothing is beside it', () => {
  const one = session({ name: null, title: 'vim main.rs' });
  assert.deepEqual([called(one), beside(one)], ['vim main.rs', '']);
  assert.equal(called(session({ role: 'coder' })), 'coder');
  assert.equal(called(session({})), 'shell');
  assert.equal(called(session({ kind: '' }), 'A session'), 'A session');
});

test('the palette finds a session by its name, its title and its id, and shows which', () => {
  const sessions = [session({ id: 'sess-abc123', name: 'deploy', title: `vim ${'x'.repeat(200)}` }), session({ id: 'sess-other', name: null, title: 'htop' })];
  const all = offers({ ...initialState({ kind: 'live', label: '', src: '' }, 0), sessions });
  for (const typed of ['deploy', 'vim', 'abc123']) {
    const [found] = ranked(all, typed);
    assert.equal(found?.key, 'session:sess-abc123', `by ${typed}`);
    assert.equal(found.title, 'deploy');
    assert.ok(found.hint.startsWith('vim x') && found.hint.endsWith('sess-abc123'), found.hint);
  }
});
