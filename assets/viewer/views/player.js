/**
 * Plays a job's output: a terminal, a clock to scrub, and the job's records on the same clock.
 *
 * @module
 */

import { clock, duration } from '../format.js';
import { attemptsOf, countAt, kept, ofAttempt, playedTo, toWrite } from '../replay.js';
import { oneLine } from '../sanitize.js';
import { bringXterm } from '../terminal/xterm.js';
import { h, replace, setAttribute, setText } from './dom.js';

/** @typedef {import('../types.js').Piece} Piece */
/** @typedef {import('../types.js').Entry} Entry */
/** @typedef {NonNullable<Awaited<ReturnType<typeof bringXterm>>>} Xterm */

const SPEEDS = [1, 4, 16];
const MAX_MARKS = 200;
/** An empty screen. @type {{first: Piece | undefined, count: number}} */
const NOTHING = { first: undefined, count: 0 };

/**
 * @param {(seconds: number) => void} onMoment the reader went there; NaN for the end
 * @param {(url: string) => void} openLink
 */
export function createPlayer(onMoment, openLink) {
  const screen = h('div', { class: 'player-screen' });
  const scrubber = h('input', { type: 'range', class: 'scrubber', min: 0, max: 1000, step: 1, 'aria-label': 'Moment' });
  const play = h('button', { type: 'button', class: 'mini', on: { click: () => toggle() } }, 'Play');
  const speed = h('button', { type: 'button', class: 'mini', title: 'Speed', on: { click: () => { rate = SPEEDS[(SPEEDS.indexOf(rate) + 1) % SPEEDS.length]; label(); } } });
  const time = h('span', { class: 'player-time' });
  const pick = h('select', { class: 'choice', 'aria-label': 'Attempt', autocomplete: 'off', on: { change: () => choose(Number(pick.value)) } });
  const marks = h('div', { class: 'player-marks' });
  const note = h('p', { class: 'note' });
  const element = h('div', { class: 'player' }, screen, h('div', { class: 'player-clock' }, marks, scrubber),
    h('div', { class: 'player-bar' }, play, speed, time, h('span', { class: 'spacer' }), pick), note);
  /** @type {Xterm | null} */
  let xterm = null;
  let opening = false;
  let disposed = false;
  /** @type {Piece[]} */
  let all = [];
  /** @type {Piece[]} */
  let pieces = [];
  /** @type {readonly Entry[]} */
  let records = [];
  let attempt = 0;
  let written = NOTHING;
  let at = NaN;
  let rate = SPEEDS[0];
  let playing = 0;

  const start = () => pieces[0]?.at ?? NaN;
  const end = () => Math.max(pieces.at(-1)?.at ?? NaN, start() + 1);
  const shownAt = () => (Number.isNaN(at) ? end() : at);

  async function open() {
    if (opening || xterm || !screen.isConnected) return;
    opening = true;
    const missing = h('p', { class: 'note' }, 'The terminal could not be loaded; it is tried again. If this stays, reload the page.');
    const made = await bringXterm(screen, { mayAnswer: () => false, openLink, onMissing: () => screen.replaceChildren(missing) }, () => !disposed);
    missing.remove();
    opening = false;
    if (!made) return;
    xterm = made;
    xterm.term.options.disableStdin = true;
    written = NOTHING;
    show();
  }

  function label() {
    setText(speed, `${rate}×`);
    setText(play, playing ? 'Pause' : 'Play');
    const known = pieces.length > 0;
    setText(time, known ? `${duration(shownAt() - start())} of ${duration(end() - start())} · ${clock(shownAt())}` : '');
    if (known) scrubber.value = String(Math.round(((shownAt() - start()) / (end() - start())) * 1000));
    setAttribute(scrubber, 'aria-valuetext', known ? `${duration(shownAt() - start())} in` : 'nothing');
  }

  function show() {
    const wanted = countAt(pieces, shownAt());
    const { anew, fresh } = toWrite(written, pieces, wanted);
    if (xterm && (anew || fresh.length > 0)) {
      if (anew) xterm.term.reset();
      for (const { bytes } of fresh) xterm.term.write(bytes);
      // Its picture has no cursor; nobody types here.
      xterm.term.write('\x1b[?25l');
      written = { first: pieces[0], count: wanted };
    }
    label();
  }

  /** @param {number} ms NaN for the end */
  function seek(ms) {
    at = ms >= end() ? NaN : Math.max(ms, start());
    show();
  }

  function toggle() {
    cancelAnimationFrame(playing);
    if (playing) {
      playing = 0;
      onMoment((shownAt() - start()) / 1000);
      return label();
    }
    if (Number.isNaN(at)) at = start();
    let last = performance.now();
    const step = (/** @type {number} */ now) => {
      seek(playedTo(pieces, shownAt(), Math.min(now - last, 200) * rate));
      last = now;
      playing = Number.isNaN(at) ? 0 : requestAnimationFrame(step);
      if (!playing) label();
    };
    playing = requestAnimationFrame(step);
    label();
  }

  /** @param {number} wanted */
  function choose(wanted) {
    attempt = wanted;
    pieces = ofAttempt(all, attempt);
    at = NaN;
    tellKept();
    drawMarks();
    show();
  }

  function tellKept() {
    const how = kept(pieces);
    setText(note, how === 'whole' ? '' : `${how === 'cut' ? 'The beginning of its output is' : 'Parts of its output are'} no longer kept; the machine that ran it has all of it.`);
    note.hidden = how === 'whole';
  }

  function drawMarks() {
    const from = start();
    const whole = end() - from;
    replace(marks, ...records.filter((one) => one.at >= from - 1_000 && one.at <= end() + 1_000).slice(-MAX_MARKS).map((one) => {
      const mark = h('button', {
        type: 'button', class: 'player-mark', tabindex: -1, title: `${clock(one.at)} ${oneLine(one.action, 60)} ${oneLine(one.handle, 100)}`, data: { level: one.level },
        on: { click: () => { seek(one.at); onMoment(Math.max(0, (one.at - from) / 1000)); } },
      });
      mark.style.insetInlineStart = `${Math.max(0, Math.min(1, (one.at - from) / whole)) * 100}%`;
      return mark;
    }));
  }

  scrubber.addEventListener('input', () => seek(start() + (Number(scrubber.value) / 1000) * (end() - start())));
  scrubber.addEventListener('change', () => onMoment(Number.isNaN(at) ? NaN : (at - start()) / 1000));

  return {
    element,
    open,
    /** @param {Piece[]} found @param {{seconds: number, size: {cols: number, rows: number}}} how */
    load(found, { seconds, size }) {
      const before = all.length;
      all = found;
      const attempts = attemptsOf(found);
      replace(pick, ...attempts.map((one) => h('option', { value: one }, `Attempt ${one}`)));
      pick.hidden = attempts.length < 2;
      if (!attempts.includes(attempt) || before === 0) attempt = attempts.at(-1) ?? 0;
      pick.value = String(attempt);
      pieces = ofAttempt(found, attempt);
      if (before === 0 && seconds >= 0) at = start() + seconds * 1000;
      xterm?.term.resize(size.cols, size.rows);
      tellKept();
      drawMarks();
      show();
    },
    /** @param {readonly Entry[]} found */
    setRecords(found) {
      records = found;
      drawMarks();
    },
    /** @param {number} ms the time of a record */
    seekTo(ms) {
      seek(ms);
      onMoment(Math.max(0, (ms - start()) / 1000));
    },
    resize: (/** @type {number} */ cols, /** @type {number} */ rows) => xterm?.term.resize(cols, rows),
    dispose() {
      disposed = true;
      cancelAnimationFrame(playing);
      xterm?.dispose();
    },
  };
}
