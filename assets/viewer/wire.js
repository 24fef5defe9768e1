/**
 * Reads the bodies of the daemon's JSON answers into the viewer's own shapes. Pure; what is missing
 * or of another type becomes empty, so that an older or newer daemon still shows what it can.
 *
 * @module
 */

import { text } from './record.js';

/** @typedef {import('./types.js').Session} Session */
/** @typedef {import('./types.js').Day} Day */
/** @typedef {import('./types.js').Machine} Machine */
/** @typedef {{[key: string]: unknown}} Fields */
/**
 * What the built-in agent came to. `last` is its last message, `changed` are files, `checks` commands that it ran.
 *
 * @typedef {{last: string, handOffTo: string, model: string, endpoint: string, changed: string[], checks: {command: string, ok: boolean}[], turns: number, calls: number, tokens: number}} AgentResult
 */

/** What is told while Redis does not answer. */
export const REDIS_AWAY = {
  fleet: 'Redis does not answer: who else is alive is not known. See darkmux doctor.',
  queue: 'Redis does not answer: how the queue is now is not known. See darkmux doctor.',
};

/** @param {unknown} value @returns {Fields} */
export function fields(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? /** @type {Fields} */ (value) : {};
}

/** @param {unknown} value @returns {unknown[]} */
export function list(value) {
  return Array.isArray(value) ? value : [];
}

/** @param {unknown} value */
const number = (value) => (typeof value === 'number' ? value : NaN);

/** @param {unknown} value @returns {number} milliseconds from an RFC 3339 time, NaN when there is none */
export const time = (value) => Date.parse(text(value));

/** @param {unknown} value @returns {string} a command line from an argv list, or the text that it already is */
export function commandLine(value) {
  return Array.isArray(value) ? value.map(text).map(quoted).join(' ') : text(value);
}

