/**
 * Reads a recording: what the page of a daemon was told over some time, as changes of the store with their moments, and
 * what single pages ask for. Pure; what is missing or of another type is left out.
 *
 * A recording is JSON, `{format: 1, from, to, machine, launchers, chapters, frames, records, outputs, terminals}`, times in
 * milliseconds. A frame is what changed at a moment: `{at, fleet}`, `{at, queue, jobs}`, `{at, sessions}`, `{at, peers}` as
 * the daemon's answers have them, null where it could not say, or `{at, job, judged}`. An array is records alone.
 *
 * @module
 */

import { isRecord, text, timeOf } from './record.js';
import { readLaunchers, readPeers, readSession } from './v1.js';
import { REDIS_AWAY, fields, list, readFleet, readJobs, readJudgement, readMachine, readOutput, readQueue } from './wire.js';

/** @typedef {import('./types.js').Incoming} Incoming */
/** @typedef {import('./types.js').Piece} Piece */
/** @typedef {import('./types.js').Job} Job */
/** @typedef {{at: number, action: import('./store.js').Action}} Step */
/** @typedef {{cols: number, rows: number, pieces: Piece[]}} Recorded A terminal. */

/**
 * @typedef {object} Recording
 * @property {number} from
 * @property {number} to
 * @property {Step[]} steps In the order of time.
 * @property {Incoming[]} records In the order in which they came.
 * @property {number[]} came When each of them came; never falling.
 * @property {{at: number, text: string}[]} chapters
 * @property {Map<string, Piece[]>} outputs Of jobs.
 * @property {Map<string, Recorded>} terminals Of sessions.
 * @property {Map<string, {at: number, judged: ReturnType<typeof readJudgement>}[]>} judged Why jobs wait.
 */

/** @param {unknown} value */
const number = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : NaN);

/** @param {Incoming[]} records @param {readonly number[]} times NaN where it is not known @returns {number[]} */
function rising(records, times) {
  let last = -Infinity;
  return records.map(({ raw }, at) => {
    const known = Number.isNaN(times[at]) && isRecord(raw) ? timeOf(raw) : times[at];
    last = Math.max(last, Number.isNaN(known) ? last : known);
    return last;
  });
}

/** @param {Incoming[]} records @returns {Recording} records alone, by their own times */
export function ofRecords(records) {
  const came = rising(records, records.map(() => NaN));
  const from = came.find(Number.isFinite) ?? NaN;
  return { from, to: came.at(-1) ?? NaN, steps: [], records, came, chapters: [], outputs: new Map(), terminals: new Map(), judged: new Map() };
}

/** @param {unknown} body @returns {Recording} */
export function readRecording(body) {
  if (Array.isArray(body)) return ofRecords(body.map((raw) => ({ raw })));
  const all = fields(body);
  const told = list(all.records).map(list);
  const records = told.map(([, raw]) => ({ raw }));
  const from = number(all.from);
  const judged = new Map();
  const steps = [...beginning(all, from), ...framesOf(list(all.frames).map(fields), judged)].sort((a, b) => a.at - b.at);
  return {
    from,
    to: number(all.to),
    steps,
    records,
    came: rising(records, told.map(([at]) => number(at))),
    chapters: list(all.chapters).map(fields).map((one) => ({ at: number(one.at), text: text(one.text) })).filter(({ at }) => at > 0),
    outputs: new Map(Object.entries(fields(all.outputs)).map(([id, pieces]) => [id, readOutput({ data: { pieces } }).pieces])),
    terminals: new Map(Object.entries(fields(all.terminals)).map(([id, one]) => [id, terminalOf(fields(one))])),
    judged,
  };
}

/** @param {{[key: string]: unknown}} all @param {number} at @returns {Step[]} */
function beginning(all, at) {
  return [
    { at, action: { type: 'access/changed', access: 'act' } },
    { at, action: { type: 'machine/loaded', machine: readMachine(all.machine) } },
    { at, action: { type: 'launchers/loaded', launchers: readLaunchers({ data: { launchers: all.launchers } }) } },
  ];
}

/** @param {{[key: string]: unknown}[]} frames @param {Recording['judged']} judged filled here @returns {Step[]} */
function framesOf(frames, judged) {
  /** @type {Map<string, Job>} */
  const jobs = new Map();
  /** @type {Step[]} */
  const steps = [];
  for (const frame of frames) {
    const at = number(frame.at);
    /** @param {import('./store.js').Action} action */
    const step = (action) => steps.push({ at, action });
    for (const job of readJobs({ jobs: frame.jobs })) jobs.set(job.id, job);
    if (frame.fleet !== undefined) step(frame.fleet === null ? { type: 'fleet/failed', problem: REDIS_AWAY.fleet } : { type: 'fleet/loaded', fleet: readFleet(frame.fleet) });
    if (frame.queue === null) step({ type: 'queue/failed', problem: REDIS_AWAY.queue });
    else if (frame.queue !== undefined) step({ type: 'queue/loaded', queue: readQueue(frame.queue), jobs: [...jobs.values()].sort((a, b) => b.queued - a.queued) });
    const sessions = list(frame.sessions).map(readSession).filter(({ id }) => id !== '');
    if (sessions.length > 0) step({ type: 'sessions/upserted', sessions });
    if (frame.peers !== undefined) step({ type: 'peers/loaded', peers: readPeers({ data: { peers: frame.peers } }) });
    const job = text(frame.job);
    if (job !== '') judged.set(job, [...(judged.get(job) ?? []), { at, judged: readJudgement({ data: frame.judged }) }]);
  }
  return steps;
}

/** @param {{[key: string]: unknown}} one @returns {Recorded} */
function terminalOf(one) {
  let offset = 0;
  const pieces = list(one.pieces).map(list).map(([at, bytes]) => {
    const piece = { at_ms: at, attempt: 1, offset, bytes };
    offset += text(bytes).length;
    return piece;
  });
  return { cols: number(one.cols) || 80, rows: number(one.rows) || 24, pieces: readOutput({ data: { pieces } }).pieces };
}
