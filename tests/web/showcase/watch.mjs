/**
 * Watches a daemon as a page does, and keeps what it saw as a recording: the records as they came, and every change of
 * machines, queue, jobs, sessions and links with its moment.
 *
 * @module
 */

import { sleep } from './stage.mjs';

/** @typedef {import('./stage.mjs').Machine} Machine */

const EVERY_MS = 500;
/** Output that comes within this time is one piece. */
const TOGETHER_MS = 60;

/** What pages read of each thing; the rest is left out. */
const FIELDS = {
  machine: ['machine_uid', 'machine_id', 'display_name', 'darkmux_version', 'os', 'arch', 'slots', 'ram_free_bytes', 'age_ms', 'skew_ms', 'runner', 'loaded_models', 'roles', 'origin', 'clash'],
  job: ['id', 'state', 'role', 'name', 'machine', 'queued_ms', 'started_ms', 'finished_ms', 'due_ms', 'result', 'attempt', 'attempts', 'priority', 'lane', 'published_by', 'why', 'cancel', 'parked', 'declined'],
  result: ['exit_code', 'error', 'workdir', 'output_bytes'],
  session: ['id', 'role', 'name', 'state', 'alive', 'exit_code', 'peer', 'machine_id', 'created_at', 'started_at', 'exited_at', 'reason', 'cwd', 'command', 'title', 'kind', 'status', 'needs_you', 'unread', 'resumable', 'disconnected_since', 'runs', 'terminal_cols', 'terminal_rows'],
  queue: ['paused', 'drained', 'depth', 'now_ms', 'oldest_queued_ms', 'running', 'dead', 'dead_letters'],
  peer: ['name', 'url', 'status', 'since', 'last_error', 'version', 'origin', 'session_count'],
};

/** @param {any} value @param {string[]} names @returns {any} */
const pick = (value, names) => Object.fromEntries(names.filter((name) => value?.[name] !== undefined && value[name] !== null).map((name) => [name, value[name]]));

/** Without what changes all the time. @param {any} value */
const steady = (value) => JSON.stringify(value, (name, one) => (['age_ms', 'skew_ms', 'now_ms', 'ram_free_bytes'].includes(name) ? undefined : one));

/** @param {any} job */
const jobOf = (job) => ({ ...pick(job, FIELDS.job), ...(job.result ? { result: pick(job.result, FIELDS.result) } : {}) });

