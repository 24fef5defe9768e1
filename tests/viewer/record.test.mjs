import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalAction, isRecord, keyOf, text, timeOf, toEntry, toJson, touches } from '../../assets/viewer/record.js';
import { summarize } from '../../assets/viewer/summary.js';

const summary = (raw) => summarize(toEntry(raw, 'k'));

test('only text is taken as text', () => {
  assert.deepEqual(['a', 7, true, null, undefined, {}, []].map(text), ['a', '7', 'true', '', '', '', '']);
});

test('records are objects that are not the header of a day', () => {
  assert.ok(isRecord({ action: 'note' }) && isRecord({}));
  for (const value of [null, undefined, 'x', 1, [], { _type: 'schema', version: '1.14.0' }]) assert.ok(!isRecord(value));
});

test('both spellings of a bookend are one action', () => {
  for (const word of ['start', 'complete', 'error']) {
    assert.equal(canonicalAction(`dispatch.${word}`), `dispatch ${word}`);
    assert.equal(canonicalAction(`dispatch ${word}`), `dispatch ${word}`);
    assert.deepEqual(touches(`dispatch ${word}`), ['sessions', 'queue', 'fleet']);
  }
  assert.equal(canonicalAction('dispatch.tool'), 'dispatch.tool');
  assert.deepEqual(touches('dispatch.tool'), []);
  assert.deepEqual(touches('session.idle'), ['sessions']);
  assert.deepEqual(touches('job.claimed'), ['queue', 'fleet']);
  assert.deepEqual(touches('peer.connected'), ['fleet']);
});

test('a record id of version 7 refines the time, one that disagrees does not', () => {
  const ms = Date.UTC(2026, 10, 22, 1, 2, 3, 456);
  const hex = ms.toString(16).padStart(12, '0');
  const id = `${hex.slice(0, 8)}-${hex.slice(8)}-7abc-8def-0123456789ab`;
  assert.equal(timeOf({ ts: '2026-11-22T01:02:03Z', record_id: id }), ms);
  assert.equal(timeOf({ ts: '2026-11-22T01:09:03Z', record_id: id }), Date.UTC(2026, 10, 22, 1, 9, 3));
  assert.equal(timeOf({ ts: '2026-11-22T01:02:03Z', record_id: id.replace('-7', '-4') }), Date.UTC(2026, 10, 22, 1, 2, 3));
  assert.ok(Number.isNaN(timeOf({ ts: 'yesterday', record_id: id })));
});

test('identity: the id, else the position, else what identified a record in 1.9', () => {
  const raw = { ts: '2026-11-22T01:02:03Z', action: 'note', handle: 'a', level: 'info' };
  assert.equal(keyOf({ ...raw, record_id: 'r1' }, '2026-11-22:000000000009'), 'id:r1');
  assert.equal(keyOf(raw, '2026-11-22:000000000009'), 'at:2026-11-22:000000000009');
  assert.equal(keyOf(raw, ''), keyOf({ ...raw, machine_id: 'other', extra: 1 }, ''));
  assert.notEqual(keyOf(raw, ''), keyOf({ ...raw, payload: { a: 1 } }, ''));
});

test('a record of wrong types becomes an entry all the same', () => {
  const entry = toEntry({ ts: {}, level: null, action: ['x'], handle: 5, session_id: false, payload: null }, 'k');
  assert.deepEqual({ ...entry, at: 0, size: 0 }, {
    key: 'k', raw: entry.raw, size: 0, at: 0, level: 'info', category: '', action: '', handle: '5', role: '', tier: '', machine: '', session: 'false', haystack: '',
  });
  assert.equal(summarize(entry), '');
});

test('nesting beyond what the engine can write gives empty JSON, no error', () => {
  let deep = {};
  for (let n = 0; n < 200_000; n += 1) deep = { deep };
  assert.equal(toJson(deep), '');
});

test('summaries say what a dispatch came to', () => {
  const payload = { exit_code: 7, result_class: 'error', wall_ms: 1753, total_tokens: 1200, runtime: 'command' };
  assert.equal(summary({ action: 'dispatch complete', payload }), 'exit 7 · 1.7 s · 1,200 tokens');
  assert.equal(summary({ action: 'dispatch.error', payload: { result_class: 'error', error: 'no such file' } }), 'error · no such file');
  assert.equal(summary({ action: 'dispatch start', payload: { runtime: 'command', prompt_chars: 1 } }), 'runtime command · message of 1 character');
});

test('a summary of an unknown action lists its first values; reasoning follows', () => {
  const raw = { action: 'x', payload: { a: 1, none: null, b: { c: [2] }, d: 'text' }, reasoning: 'why\nnot' };
  assert.equal(summary(raw), 'a 1 · b {"c":[2]} · d text · why not');
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`k${n}`, n]));
  assert.ok(summary({ action: 'x', payload: many }).endsWith('k29 29 · …'));
});

test('a summary leaves it to the row where it ends; of a folder it has the end, and its whole has all', () => {
  const long = 'word '.repeat(60).trim();
  assert.equal(summary({ action: 'dispatch error', payload: { reason: long } }), long);
  const workspace = '/home/you/.darkmux/worktrees/shell-1';
  const entry = toEntry({ action: 'dispatch start', payload: { runtime: 'shell', workspace, prompt_chars: 2 } }, 'k');
  assert.equal(summarize(entry), 'runtime shell · …/worktrees/shell-1 · message of 2 characters');
  assert.equal(summarize(entry, true), `runtime shell · ${workspace} · message of 2 characters`);
});

test('a summary is bounded whatever the record holds', () => {
  for (const payload of [{ reasoning_text: 'x'.repeat(300_000) }, 'y'.repeat(300_000), { k: 'z'.repeat(300_000) }]) {
    assert.ok(summary({ action: 'dispatch.reasoning', payload, reasoning: 'r'.repeat(300_000) }).length <= 401);
    assert.ok(summarize(toEntry({ action: 'dispatch.reasoning', payload }, 'k'), true).length <= 2_001);
  }
});
