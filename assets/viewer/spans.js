/**
 * Makes spans of a session's records: what starts and what ends is one thing with a length. Pure.
 *
 * @module
 */

/** @typedef {import('./types.js').Entry} Entry */

/** @typedef {{at: number, key: string, level: string, action: string, handle: string}} Mark */

/**
 * @typedef {object} Span
 * @property {number} start
 * @property {number} end NaN while it runs.
 * @property {'running' | 'good' | 'bad'} how
 * @property {string} role
 * @property {string} tier
 * @property {boolean} cut Its start is older than what there is.
 */

/**
 * @typedef {object} Lane
 * @property {string} key
 * @property {string} machine
 * @property {string} session Empty for a machine's records of no session.
 * @property {string} role The first that is named.
 * @property {Span[]} spans In the order of time.
 * @property {Mark[]} marks Records that are neither a start nor an end.
 * @property {number} first
 * @property {number} last
 */

const STARTS = new Set(['dispatch start', 'session start', 'session.start']);
const ENDS = new Set(['dispatch complete', 'dispatch error', 'session end', 'session.end']);
/** Marks a lane keeps: more cannot be told apart. */
const MAX_MARKS = 400;
/** What is told twice is told within this time. */
const SAME_MS = 5_000;

/** @param {Entry} entry */
function failed(entry) {
  const payload = entry.raw.payload;
  const code = typeof payload === 'object' && payload !== null && 'exit_code' in payload ? payload.exit_code : 0;
  return entry.action === 'dispatch error' || entry.level === 'error' || (typeof code === 'number' && code !== 0);
}

/**
 * @param {readonly Entry[]} records in the order of the log
 * @returns {Lane[]} by machine, then by what began first
 */
export function lanesOf(records) {
  /** @type {Map<string, Lane>} */
  const lanes = new Map();
  for (const entry of records) {
    if (Number.isNaN(entry.at)) continue;
    // A job is routed by one machine and runs on another, and is one thing.
    const key = entry.session === '' ? `machine ${entry.machine}` : `session ${entry.session}`;
    let lane = lanes.get(key);
    if (!lane) {
      lane = { key, machine: entry.machine, session: entry.session, role: '', spans: [], marks: [], first: entry.at, last: entry.at };
      lanes.set(key, lane);
    }
    lane.first = Math.min(lane.first, entry.at);
    lane.last = Math.max(lane.last, entry.at);
    lane.role ||= entry.role;
    if (STARTS.has(entry.action)) lane.machine = entry.machine;
    put(lane, entry);
  }
  return [...lanes.values()].sort((a, b) => a.machine.localeCompare(b.machine) || Number(a.session !== '') - Number(b.session !== '') || a.first - b.first);
}

/** @param {Lane} lane @param {Entry} entry */
function put(lane, entry) {
  const open = lane.spans.at(-1);
  const runs = open !== undefined && Number.isNaN(open.end);
  if (lane.session !== '' && STARTS.has(entry.action)) {
    // A session says that it starts, and the dispatch in it does, too: that is one thing.
    if (runs && entry.at - open.start < SAME_MS) open.role ||= entry.role;
    else {
      // The runner of before was lost, and has not told the end.
      if (runs) Object.assign(open, { end: entry.at, how: 'bad' });
      lane.spans.push({ start: entry.at, end: NaN, how: 'running', role: entry.role, tier: entry.tier, cut: false });
    }
  } else if (lane.session !== '' && ENDS.has(entry.action)) {
    const how = failed(entry) ? 'bad' : 'good';
    if (runs) Object.assign(open, { end: entry.at, how, role: open.role || entry.role, tier: open.tier || entry.tier });
    else if (open === undefined) lane.spans.push({ start: lane.first, end: entry.at, how, role: entry.role, tier: entry.tier, cut: true });
    // The same end, told twice: the later one is how long it took. One that comes much later is of a lost runner.
    else if (entry.at - open.end < SAME_MS) open.end = Math.max(open.end, entry.at);
  } else if (lane.marks.length < MAX_MARKS) {
    lane.marks.push({ at: entry.at, key: entry.key, level: entry.level, action: entry.action, handle: entry.handle });
  }
}

/**
 * How many dispatches ran at once on each machine, as the records tell.
 *
 * @param {readonly Entry[]} records @param {number} from
 * @returns {Map<string, {at: number, busy: number}[]>} by machine, a point where it changes
 */
export function busyLines(records, from) {
  /** @type {Map<string, {at: number, by: number}[]>} */
  const changes = new Map();
  for (const { machine, session, spans } of lanesOf(records.filter(({ action }) => STARTS.has(action) || ENDS.has(action)))) {
    if (session === '') continue;
    const all = changes.get(machine) ?? [];
    for (const { start, end, how } of spans) {
      const runs = how === 'running';
      if (!runs && !(end > from)) continue;
      all.push({ at: Math.max(start, from), by: 1 });
      if (!runs) all.push({ at: end, by: -1 });
    }
    changes.set(machine, all);
  }
  return new Map([...changes].map(([machine, all]) => {
    let busy = 0;
    const points = [{ at: from, busy: 0 }];
    for (const { at, by } of all.sort((a, b) => a.at - b.at || b.by - a.by)) {
      points.push({ at, busy }, { at, busy: busy += by });
    }
    return [machine, points];
  }));
}

/** @param {number} from @param {number} to @returns {number[]} round moments between them, some six of them */
export function ticks(from, to) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400].map((s) => s * 1000);
  const step = steps.find((one) => (to - from) / one <= 7) ?? 86_400_000;
  const out = [];
  for (let at = Math.ceil(from / step) * step; at <= to && out.length < 20; at += step) out.push(at);
  return out;
}
