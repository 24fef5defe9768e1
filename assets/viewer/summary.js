/**
 * The one line that says what a record is about, beside its action and handle. Pure. The result is
 * untrusted text like the record itself.
 *
 * @module
 */

import { count, duration, shortPath } from './format.js';
import { text, toJson } from './record.js';
import { oneLine } from './sanitize.js';

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {{[key: string]: unknown}} Payload */

/** More than the widest row shows: where its line ends is for its width to say. */
const MAX_SUMMARY = 400;
const MAX_WHOLE = 2_000;
const MAX_PAIRS = 30;

/**
 * @param {Entry} entry
 * @param {boolean} [whole] with all of what a row leaves out, for its title
 * @returns {string}
 */
export function summarize(entry, whole = false) {
  const payload = entry.raw.payload;
  const facts = isObject(payload) ? (SUMMARIES.get(entry.action) ?? pairs)(payload, whole) : line(payload);
  return oneLine(join(facts, line(entry.raw.reasoning)), whole ? MAX_WHOLE : MAX_SUMMARY);
}

/** @param {unknown} value */
const line = (value) => oneLine(text(value), MAX_WHOLE);

/** @param {unknown} value @returns {value is Payload} */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {(string | false)[]} parts */
const join = (...parts) => parts.filter(Boolean).join(' · ');

/** @param {unknown} value @param {string} one @param {string} [many] */
const amount = (value, one, many) => typeof value === 'number' && count(value, one, many);

/** @param {unknown} value @param {string} label */
const labelled = (value, label) => text(value) !== '' && `${label} ${line(value)}`;

/** @param {Payload} p @param {boolean} whole */
function started(p, whole) {
  const folder = line(p.workspace);
  return join(
    labelled(p.runtime, 'runtime'),
    whole ? folder : shortPath(folder),
    typeof p.prompt_chars === 'number' && `message of ${count(p.prompt_chars, 'character')}`,
  );
}

/** @param {Payload} p */
function ended(p) {
  return join(
    labelled(p.exit_code, 'exit'),
    text(p.exit_code) === '' && line(p.result_class),
    labelled(p.signal, 'signal'),
    line(p.reason),
    line(p.error),
    typeof p.wall_ms === 'number' && duration(p.wall_ms),
    amount(p.total_turns, 'turn'),
    amount(p.total_tokens, 'token'),
  );
}

/** @param {Payload} p */
function turn(p) {
  const usage = isObject(p.usage) ? p.usage : {};
  return join(labelled(p.turn_seq, 'turn'), line(p.finish_reason), amount(usage.total_tokens, 'token'));
}

/** @param {Payload} p */
function tool(p) {
  return join(
    line(p.tool_name),
    p.ok === false ? 'failed' : false,
    typeof p.result_chars === 'number' && count(p.result_chars, 'character'),
  );
}

/** @param {Payload} p */
const reasoning = (p) => line(p.reasoning_text);

/** @param {Payload} p */
function pairs(p) {
  const parts = [];
  let length = 0;
  for (const key of Object.keys(p)) {
    // What follows is cut in any case, and rows are made many a second.
    if (parts.length === MAX_PAIRS || length > MAX_WHOLE) {
      parts.push('…');
      break;
    }
    const value = p[key];
    if (value === null) continue;
    const shown = typeof value === 'object' ? toJson(value) : text(value);
    const part = `${oneLine(key, MAX_WHOLE)} ${oneLine(shown, MAX_WHOLE)}`;
    parts.push(part);
    length += part.length;
  }
  return parts.join(' · ');
}

/** @type {Map<string, (payload: Payload, whole: boolean) => string>} */
const SUMMARIES = new Map([
  ['dispatch start', started],
  ['dispatch complete', ended],
  ['dispatch error', ended],
  ['dispatch.turn', turn],
  ['dispatch.tool', tool],
  ['dispatch.reasoning', reasoning],
]);
