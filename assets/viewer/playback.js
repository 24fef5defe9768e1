/**
 * Plays a recording, or a day of records: brings the store to what it was at a moment. It owns the clock of the page then.
 *
 * Invariant: what the store holds at a moment does not depend on how one came there; going back begins anew.
 *
 * @module
 */

import * as api from './api.js';
import { FIRST_RECORDS, MAX_RECORDS, loaded } from './records.js';
import { ofRecords, readRecording } from './recording.js';
import { countUpTo } from './replay.js';
import { initialState } from './store.js';

/** @typedef {import('./types.js').Mode} Mode */
/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./recording.js').Recording} Recording */

export const RATES = [1, 2, 4, 16, 60];
/** The rate of a recording that is opened: two minutes in one. */
const OPENING_RATE = 2;
/** How often the page is brought to the moment while it plays. */
const STEP_MS = 60;
/** A tab that was away goes on where it was. */
const LONGEST_STEP_MS = 250;
/** Of a day that is played, longer silence is passed over; by the clock of who looks. */
const SILENCE_MS = 2_000;

/**
 * @param {Mode} mode of a recording or a day
 * @param {(action: import('./store.js').Action) => void} dispatch
 * @param {() => void} noted The moment is one to be in the address.
 */
export function createPlayback(mode, dispatch, noted) {
  /** @type {Recording} */
  let recording = ofRecords([]);
  /** @type {readonly Entry[]} */
  let entries = [];
  /** When each of them came. @type {number[]} */
  let came = [];
  let at = NaN;
  let rate = mode.kind === 'demo' ? OPENING_RATE : RATES[0];
  let playing = 0;
  /** Steps that the store has taken. */
  let done = 0;
  let limit = FIRST_RECORDS;
  let active = true;
  let failures = 0;
  /** @type {import('./types.js').State['others']} */
  let others = 'all';
  /** @type {(() => void)[]} */
  const watchers = [];

  function say() {
    const chapter = recording.chapters.findLast((one) => one.at <= at)?.text ?? '';
    dispatch({ type: 'playback/changed', playback: { from: recording.from, to: recording.to, at, rate, playing: playing !== 0, chapter, chapters: recording.chapters } });
  }

  /** @param {number} to */
  function show(to) {
    const now = Math.max(recording.from, Math.min(recording.to, to));
    if (now < at || Number.isNaN(at)) {
      done = 0;
      if (mode.kind === 'demo') dispatch({ type: 'replay/began', now: recording.from });
    }
    at = now;
    for (; done < recording.steps.length && recording.steps[done].at <= at; done += 1) {
      dispatch({ type: 'clock/ticked', now: recording.steps[done].at });
      dispatch(recording.steps[done].action);
    }
    dispatch({ type: 'records/shown', records: entries.slice(0, countUpTo(came, at)) });
    if (active) dispatch({ type: 'clock/ticked', now: at });
    say();
    for (const watcher of watchers) watcher();
  }

  function pause() {
    if (playing === 0) return;
    cancelAnimationFrame(playing);
    playing = 0;
    say();
  }

  function play() {
    if (at >= recording.to) show(recording.from);
    let last = performance.now();
    let passed = 0;
    const step = (/** @type {number} */ now) => {
      passed += Math.min(now - last, LONGEST_STEP_MS);
      last = now;
      if (passed >= STEP_MS) {
        show(next(passed * rate));
        passed = 0;
      }
      playing = at < recording.to ? requestAnimationFrame(step) : 0;
      if (playing === 0) say();
    };
    playing = requestAnimationFrame(step);
    say();
  }

  /** @param {number} passed @returns {number} */
  function next(passed) {
    const soon = at + passed;
    if (mode.kind === 'demo') return soon;
    const event = came[countUpTo(came, at)] ?? recording.to;
    return Math.max(soon, event - SILENCE_MS * rate);
  }

  async function load() {
    try {
      if (mode.kind === 'demo') recording = readRecording(await api.getFixture(mode.src));
      else {
        const day = await api.getRecords(mode.src, limit);
        others = day.others;
        recording = ofRecords(day.batch);
      }
    } catch (error) {
      const status = error instanceof api.StatusError ? error.status : 0;
      dispatch({ type: 'problem/found', problem: status === 404 ? `There is no replay called ${mode.label}.` : error instanceof Error ? error.message : String(error) });
      if (!api.mayPass(error)) return;
      setTimeout(load, api.backoff(failures, Math.random()));
      failures += 1;
      return;
    }
    failures = 0;
    const times = new Map(recording.records.map(({ raw }, index) => [raw, recording.came[index]]));
    const whole = loaded(initialState(mode, 0), recording.records, '', recording.records.length >= limit);
    entries = whole.records;
    came = entries.map(({ raw }) => times.get(raw) ?? NaN);
    dispatch({ type: 'records/loaded', batch: [], position: '', partial: mode.kind === 'play' && whole.partial, others });
    dispatch({ type: 'source/changed', source: 'replay' });
    if (entries.length === 0 && recording.steps.length === 0) return;
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const opens = mode.kind === 'demo' && Number.isNaN(mode.at) && !calm;
    at = NaN;
    show(mode.at >= 0 ? recording.from + mode.at * 1000 : opens ? recording.from : recording.to);
    if (opens) play();
  }

  return {
    start: () => void load(),
    /** All of the day, as far as it is kept here. */
    more() {
      limit = MAX_RECORDS;
      pause();
      void load();
    },
    /** Nothing that a daemon would be asked for. */
    check() {},
    resume() {},
    toggle() {
      if (playing === 0) play();
      else pause();
      noted();
    },
    faster() {
      rate = RATES[(RATES.indexOf(rate) + 1) % RATES.length];
      say();
    },
    /** @param {number} to milliseconds @param {boolean} settled the reader has let go */
    seek(to, settled) {
      show(to);
      if (settled && playing === 0) noted();
    },
    /** The pages of a day's page that show the present have the present's clock. @param {boolean} now */
    activate(now) {
      if (now === active) return;
      active = now;
      if (Number.isNaN(at)) return;
      if (!active) pause();
      show(active ? at : recording.to);
    },
    holdsClock: () => active && !Number.isNaN(at),
    /** @returns {string} the moment, as it stands in the address */
    query: () => [mode.query, active && playing === 0 && at < recording.to && `at=${((at - recording.from) / 1000).toFixed(1).replace(/\.0$/, '')}`].filter(Boolean).join('&'),
    at: () => at,
    recording: () => recording,
    /** @param {() => void} watcher told of every moment @returns {() => void} that ends it */
    watch(watcher) {
      watchers.push(watcher);
      return () => void watchers.splice(watchers.indexOf(watcher) >>> 0, 1);
    },
  };
}
