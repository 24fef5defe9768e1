/**
 * The one line that says what a record is about, beside its action and handle. Pure. The result is
 * untrusted text like the record itself.
 *
 * @module
 */

import { count, duration } from './format.js';
import { text, toJson } from './record.js';
import { oneLine } from './sanitize.js';

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {{[key: string]: unknown}} Payload */

const MAX_SUMMARY = 400;
const MAX_VALUE = 120;
const MAX_PAIRS = 6;

/**
 * @param {Entry} entry
 * @returns {string}
 */
export function summarize(entry) {
  const payload = entry.raw.payload;
  const facts = isObject(payload) ? (SUMMARIES.get(entry.action) ?? pairs)(payload) : oneLine(text(payload), MAX_VALUE);
  const reasoning = oneLine(text(entry.raw.reasoning), MAX_SUMMARY);
  return oneLine([facts, reasoning].filter(Boolean).join(' · '), MAX_SUMMARY);
}

/** @param {unknown} value @returns {value is Payload} */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {(string | false)[]} parts */
const join = (...parts) => parts.filter(Boolean).join(' · ');

/** @param {unknown} value @param {string} one @param {string} [many] */
const amount = (value, one, many) => typeof value === 'number' && count(value, one, many);

/** @param {unknown} value @param {string} label */
const labelled = (value, label) => text(value) !== '' && `${label} ${oneLine(text(value), MAX_VALUE)}`;

/** @param {Payload} p */
function started(p) {
  return join(
    labelled(p.runtime, 'runtime'),
    typeof p.prompt_chars === 'number' && `message of ${count(p.prompt_chars, 'character')}`,
    oneLine(text(p.workspace), MAX_VALUE),
  );
}

/** @param {Payload} p */
function ended(p) {
  return join(
    labelled(p.exit_code, 'exit'),
    text(p.exit_code) === '' && oneLine(text(p.result_class), MAX_VALUE),
    labelled(p.signal, 'signal'),
    oneLine(text(p.reason), MAX_VALUE),
    oneLine(text(p.error), MAX_SUMMARY),
    typeof p.wall_ms === 'number' && duration(p.wall_ms),
    amount(p.total_turns, 'turn'),
    amount(p.total_tokens, 'token'),
  );
}

/** @param {Payload} p */
function turn(p) {
  const usage = isObject(p.usage) ? p.usage : {};
  return join(labelled(p.turn_seq, 'turn'), oneLine(text(p.finish_reason), MAX_VALUE), amount(usage.total_tokens, 'token'));
}

/** @param {Payload} p */
function tool(p) {
  return join(
    oneLine(text(p.tool_name), MAX_VALUE),
    p.ok === false ? 'failed' : false,
    typeof p.result_chars === 'number' && count(p.result_chars, 'character'),
  );
}

/** @param {Payload} p */
const reasoning = (p) => oneLine(text(p.reasoning_text), MAX_SUMMARY);

/** @param {Payload} p */
function pairs(p) {
  const parts = [];
  for (const key of Object.keys(p)) {
    if (parts.length === MAX_PAIRS) {
      parts.push('…');
      break;
    }
    const value = p[key];
    if (value === null) continue;
    const shown = typeof value === 'object' ? toJson(value) : text(value);
    parts.push(`${oneLine(key, MAX_VALUE)} ${oneLine(shown, MAX_VALUE)}`);
  }
  return parts.join(' · ');
}

/** @type {Map<string, (payload: Payload) => string>} */
const SUMMARIES = new Map([
  ['dispatch start', started],
  ['dispatch complete', ended],
  ['dispatch error', ended],
  ['dispatch.turn', turn],
  ['dispatch.tool', tool],
  ['dispatch.reasoning', reasoning],
]);
