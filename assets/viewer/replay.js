/**
 * A job's output on its clock: what was shown at a moment, and when something happened. Pure.
 *
 * @module
 */

/** @typedef {import('./types.js').Piece} Piece */

/** A pause longer than this is passed over when it is played, in milliseconds. */
export const LONGEST_PAUSE_MS = 2_000;

/**
 * @param {readonly Piece[]} pieces @param {number} attempt
 * @returns {Piece[]} those of one attempt, each byte once and in order
 */
export function ofAttempt(pieces, attempt) {
  let end = -1;
  const out = [];
  for (const piece of pieces) {
    if (piece.attempt !== attempt) continue;
    const known = end < 0 ? 0 : Math.max(0, end - piece.offset);
    if (known >= piece.bytes.length) continue;
    out.push(known === 0 ? piece : { ...piece, offset: piece.offset + known, bytes: piece.bytes.subarray(known) });
    end = piece.offset + piece.bytes.length;
  }
  return out;
}

/** @param {readonly Piece[]} pieces of one attempt @returns {'whole' | 'cut' | 'gap'} whether its beginning is there, and nothing between */
export function kept(pieces) {
  if (pieces.some((piece, at) => at > 0 && piece.offset > pieces[at - 1].offset + pieces[at - 1].bytes.length)) return 'gap';
  return pieces.length > 0 && pieces[0].offset > 0 ? 'cut' : 'whole';
}

/**
 * @param {{first: Piece | undefined, count: number}} shown what stands on a screen: so many pieces, from this one on
 * @param {readonly Piece[]} pieces @param {number} wanted how many are to stand there
 * @returns {{anew: boolean, fresh: Piece[]}} what is to be written, on an empty screen where `anew`
 */
export function toWrite({ first, count }, pieces, wanted) {
  // Of another attempt, from a later place on, or of an earlier moment.
  const anew = count > 0 && (wanted < count || pieces[0] !== first);
  return { anew, fresh: pieces.slice(anew ? 0 : count, wanted) };
}

/** @param {readonly Piece[]} pieces @returns {number[]} the attempts that have output */
export const attemptsOf = (pieces) => [...new Set(pieces.map(({ attempt }) => attempt))].sort((a, b) => a - b);

/** @param {readonly number[]} times that never fall @param {number} at @returns {number} how many of them are over by then */
export const countUpTo = (times, at) => counted(times.length, (index) => times[index] <= at);

/** @param {readonly Piece[]} pieces in the order of time @param {number} at @returns {number} how many had come by then */
export const countAt = (pieces, at) => counted(pieces.length, (index) => pieces[index].at <= at);

/** @param {number} length @param {(index: number) => boolean} isOver true for the first ones alone @returns {number} how many those are */
function counted(length, isOver) {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isOver(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * @param {readonly Piece[]} pieces @param {number} at @param {number} passed milliseconds of playing, by their speed
 * @returns {number} the moment that is shown then: silence is passed over
 */
export function playedTo(pieces, at, passed) {
  const next = pieces[countAt(pieces, at)];
  if (!next) return at + passed;
  return next.at - at > LONGEST_PAUSE_MS ? Math.max(at + passed, next.at - LONGEST_PAUSE_MS) : at + passed;
}

/** Output that may move the cursor about is given its whole screen. */
const PLAIN_MAX = 8_192;
/** Colours move nothing. */
const COLOUR = /\x1b\[[\d;]*m/g;

/** @param {readonly Piece[]} pieces @param {number} rows of its terminal @returns {number} how many it needs to be shown in whole */
export function rowsFor(pieces, rows) {
  const all = pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (all > PLAIN_MAX) return rows;
  const text = pieces.map(({ bytes }) => String.fromCharCode(...bytes)).join('').replace(COLOUR, '');
  if (text.includes('\x1b')) return rows;
  const lines = text.split('\n').length;
  return Math.max(4, Math.min(rows, lines));
}
