/** The bundled recording, how it is read and played, and what must not be in it. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { beforeEach, mock, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { flowPath, modeOf, showsDay, withQuery, withoutReplay } from '../../assets/viewer/mode.js';
import { createPlayback } from '../../assets/viewer/playback.js';
import { createRecordedJob, recordedTerminals } from '../../assets/viewer/recorded.js';
import { ofRecords, readRecording } from '../../assets/viewer/recording.js';
import { createStore, initialState } from '../../assets/viewer/store.js';
import { BEGAN, renamed, shifted, traces } from '../web/showcase/scrub.mjs';

const text = readFileSync(new URL('../../assets/viewer/showcase.json', import.meta.url), 'utf8');
const recording = readRecording(JSON.parse(text));
const NOW = Date.UTC(2026, 10, 22, 12);

/** @type {Map<string, () => Response>} */
let answers;
/** Frames of an animation that wait. @type {((now: number) => void)[]} */
let frames;

beforeEach(() => {
  frames = [];
  answers = new Map([['/assets/showcase.json', () => new Response(text)]]);
  globalThis.fetch = async (path) => answers.get(String(path).split('?')[0])?.() ?? new Response('{}', { status: 404 });
  globalThis.matchMedia = () => ({ matches: false });
  globalThis.requestAnimationFrame = (frame) => frames.push(frame);
  globalThis.cancelAnimationFrame = () => { frames = []; };
  mock.timers.reset();
});