/** @param {Machine} machine whose page is watched */
export function createWatch(machine) {
  /** @type {any[]} */
  const frames = [];
  /** @type {[number, any][]} */
  const records = [];
  /** @type {{[id: string]: {cols: number, rows: number, pieces: [number, string][]}}} */
  const terminals = {};
  /** @type {Map<string, string>} */
  const last = new Map();
  const over = new AbortController();

  /** @param {string} key @param {any} value @returns {boolean} whether it is another than before */
  function isNew(key, value) {
    const now = steady(value);
    if (last.get(key) === now) return false;
    last.set(key, now);
    return true;
  }

  /** @param {string} path */
  async function get(path) {
    try {
      const answer = await machine.ask(path, { headers: { accept: 'application/json' } });
      return answer.ok ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  async function look() {
    const [fleet, queue, jobs, sessions, health] = await Promise.all(['/fleet/machines/live', '/queue', '/jobs', '/v1/sessions', '/v1/health'].map(get));
    const at = Date.now();
    const machines = fleet === null ? null : fleet.map((/** @type {any} */ one) => pick(one, FIELDS.machine));
    if (isNew('fleet', machines)) frames.push({ at, fleet: machines });
    const whole = queue === null || jobs === null ? null : pick(queue, FIELDS.queue);
    const changed = (jobs?.jobs ?? []).map(jobOf).filter((/** @type {any} */ job) => isNew(`job ${job.id}`, job));
    if (isNew('queue', whole) || changed.length > 0) frames.push({ at, queue: whole, ...(changed.length > 0 ? { jobs: changed } : {}) });
    if (sessions) {
      const now = sessions.data.map((/** @type {any} */ one) => pick(one, FIELDS.session));
      const upsert = now.filter((/** @type {any} */ one) => isNew(`session ${one.id}`, one));
      if (upsert.length > 0) frames.push({ at, sessions: upsert });
    }
    const peers = (health?.data.peers ?? []).map((/** @type {any} */ one) => pick(one, FIELDS.peer));
    if (health && isNew('peers', peers)) frames.push({ at, peers });
    for (const job of jobs?.jobs ?? []) {
      if (!['queued', 'waiting'].includes(job.state)) continue;
      const explained = await get(`/v1/jobs/${job.id}/explain`);
      const judged = explained && pick(explained.data, ['why', 'machines']);
      if (judged && isNew(`why ${job.id}`, judged)) frames.push({ at: Date.now(), job: job.id, judged });
    }
  }

  async function looking() {
    while (!over.signal.aborted) {
      await look();
      await sleep(EVERY_MS);
    }
  }

  async function following() {
    const day = new Date().toISOString().slice(0, 10);
    let from = `${day}:000000000000`;
    // It ends when Redis goes, and goes on where it was, as a browser does.
    for (; !over.signal.aborted; await sleep(EVERY_MS)) {
      let rest = '';
      const answer = await machine.ask(`/flow/${day}/stream?from=${encodeURIComponent(from)}`, { signal: over.signal });
      for await (const bytes of answer.body ?? []) {
        rest += new TextDecoder().decode(bytes);
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          if (line.startsWith('id: ')) from = line.slice(4);
          if (line.startsWith('data: {')) records.push([Date.now(), JSON.parse(line.slice(6))]);
        }
      }
    }
  }

  return {
    frames,
    records,
    terminals,
    start() {
      void looking();
      void following().catch((error) => !over.signal.aborted && console.error(`the stream of records ended: ${error}`));
    },
    stop: () => over.abort(),
    /** Keeps what a session's terminal shows. @param {string} id @param {{cols: number, rows: number}} size */
    watchTerminal(id, { cols, rows }) {
      const kept = { cols, rows, pieces: /** @type {[number, string][]} */ ([]) };
      terminals[id] = kept;
      const url = `${machine.url.replace('http', 'ws')}/ws/${encodeURIComponent(id)}?darkmux=1&cols=${cols}&rows=${rows}`;
      // @ts-expect-error what Node's own takes beside the address
      const socket = new WebSocket(url, { headers: { authorization: `Bearer ${machine.token()}` } });
      socket.binaryType = 'arraybuffer';
      over.signal.addEventListener('abort', () => socket.close());
      socket.onmessage = ({ data }) => {
        if (typeof data === 'string') return;
        const text = Buffer.from(data).toString('latin1');
        const newest = kept.pieces.at(-1);
        if (newest && Date.now() - newest[0] < TOGETHER_MS) newest[1] += text;
        else kept.pieces.push([Date.now(), text]);
      };
    },
    /** What Redis keeps of every job's output. @returns {Promise<{[id: string]: any[]}>} */
    async outputs() {
      /** @type {{[id: string]: any[]}} */
      const all = {};
      const { jobs } = await (await machine.ask('/jobs')).json();
      for (const { id } of jobs) {
        /** @type {any[]} */
        const pieces = [];
        for (let next = '', more = true; more;) {
          const answer = await get(`/v1/jobs/${id}/output${next === '' ? '' : `?after=${encodeURIComponent(next)}`}`);
          pieces.push(...(answer?.data.pieces ?? []));
          next = answer?.data.next ?? '';
          more = answer?.data.more === true;
        }
        if (pieces.length > 0) all[id] = pieces.map((piece) => pick(piece, ['at_ms', 'attempt', 'offset', 'bytes']));
      }
      return all;
    },
    specs: async () => pick(await get('/machine/specs'), ['machine_id', 'darkmux_version', 'flow_schema_version', 'os', 'ram_free_for_ai_bytes', 'ram_total_bytes', 'loaded_models']),
    launchers: async () => (await get('/v1/health'))?.data.launchers ?? [],
  };
}
