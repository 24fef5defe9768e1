import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createNews } from '../../assets/viewer/notify.js';

const OPENED = Date.UTC(2026, 0, 2, 12);
const session = (id, needsYou, created = OPENED - 60_000) => ({ id, needsYou, created, started: created, state: 'running' });
const opened = () => {
  const news = createNews(OPENED);
  return (sessions) => news(sessions, true);
};
const ids = (sessions) => sessions.map(({ id }) => id);

test('what was asked before the page was opened is no news', () => {
  const news = opened();
  assert.deepEqual(ids(news([session('old', 'delete it?'), session('quiet', '')])), []);
  assert.deepEqual(ids(news([session('old', 'delete it?'), session('quiet', 'and now?')])), ['quiet']);
  assert.deepEqual(ids(news([session('old', 'something else?'), session('quiet', 'and now?')])), ['old']);
  assert.deepEqual(ids(news([session('old', '')])), []);
  assert.deepEqual(ids(news([session('old', 'something else?')])), ['old'], 'asked again');
});

test('a machine that is reached late, or again, tells nothing twice', () => {
  const news = opened();
  news([session('here', '')]);
  assert.deepEqual(ids(news([session('here', ''), session('late@desk', 'old one?')])), []);
  news([session('here', '')]);
  assert.deepEqual(ids(news([session('here', ''), session('late@desk', 'old one?')])), []);
  news([session('here', '')]);
  assert.deepEqual(ids(news([session('here', ''), session('late@desk', 'new one?')])), ['late@desk']);
});

test('a session that is new asks at its first sight', () => {
  const news = opened();
  news([]);
  assert.deepEqual(ids(news([session('new', 'go on?', OPENED + 5_000)])), ['new']);
  assert.deepEqual(ids(news([{ ...session('again', 'go on?'), started: OPENED + 5_000 }])), ['again'], 'it was started again');
});

test('what the first list has is old, however the clocks differ', () => {
  const news = createNews(OPENED);
  const ahead = session('old', 'delete it?', OPENED + 600_000);
  assert.deepEqual(ids(news([ahead], false)), []);
  assert.deepEqual(ids(news([ahead, { ...ahead, id: 'other' }], true)), []);
  assert.deepEqual(ids(news([{ ...ahead, needsYou: 'and now?' }], true)), ['old']);
});

test('the list that anybody may see does not say what is asked, and makes nothing new', () => {
  const news = createNews(OPENED);
  assert.deepEqual(ids(news([session('old', '')], false)), []);
  assert.deepEqual(ids(news([session('old', 'delete it?')], false)), []);
  assert.deepEqual(ids(news([session('old', 'delete it?')], true)), []);
  assert.deepEqual(ids(news([session('old', 'and now?')], true)), ['old']);
});