async function settle() {
  for (let n = 0; n < 50; n += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets time pass as a browser that draws does. @param {number} ms */
function draw(ms) {
  let now = performance.now();
  for (let passed = 0; passed < ms; passed += 50) {
    now += 50;
    for (const frame of frames.splice(0)) frame(now);
  }
}

/** @param {string} query */
async function opened(query, path = '/') {
  const mode = modeOf('', path, query, NOW);
  const store = createStore(initialState(mode, NOW));
  const notes = [];
  const playback = createPlayback(mode, store.dispatch, () => notes.push(playback.query()));
  playback.start();
  await settle();
  return { store, playback, notes };
}

test('the showcase tells nothing of the computer that it was made on, and is small', () => {
  assert.deepEqual(traces(text, [hostname()]), []);
  assert.ok(gzipSync(text, { level: 9 }).length <= 150 * 1024);
  assert.equal(recording.from, BEGAN);
  assert.ok(recording.to - recording.from < 300_000);
});

test('the showcase has what it is to show', () => {
  const jobs = new Map(recording.steps.flatMap(({ action }) => (action.type === 'queue/loaded' ? action.jobs : [])).map((job) => [job.id, job]));
  const all = [...jobs.values()];
  assert.ok(all.some(({ attempts, state }) => state === 'done' && attempts.length === 2 && attempts[0].how === 'lost' && attempts[0].machine !== attempts[1].machine), 'a job that another machine went on with');
  for (const state of ['done', 'failed', 'dead', 'queued', 'waiting', 'running']) assert.ok(all.some((job) => job.state === state), state);
  assert.ok(new Set(all.map(({ role }) => role)).size >= 4, 'roles');
  const last = recording.steps.findLast(({ action }) => action.type === 'queue/loaded');
  assert.ok(last?.action.type === 'queue/loaded' && (last.action.queue?.letters.length ?? 0) >= 2, 'dead letters');
  assert.ok(recording.steps.some(({ action }) => action.type === 'fleet/failed') && recording.steps.some(({ action }) => action.type === 'queue/failed'), 'Redis goes');
  const sessions = recording.steps.flatMap(({ action }) => (action.type === 'sessions/upserted' ? action.sessions : []));
  assert.ok(sessions.some(({ id }) => id.endsWith('@laptop')) && sessions.some(({ disconnected }) => disconnected > 0), 'sessions of a peer that goes away');
  assert.ok(sessions.some(({ needsYou }) => needsYou !== ''), 'somebody is asked');
  assert.ok(new Set(recording.records.map(({ raw }) => Object(raw).tier)).size === 3, 'tiers');
  for (const { id, state } of all) if (['done', 'failed', 'running'].includes(state)) assert.ok(recording.outputs.get(id)?.length, `${id} has output`);
  assert.ok(recording.terminals.size >= 4 && recording.chapters.length >= 6);
  assert.ok(all.filter(({ state }) => state === 'queued').every(({ id }) => recording.judged.get(id)?.[0].judged.machines.length === 3), 'why it waits');
});

test('what a moment shows does not depend on the way there', async () => {
  const { store, playback } = await opened('?replay=showcase&at=30');
  const seen = () => {
    const { now, fleet, queue, jobs, sessions, peers, records, fleetProblem, queueProblem } = store.state();
    return JSON.stringify([now, fleet, queue, jobs, sessions, peers, records.map(({ key }) => key), fleetProblem, queueProblem]);
  };
  const at30 = seen();
  assert.equal(store.state().now, recording.from + 30_000);
  assert.equal(store.state().source, 'replay');
  playback.seek(recording.to, true);
  assert.equal(store.state().records.length, recording.records.length);
  for (let at = recording.from; at < recording.to; at += 1_700) playback.seek(at, false);
  playback.seek(recording.from + 30_000, true);
  assert.equal(seen(), at30);
});

test('it plays by itself, at its rate, and stays in the address where it is paused', async () => {
  const { store, playback, notes } = await opened('?replay=showcase');
  assert.equal(store.state().playback?.playing, true);
  draw(5_000);
  const passed = playback.at() - recording.from;
  assert.ok(passed > 9_000 && passed < 10_500, `${passed}`);
  assert.equal(playback.query(), 'replay=showcase');
  playback.toggle();
  assert.match(notes.at(-1) ?? '', /^replay=showcase&at=(9|10)/);
  for (let n = 0; n < 4; n += 1) playback.faster();
  assert.equal(store.state().playback?.rate, 1);
  playback.faster();
  playback.toggle();
  draw(120_000);
  assert.equal(playback.at(), recording.to);
  assert.equal(store.state().playback?.playing, false);
  playback.toggle();
  assert.ok(playback.at() < recording.to, 'from its end it begins anew');
});

test('a day is played from its records, and passes silence over; its other pages have the present', async () => {
  const day = [0, 1_000, 7_200_000].map((ms, n) => ({ ts: new Date(Date.UTC(2026, 10, 20, 8) + ms).toISOString(), handle: `h${n}`, action: 'note' }));
  answers.set('/flow/2026-11-20', () => new Response(JSON.stringify(day)));
  const { store, playback } = await opened('', '/play/2026-11-20');
  assert.equal(store.state().records.length, 3, 'all of it is shown at first');
  playback.toggle();
  assert.equal(store.state().records.length, 1);
  draw(5_000);
  assert.equal(store.state().records.length, 3);
  playback.seek(Date.UTC(2026, 10, 20, 8), true);
  playback.activate(false);
  assert.ok(!playback.holdsClock());
  assert.equal(store.state().records.length, 3);
});

test('a terminal shows what it had shown by then, forwards and backwards', async () => {
  const { playback } = await opened('?replay=showcase&at=0');
  const [id] = [...recording.terminals].find(([, { pieces }]) => pieces.length > 20) ?? [''];
  const { pieces } = /** @type {import('../../assets/viewer/recording.js').Recorded} */ (recording.terminals.get(id));
  const upTo = (/** @type {number} */ at) => pieces.filter((one) => one.at <= at).reduce((sum, { bytes }) => sum + bytes.length, 0);
  let shown = 0;
  let closed = 0;
  const connection = recordedTerminals(playback)(id, { cols: 1, rows: 1 }, {
    onSnapshot: (bytes) => { shown = bytes.length; }, onOutput: (bytes, live) => { assert.equal(live, false); shown += bytes.length; },
    onSize: ({ own }) => assert.equal(own, false), onOpen: (readOnly) => assert.equal(readOnly, true), onLost() {}, onEnd: () => { closed += 1; },
  });
  await settle();
  for (const at of [20, 60, 61, 40, 120, 5]) {
    playback.seek(recording.from + at * 1_000, false);
    assert.equal(shown, upTo(recording.from + at * 1_000), `at ${at} s`);
  }
  assert.equal(connection.type(new Uint8Array(1)), false);
  connection.close();
  playback.seek(recording.to, false);
  assert.equal(shown, upTo(recording.from + 5_000));
  assert.equal(closed, 0);
});

test('the page of a job has its job and its output of the moment', async () => {
  const { store, playback } = await opened('?replay=showcase&at=100');
  const [id, all] = [...recording.outputs].find(([, pieces]) => pieces.some(({ attempt }) => attempt === 2)) ?? ['', []];
  const { place } = store.state();
  store.dispatch({ type: 'place/changed', place: { ...place, route: { page: 'job', id, day: '' } } });
  let shown = -1;
  const job = createRecordedJob(store, playback, { render() {}, showOutput: (_id, pieces) => { shown = pieces.length; } });
  job.start();
  for (const at of [100, 30, 60]) {
    playback.seek(recording.from + at * 1_000, false);
    const { jobDetail } = store.state();
    assert.equal(jobDetail?.job?.id ?? '', store.state().jobs.some((one) => one.id === id) ? id : '');
    assert.equal(shown, all.filter((piece) => piece.at <= playback.at()).length, `at ${at} s`);
  }
});

test('an address names a recording, a day, or the present', () => {
  assert.deepEqual(modeOf('', '/queue', '?replay=showcase&at=4', NOW), { kind: 'demo', label: 'showcase', src: '/assets/showcase.json', query: 'replay=showcase', at: 4 });
  assert.equal(modeOf('/assets/showcase.json', '/play/2026-11-20', '', NOW).label, 'showcase');
  assert.equal(modeOf('', '/play/2026-11-20', '', NOW).kind, 'play');
  for (const wrong of ['../x', 'a/b', 'A', '%2e', '']) assert.equal(modeOf('', '/', `?replay=${wrong}`, NOW).kind, 'live', wrong);
  assert.equal(modeOf('', '/flow/2026-11-22', '', NOW).kind, 'live');
  assert.equal(withQuery('/?q=a', 'replay=x'), '/?q=a&replay=x');
  for (const path of ['/', '/?q=a', '/sessions?show=a,b']) assert.equal(withoutReplay(withQuery(path, 'replay=x&at=3.5')), path);
});

test('a recording that is none is empty, and one that is not there is said', async () => {
  for (const body of [undefined, null, 7, 'x', {}, { frames: 1, records: [1, null], outputs: [], terminals: { a: 1 }, chapters: [{}] }, { frames: [null, { at: 'x', fleet: 7, queue: 'y', jobs: {}, sessions: [null] }] }]) {
    assert.doesNotThrow(() => readRecording(body), JSON.stringify(body));
  }
  assert.equal(ofRecords([{ raw: {} }, { raw: 1 }]).records.length, 2);
  const { store } = await opened('?replay=other');
  assert.equal(store.state().problem, 'There is no replay called other.');
});

test('times are moved and names replaced, wherever they stand', () => {
  const from = Date.parse('2026-11-22T14:00:00Z');
  const moved = shifted(`{"ts":"2026-11-22T14:00:01Z","at":"2026-11-22T14:00:00.250Z","ms":${from + 7},"entry":"${from}-0","id":"${from.toString(16).padStart(12, '0').replace(/^(.{8})/, '$1-')}-7abc-8abc-0123456789ab","old":"2020-01-01T00:00:00Z","v":"0.1.0 (760ff9afab)"}`, from);
  const { ts, at, ms, entry, id, old, v } = JSON.parse(moved);
  assert.deepEqual([ts, at, ms, entry, old, v], ['2026-03-02T09:00:01Z', '2026-03-02T09:00:00.250Z', BEGAN + 7, `${BEGAN}-0`, '2020-01-01T00:00:00Z', '0.1.0']);
  assert.equal(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16), BEGAN);
  assert.equal(renamed('/t/a/b /t/a', [['/t/a', '~'], ['/t/a/b', '/b']]), '/b ~');
  assert.equal(traces('{"x":"http://127.0.0.1:1 /tmp/x"}', ['127']).length, 3);
});

test('a page shows its own day and no other: what leads to the flow stays with it, and any other day is another page', () => {
  const [live, play, demo] = ['/flow/2026-11-22', '/flow/2026-11-20', '/?replay=showcase'].map((path) => modeOf('', path.split('?')[0], path.split('?')[1] ?? '', NOW));
  assert.deepEqual([live, play, demo].map(flowPath), ['/', '/flow/2026-11-20', '/']);
  const days = ['', '2026-11-20', '2026-11-22'];
  assert.deepEqual(days.map((day) => showsDay(live, day, NOW)), [true, false, true]);
  assert.deepEqual(days.map((day) => showsDay(play, day, NOW)), [false, true, false]);
  assert.deepEqual(days.map((day) => showsDay(demo, day, NOW)), [true, true, true]);
});
