/**
 * Reads a flow record of unknown origin into an `Entry`. Pure; never throws, whatever the record is.
 *
 * @module
 */

/** @typedef {import('./types.js').RawRecord} RawRecord */
/** @typedef {import('./types.js').Entry} Entry */

/**
 * @param {unknown} value
 * @returns {string} a string as it is, a number or boolean as text, anything else empty
 */
export function text(value) {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/**
 * @param {unknown} value
 * @returns {value is RawRecord} whether it is a record: an object, and not a day file's header line
 */
export function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    && !('_type' in value && value._type === 'schema');
}

// The bookends are written with a space by most writers and with a dot by some.
const BOOKENDS = new Map(['start', 'complete', 'error', 'route'].map((w) => [`dispatch.${w}`, `dispatch ${w}`]));

/**
 * @param {string} action
 * @returns {string} one spelling for actions that have two
 */
export function canonicalAction(action) {
  return BOOKENDS.get(action) ?? action;
}

/** What is not in the records, and may be other after one. @typedef {'sessions' | 'queue' | 'fleet'} Topic */

/**
 * @param {string} action canonical
 * @returns {readonly Topic[]} what may be other than before, now that there is such a record
 */
export function touches(action) {
  if (action === 'stream.error') return ['sessions', 'queue', 'fleet'];
  if (action.startsWith('dispatch ')) return ['sessions', 'queue', 'fleet'];
  if (action.startsWith('session.') || action.startsWith('session ')) return ['sessions'];
  if (action.startsWith('job.') || action.startsWith('queue.')) return ['queue', 'fleet'];
  return action.startsWith('peer.') || action.startsWith('machine.') ? ['fleet'] : [];
}

/**
 * @param {unknown} value
 * @param {number} [indent]
 * @returns {string} its JSON; empty when it is nested too deep for the engine
 */
export function toJson(value, indent) {
  try {
    return JSON.stringify(value, null, indent) ?? '';
  } catch {
    return '';
  }
}

const UUID_V7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * The time of a record: `ts`, which has whole seconds, refined to milliseconds by a `record_id` of
 * version 7 that agrees with it.
 *
 * @param {RawRecord} raw
 * @returns {number} milliseconds, NaN when there is no readable time
 */
export function timeOf(raw) {
  const seconds = Date.parse(text(raw.ts));
  const id = UUID_V7.exec(text(raw.record_id));
  if (!id) return seconds;
  const exact = Number.parseInt(`${id[1]}${id[2]}`, 16);
  return Math.abs(exact - seconds) < 2000 ? exact : seconds;
}

// What identifies a record that has no id of its own, as darkmux 1.9's viewer took it.
const IDENTITY = ['ts', 'machine_uid', 'session_id', 'action', 'source', 'handle', 'level', 'stage', 'payload'];

/**
 * @param {RawRecord} raw
 * @param {string} position the position of its event, empty when it came without one
 * @returns {string}
 */
export function keyOf(raw, position) {
  const id = text(raw.record_id);
  if (id) return `id:${id}`;
  if (position) return `at:${position}`;
  return `is:${toJson(IDENTITY.map((field) => raw[field] ?? null))}`;
}

/**
 * The handle of a dispatch's records is its role.
 *
 * @param {RawRecord} raw
 */
function roleOf(raw) {
  const action = canonicalAction(text(raw.action));
  return action.startsWith('dispatch') ? text(raw.handle) : text(raw.role_id) || text(raw.role);
}

/**
 * @param {RawRecord} raw
 * @param {string} key
 * @param {number} [size] characters of its JSON, where they were counted
 * @returns {Entry}
 */
export function toEntry(raw, key, size = toJson(raw).length) {
  return {
    key,
    raw,
    size,
    at: timeOf(raw),
    level: text(raw.level) || 'info',
    category: text(raw.category),
    action: canonicalAction(text(raw.action)),
    handle: text(raw.handle),
    role: roleOf(raw),
    tier: text(raw.tier),
    machine: text(raw.machine_id),
    session: text(raw.session_id),
    haystack: '',
  };
}
