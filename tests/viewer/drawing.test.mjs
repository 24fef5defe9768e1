import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDrawing, onPages } from '../../assets/viewer/drawing.js';
import { initialState } from '../../assets/viewer/store.js';

const start = () => initialState({ kind: 'live', label: '', src: '', query: '', at: NaN }, 0);
const on = (state, page) => ({ ...state, place: { ...state.place, route: { page, id: '', day: '' } } });

const raise = (error) => { throw error; };

/** A view that counts how often it is drawn. */
function counting(read) {
  const view = { drawn: 0, render(state) { view.drawn += 1; read(state); } };
  return view;
}

test('a view is drawn when what it read is another, and not for anything else', () => {
  const jobs = counting(({ jobs: all }) => all.length);
  const draw = createDrawing([jobs], raise);
  const state = start();
  assert.ok(draw(state));
  assert.ok(!draw({ ...state, now: 5, records: [] }));
  assert.equal(jobs.drawn, 1);
  assert.ok(draw({ ...state, jobs: [] }));
  assert.equal(jobs.drawn, 2);
});

test('a view whose page is not shown does nothing until it is', () => {
  const queue = counting((state) => state.place.route.page === 'queue' && state.records.length + state.now);
  const draw = createDrawing([queue], raise);
  let state = start();
  draw(state);
  for (let n = 1; n <= 100; n += 1) {
    state = { ...state, records: [], now: n };
    draw(state);
  }
  assert.equal(queue.drawn, 1);
  state = on(state, 'queue');
  draw(state);
  draw({ ...state, now: 101 });
  assert.equal(queue.drawn, 3);
});

test('what was read earlier on the page still counts, because it still stands there', () => {
  let whole = true;
  const view = counting((state) => whole && state.problem);
  const draw = createDrawing([view], raise);
  const state = start();
  draw(state);
  whole = false;
  draw({ ...state, problem: 'a' });
  draw({ ...state, problem: 'b' });
  assert.equal(view.drawn, 3);
});

test('everything is drawn where that is asked for, and a view may spread the state', () => {
  const view = counting((state) => ({ ...state }));
  const draw = createDrawing([view], raise);
  const state = start();
  draw(state);
  draw(state);
  draw(state, true);
  draw({ ...state, unseen: 1 });
  assert.equal(view.drawn, 3);
});

test('a view of other pages is made when one of them is first shown, and once', () => {
  let made = 0;
  const view = counting((state) => state.place);
  const draw = createDrawing([onPages(['queue', 'inbox'], () => { made += 1; return view; })], () => {});
  const state = start();
  draw(state);
  draw({ ...state, records: [] }, true);
  assert.deepEqual([made, view.drawn], [0, 0]);
  draw(on(state, 'queue'));
  draw(on(state, 'inbox'));
  assert.deepEqual([made, view.drawn], [1, 2]);
  // It takes itself away when its pages are left.
  draw(on(state, 'flow'));
  assert.deepEqual([made, view.drawn], [1, 3]);
});

test('a view that throws keeps no other from being drawn, and is drawn again when what it read is another', () => {
  const told = [];
  const broken = counting(({ jobs }) => { if (jobs.length === 0) throw new Error('no jobs'); });
  const whole = counting(({ jobs }) => jobs.length);
  const draw = createDrawing([broken, whole], ({ message }) => told.push(message));
  const state = start();
  draw(state);
  draw({ ...state, now: 5 });
  assert.deepEqual([broken.drawn, whole.drawn, told], [1, 1, ['no jobs']]);
  draw({ ...state, jobs: [{}] });
  assert.deepEqual([broken.drawn, whole.drawn, told.length], [2, 2, 1]);
});
