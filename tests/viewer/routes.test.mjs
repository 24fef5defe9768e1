import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noFilters } from '../../assets/viewer/filters.js';
import { jobPath, parsePlace, parseRoute, placePath, recordPath, sectionOf, sessionPath, tilesPath } from '../../assets/viewer/routes.js';

const at = (path) => {
  const { pathname, search } = new URL(path, 'http://localhost');
  return parsePlace(pathname, search);
};

test('every page has an address that leads back to it', () => {
  for (const path of ['/', '/?q=a+b&level=warn', '/?view=lanes', '/flow/2026-11-22', '/flow/2026-11-22?role=coder&view=raw', '/fleet', '/queue', '/sessions',
    '/inbox', '/session/sess-1', '/session/a%40b%40c', '/session/x?q=word', '/job/job-1?t=12', '/machine/studio', '/sessions?show=a,b%40c']) {
    assert.equal(placePath(at(path)), path);
  }
});

test('what is no address of ours is the flow, and ids are bounded', () => {
  for (const path of ['/nothing', '/session/', '/session/a/b', '/flow/yesterday', '/job/%ff', '//evil']) assert.equal(parseRoute(path).page, 'flow', path);
  assert.equal(parseRoute(`/session/${'x'.repeat(10_000)}`).id.length, 300);
  assert.equal(at('/sessions?show=a,b,c,d,e,f,g,h').tiles.length, 6);
  assert.deepEqual(at('/?view=picture&t=-5').lens, 'list');
});

test('the records of a session or a job are what is shown of it', () => {
  assert.deepEqual(at('/session/s1?level=warn').filters, { ...noFilters(), level: 'warn', session: 's1' });
  assert.equal(at('/session/s1%40dev%40desk').filters.session, 's1', 'records have the id of the machine itself');
  assert.equal(at('/job/j1').filters.session, 'j1');
  assert.equal(at('/?session=s1').route.page, 'flow');
});

test('played days are days of the flow, and a record has an address on its day', () => {
  assert.deepEqual(parseRoute('/play/2026-11-22'), parseRoute('/flow/2026-11-22'));
  assert.equal(at(recordPath('id:a&b', '2026-11-22')).record, 'id:a&b');
  assert.equal(tilesPath(['a/b']), '/sessions?show=a%2Fb');
});

test('each page is in one section of the rail', () => {
  assert.deepEqual(['/machine/x', '/job/x', '/session/x', '/inbox', '/'].map((path) => sectionOf(parseRoute(path))), ['fleet', 'queue', 'sessions', 'inbox', 'flow']);
});

test('half a character in an id is no reason to have no address', () => {
  assert.equal(sessionPath('a\ud800b'), '/session/a%EF%BF%BDb');
  assert.equal(jobPath('\udc00'), '/job/%EF%BF%BD');
  assert.equal(tilesPath(['\ud800', '😀']), '/sessions?show=%EF%BF%BD,%F0%9F%98%80');
  assert.equal(recordPath('\ud800', '2026-11-22'), '/flow/2026-11-22?record=%EF%BF%BD');
});
