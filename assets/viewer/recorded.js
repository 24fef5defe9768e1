/**
 * What single pages ask a daemon for, answered from a recording at its moment: a session's terminal, and a job with its
 * output.
 *
 * @module
 */

import { countAt, ofAttempt } from './replay.js';

/** @typedef {import('./types.js').State} State */
/** @typedef {import('./types.js').Piece} Piece */
/** @typedef {ReturnType<typeof import('./playback.js').createPlayback>} Playback */

const encoder = new TextEncoder();
const MISSING = encoder.encode('\x1b[2mThis terminal is not part of the replay.\x1b[0m');

/** @param {readonly Piece[]} pieces @returns {Uint8Array} */
function joined(pieces) {
  const all = new Uint8Array(pieces.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  for (const { bytes } of pieces) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}

/** @param {Playback} playback @param {string} id @returns {import('./recording.js').Recorded | null} its own terminal, or the output of its newest attempt */
function terminalAt(playback, id) {
  const { outputs, terminals } = playback.recording();
  const kept = terminals.get(id);
  if (kept) return kept;
  const output = outputs.get(id) ?? outputs.get(id.split('@')[0]);
  if (!output) return null;
  const attempt = output[countAt(output, playback.at()) - 1]?.attempt ?? output[0]?.attempt ?? 1;
  return { cols: 80, rows: 24, pieces: ofAttempt(output, attempt) };
}

/** @param {Playback} playback @returns {typeof import('./socket.js').openTerminal} what opens a terminal of the recording */
export function recordedTerminals(playback) {
  return (id, _size, events) => {
    /** @type {readonly Piece[]} */
    let pieces = [];
    let written = -1;

    function show() {
      const terminal = terminalAt(playback, id);
      if (!terminal) {
        if (written < 0) events.onSnapshot(MISSING);
        written = 0;
        return;
      }
      const wanted = countAt(terminal.pieces, playback.at());
      if (written < 0) events.onSize({ cols: terminal.cols, rows: terminal.rows, own: false });
      // Of another attempt, or of an earlier moment.
      if (written < 0 || wanted < written || terminal.pieces[0] !== pieces[0]) events.onSnapshot(joined(terminal.pieces.slice(0, wanted)));
      else if (wanted > written) events.onOutput(joined(terminal.pieces.slice(written, wanted)), false);
      pieces = terminal.pieces;
      written = wanted;
    }

    // As a socket would: not before whoever opens it has it.
    queueMicrotask(() => {
      events.onOpen(true);
      show();
    });
    const close = playback.watch(show);
    return { type: () => false, resize() {}, wake() {}, close, where: () => String(written) };
  };
}

/**
 * Shows the job in view as it was at the moment.
 *
 * @param {ReturnType<typeof import('./store.js').createStore>} store @param {Playback} playback
 * @param {{render: (state: State) => void, showOutput: (id: string, pieces: Piece[], state: State) => void}} view
 */
export function createRecordedJob(store, playback, view) {
  let shown = '';
  /** @type {Piece[]} */
  let written = [];

  function look() {
    const { place: { route }, jobs, queue } = store.state();
    const id = route.page === 'job' ? route.id : '';
    if (id === '' || queue === null) {
      shown = '';
      return;
    }
    const { judged, outputs } = playback.recording();
    const job = jobs.find((one) => one.id === id) ?? null;
    const open = job !== null && ['queued', 'waiting'].includes(job.state);
    const why = open ? judged.get(id)?.findLast(({ at }) => at <= playback.at())?.judged : undefined;
    const now = JSON.stringify([id, job, why]);
    const another = !shown.startsWith(JSON.stringify([id]).slice(0, -1));
    if (now !== shown) store.dispatch({ type: 'job/seen', detail: { id, state: job ? 'there' : 'gone', job, why: why?.why ?? '', machines: why?.machines ?? [] } });
    shown = now;
    const all = outputs.get(id) ?? [];
    const pieces = all.slice(0, countAt(all, playback.at()));
    if (another || pieces.length !== written.length) {
      // The page may not have been drawn yet.
      view.render(store.state());
      view.showOutput(id, pieces, store.state());
    }
    written = pieces;
  }

  return {
    start: () => void playback.watch(look),
    again: () => queueMicrotask(look),
    told: () => queueMicrotask(look),
  };
}