/** @param {string} word */
function quoted(word) {
  return /^[A-Za-z0-9_.,:/=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** @param {unknown} value @returns {Session} */
function session(value) {
  const s = fields(value);
  return {
    id: text(s.id),
    role: text(s.role),
    name: text(s.name),
    state: text(s.state),
    machine: text(s.machine_id),
    created: time(s.created_at),
    started: time(s.started_at),
    ended: time(s.ended_at),
    exitCode: typeof s.exit_code === 'number' ? s.exit_code : null,
    signal: text(fields(s.exit).signal),
    // An end by its own doing needs no reason.
    reason: s.reason === 'exited' ? '' : text(s.reason),
    cwd: text(s.cwd),
    command: commandLine(s.command),
    title: '',
    what: '',
    kind: text(s.kind),
    label: '',
    working: false,
    failing: false,
    needsYou: '',
    unread: s.unread === true,
    notice: { text: '', at: NaN },
    resumable: false,
    disconnected: NaN,
    runs: 0,
    cols: 0,
    rows: 0,
  };
}

/** @param {unknown} body of `/sessions` @returns {Session[]} */
export function readSessions(body) {
  return list(fields(body).sessions).map(session).filter((s) => s.id !== '');
}

const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** @param {unknown} body of `/flow-days` @returns {Day[]} */
export function readDays(body) {
  return list(fields(body).days)
    .map(fields)
    .map((d) => ({
      date: text(d.date),
      records: number(d.records) || 0,
      dispatches: number(d.dispatches) || 0,
      bad: number(d.bad) || 0,
      fleet: d.fleet === true,
    }))
    .filter((d) => DAY.test(d.date));
}

/** @param {unknown} value @returns {string} */
function modelName(value) {
  const m = fields(value);
  return text(value) || text(m.identifier) || text(m.model) || text(m.id);
}

/** @param {unknown} body of `/machine/specs` @returns {Machine} */
export function readMachine(body) {
  const m = fields(body);
  return {
    id: text(m.machine_id),
    version: text(m.darkmux_version),
    flowSchema: text(m.flow_schema_version),
    os: text(m.os),
    cpu: text(m.cpu_brand),
    ramTotal: number(m.ram_total_bytes),
    ramFree: number(m.ram_free_for_ai_bytes),
    models: list(m.loaded_models).map(modelName).filter(Boolean),
    modelsUnreachable: m.lms_unreachable === true,
    redis: text(m.redis_url_redacted),
  };
}

/** @param {unknown} runner @param {number} busy @returns {import('./types.js').FleetMachine['state']} */
function runnerState(runner, busy) {
  const r = fields(runner);
  if (typeof r.enabled !== 'boolean') return '';
  if (!r.enabled) return 'no runner';
  if (r.draining === true) return 'draining';
  return busy > 0 ? 'busy' : 'idle';
}

/** @param {unknown} value @returns {import('./types.js').FleetMachine} */
function fleetMachine(value) {
  const m = fields(value);
  const busy = number(fields(m.slots).busy);
  return {
    uid: text(m.machine_uid),
    name: text(m.machine_id) || text(m.display_name),
    version: text(m.darkmux_version),
    system: [text(m.os), text(m.arch)].filter(Boolean).join(' '),
    slots: number(fields(m.slots).total),
    busy,
    ramFree: number(m.ram_free_bytes),
    age: number(m.age_ms),
    skew: number(m.skew_ms),
    state: runnerState(m.runner, busy),
    models: list(m.loaded_models).map(modelName).filter(Boolean),
    roles: list(m.roles).map(text).filter(Boolean),
    gone: false,
    origin: text(m.origin),
    clash: text(m.clash),
  };
}

/** @param {unknown} body of `/fleet/machines/live`, an array; newer ones wrap it @returns {import('./types.js').FleetMachine[]} */
export function readFleet(body) {
  const machines = Array.isArray(body) ? body : list(fields(body).machines);
  return machines.map(fleetMachine).filter((m) => m.uid !== '' && m.name !== '');
}

/** @param {unknown} value @returns {import('./types.js').Attempt} */
function attempt(value) {
  const a = fields(value);
  return { number: number(a.attempt), machine: text(a.machine), started: number(a.started_ms), ended: number(a.ended_ms), how: text(a.ended) };
}

/** @param {unknown} value of a job's result, or a session's @returns {AgentResult | null} */
export function readAgent(value) {
  const a = fields(value);
  if (text(a.result) === '') return null;
  const totals = fields(a.totals);
  return {
    last: text(a.final),
    handOffTo: text(a.hand_off_to),
    model: text(a.model),
    endpoint: text(a.endpoint),
    changed: list(a.changed).map(text).filter(Boolean),
    checks: list(a.checks).map(fields).map((check) => ({ command: text(check.command), ok: check.ok === true })),
    turns: number(totals.total_turns) || 0,
    calls: number(totals.total_tools) || 0,
    tokens: number(totals.total_tokens) || 0,
  };
}

/** @param {unknown} value @returns {import('./types.js').Job} */
function job(value) {
  const j = fields(value);
  const result = fields(j.result);
  const lane = fields(j.lane);
  return {
    id: text(j.id),
    state: text(j.state),
    role: text(j.role),
    name: text(j.name),
    machine: text(j.machine),
    queued: number(j.queued_ms),
    started: number(j.started_ms),
    finished: number(j.finished_ms),
    due: number(j.due_ms),
    offeredAgain: number(j.offered_again_ms),
    exitCode: typeof result.exit_code === 'number' ? result.exit_code : null,
    attempt: number(j.attempt) || 0,
    attempts: list(j.attempts).map(attempt),
    priority: text(j.priority),
    pin: text(lane.pin),
    require: list(lane.require).map(text).filter(Boolean),
    publishedBy: text(j.published_by),
    why: text(result.error) || text(j.why),
    cancel: text(j.cancel),
    parked: text(j.parked),
    workdir: text(result.workdir) || text(fields(j.spec).workdir),
    outputBytes: number(result.output_bytes),
    declined: Object.entries(fields(j.declined)).map(([machine, why]) => [machine, text(why)]),
    agent: readAgent(fields(result.details).agent),
    came: number(fields(result.workspace).changed) > 0,
  };
}

/** @param {unknown} body of `/jobs/{id}` @returns {import('./types.js').Job | null} null without Redis */
export function readJob(body) {
  const found = job(fields(body).job);
  return found.id === '' ? null : found;
}

/** @param {unknown} body of `explain` or of a dry run @returns {{why: string, machines: import('./types.js').Judgement[]}} */
export function readJudgement(body) {
  const data = fields(fields(body).data);
  const machines = list(data.machines).map(fields)
    .map((m) => ({ machine: text(m.machine), verdict: text(m.verdict), reasons: list(m.reasons).map(text).filter(Boolean) }));
  return { why: text(data.why), machines };
}

/** @param {unknown} value a character for each byte */
function bytesOf(value) {
  const chars = text(value);
  const bytes = new Uint8Array(chars.length);
  for (let at = 0; at < chars.length; at += 1) bytes[at] = chars.charCodeAt(at) & 0xff;
  return bytes;
}

/**
 * @param {unknown} body of a job's `output`
 * @returns {{pieces: import('./types.js').Piece[], next: string, more: boolean}}
 */
export function readOutput(body) {
  const data = fields(fields(body).data);
  const pieces = list(data.pieces).map(fields)
    .map((p) => ({ at: number(p.at_ms), attempt: number(p.attempt) || 0, offset: number(p.offset) || 0, bytes: bytesOf(p.bytes) }))
    .filter(({ at }) => at > 0);
  return { pieces, next: text(data.next), more: data.more === true };
}

/** @param {unknown} body of `/jobs` @returns {import('./types.js').Job[]} */
export function readJobs(body) {
  return list(fields(body).jobs).map(job).filter((j) => j.id !== '');
}

/** @param {unknown} body of `/queue` @returns {import('./types.js').Queue | null} null without Redis */
export function readQueue(body) {
  const q = fields(body);
  if (typeof q.dead !== 'number') return null;
  const depth = fields(q.depth);
  return {
    paused: q.paused === true,
    drained: list(q.drained).map(text).filter(Boolean),
    queued: number(depth.queued) || 0,
    waiting: number(depth.waiting) || 0,
    running: number(depth.running) || 0,
    now: number(q.now_ms),
    oldest: number(q.now_ms) - number(q.oldest_queued_ms),
    holds: Object.entries(fields(q.running)).map(([machine, ids]) => ({ machine, ids: list(ids).map(text).filter(Boolean) })),
    dead: q.dead,
    letters: list(q.dead_letters).map(fields).map((d) => ({ entry: text(d.entry), job: text(d.job), why: text(d.why) })),
  };
}

/** @param {unknown} body of `/health` @returns {{id: string, version: string}} */
export function readHealth(body) {
  const h = fields(body);
  return { id: text(h.machine_id), version: text(h.darkmux_version) };
}
