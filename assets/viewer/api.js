/**
 * What the viewer asks of the daemon: its reading `fetch` and the only `EventSource`. Knows paths,
 * timeouts and how a stream is kept open; knows nothing of the page.
 *
 * @module
 */

import { readRefusal } from './v1.js';

/** @typedef {import('./types.js').Incoming} Incoming */

/** A daemon that is stopped (SIGSTOP, a sleeping machine) accepts connections and never answers. */
const TIMEOUT_MS = 5_000;
/** A day of 5,000 records can be some megabytes over a slow link. */
const RECORDS_TIMEOUT_MS = 30_000;
const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 15_000;
/** Refusals in a row after which the position itself is in doubt. */
const REFUSALS_TO_STALE = 3;

/** The daemon answered, with a failure. Any other error of this module means that it did not answer. */
export class StatusError extends Error {
  /** @param {string} path @param {number} status @param {string} said by the daemon, or nothing */
  constructor(path, status, said = '') {
    super(said || `${path} answered ${status}`);
    this.status = status;
  }
}

/** @param {unknown} error @returns {boolean} whether the same may be answered in a while */
export const mayPass = (error) => !(error instanceof StatusError) || error.status === 429 || error.status >= 500;

/**
 * @param {number} attempt 0 for the first
 * @param {number} random in [0, 1)
 * @returns {number} milliseconds to wait: doubling, with jitter, within the bounds
 */
export function backoff(attempt, random) {
  const base = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempt, 10));
  return Math.max(BACKOFF_MIN_MS, Math.min(BACKOFF_MAX_MS, base * (0.75 + random * 0.5)));
}

/**
 * What the page itself brought, so that what is seen first is not asked for once more.
 *
 * @param {string} path @returns {{body: unknown, size: number, headers: Headers} | null} once; null where it is the answer to something else
 */
function cameAlong(path) {
  const script = globalThis.document?.getElementById('first-answer');
  script?.remove();
  try {
    const text = script?.textContent ?? 'null';
    const first = /** @type {{path: string, headers: {[name: string]: string}, body: unknown} | null} */ (JSON.parse(text));
    return first?.path === path ? { body: first.body, size: text.length, headers: new Headers(first.headers) } : null;
  } catch {
    return null;
  }
}

/**
 * @template T
 * @param {() => Promise<T>} make what may fail because the daemon is not there
 * @param {() => boolean} wanted
 * @param {() => void} [missing] told of each failure
 * @returns {Promise<T | null>} null when it was wanted no more before it could be made
 */
export async function untilMade(make, wanted, missing = () => {}) {
  for (let attempt = 0; wanted(); attempt += 1) {
    try {
      return await make();
    } catch {
      if (wanted()) missing();
      await new Promise((resolve) => { setTimeout(resolve, backoff(attempt, Math.random())); });
    }
  }
  return null;
}

/** @param {string} path @param {number} [timeout] */
async function get(path, timeout = TIMEOUT_MS) {
  const response = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(timeout) });
  if (!response.ok) throw new StatusError(path, response.status, readRefusal(await response.json().catch(() => undefined)));
  const text = await response.text();
  return { body: /** @type {unknown} */ (JSON.parse(text)), size: text.length, headers: response.headers };
}

/** @param {string} path @returns {Promise<unknown>} */
const getBody = async (path) => (await get(path)).body;

export const getHealth = () => getBody('/health');
export const getDays = () => getBody('/flow-days');
export const getSessions = () => getBody('/sessions');
export const getFleet = () => getBody('/fleet/machines/live');
export const getJobs = () => getBody('/jobs');
/** @param {string} id */
export const getJob = (id) => getBody(`/jobs/${encodeURIComponent(id)}`);
export const getQueue = () => getBody('/queue');
export const getMachine = () => getBody('/machine/specs');

/** @param {unknown} body @param {number} characters of all @returns {Incoming[]} each with its part of the whole: to count them one by one would take as long as reading them */
function incoming(body, characters) {
  if (!Array.isArray(body)) return [];
  const size = Math.ceil(characters / Math.max(1, body.length));
  return body.map((raw) => ({ raw, size }));
}

/**
 * @param {string} day
 * @param {number} limit
 * @returns {Promise<{batch: Incoming[], position: string, others: import('./types.js').State['others']}>} the newest records, where a
 *   stream goes on, and what there is of other machines
 */
export async function getRecords(day, limit) {
  const path = `/flow/${day}?limit=${limit}`;
  const { body, size, headers } = cameAlong(path) ?? await get(path, RECORDS_TIMEOUT_MS);
  const others = headers.get('x-darkmux-source') === 'local' ? 'none' : headers.has('darkmux-others-kept') ? 'newest' : 'all';
  return { batch: incoming(body, size), position: headers.get('darkmux-position') ?? '', others };
}

/** @param {string} url of a recording @returns {Promise<unknown>} */
export const getFixture = async (url) => (await get(url, RECORDS_TIMEOUT_MS)).body;

/**
 * @typedef {object} StreamEvents
 * @property {(record: Incoming) => void} onRecord
 * @property {() => void} onOpen
 * @property {() => void} onLost Not open any more; it is being opened again.
 * @property {(missed: number, to: string) => void} onStale The position is one the daemon does not know, or was refused again
 *   and again; `missed` records are gone for good, 0 when none are or nobody knows. It goes on at `to`, if that is known.
 */

/**
 * One stream that stays open until it is closed. The browser re-opens a dropped one with its last
 * id; where the browser gives up (an answer that is no stream), it is opened again here, from the
 * last position, with backoff.
 *
 * @param {string} day where to begin when there is no position
 * @param {string} from a position, or empty
 * @param {StreamEvents} events
 * @param {(data: string) => unknown} [read] what a record's data becomes
 */
export function openStream(day, from, events, read = parse) {
  let position = from;
  let attempt = 0;
  let closed = false;
  /** @type {EventSource | null} */
  let source = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function connect() {
    clearTimeout(timer);
    source?.close();
    const at = position.slice(0, 10) || day;
    const opened = new EventSource(`/flow/${at}/stream${position ? `?from=${encodeURIComponent(position)}` : ''}`);
    source = opened;
    opened.onopen = () => {
      attempt = 0;
      events.onOpen();
    };
    opened.onmessage = (event) => {
      if (event.lastEventId) position = event.lastEventId;
      events.onRecord({ raw: read(event.data), size: event.data.length, position: event.lastEventId });
    };
    // The file is not the one that the position was in: what is shown may not be what there is.
    opened.addEventListener('gap', ({ data, lastEventId }) => {
      if (lastEventId) position = lastEventId;
      events.onStale(Number(Object(parse(data)).count) || 0, lastEventId ?? '');
    });
    opened.onerror = () => {
      if (closed || source !== opened) return;
      const refused = opened.readyState === EventSource.CLOSED;
      if (refused) {
        timer = setTimeout(connect, backoff(attempt, Math.random()));
        attempt += 1;
      }
      events.onLost();
      if (refused && attempt % REFUSALS_TO_STALE === 0) events.onStale(0, '');
    };
  }

  connect();
  return {
    /** Opens it again now, unless it is open. */
    wake() {
      if (!closed && source?.readyState !== EventSource.OPEN) connect();
    },
    /** Gives up a connection that looks open but is mute, and opens a new one. */
    reopen() {
      if (!closed) connect();
    },
    close() {
      closed = true;
      clearTimeout(timer);
      source?.close();
    },
  };
}

/**
 * @typedef {object} SessionEvents
 * @property {(body: unknown) => void} onUpsert
 * @property {(id: string) => void} onRemove
 * @property {(ids: string[] | null) => void} onComplete All that there is has been told; null where the ids are too many.
 * @property {() => void} onPeer The link to another machine is not as it was.
 * @property {() => void} onFound Machines that were found are others, or are not as they were.
 * @property {(refused: boolean) => void} onLost `refused`: the daemon answered with something that is no stream.
 */

/**
 * The changes of all sessions, until it is closed; the daemon begins with every session there is.
 *
 * @param {SessionEvents} events
 */
export function openSessionEvents(events) {
  let attempt = 0;
  let closed = false;
  /** @type {EventSource | undefined} */
  let source;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  function connect() {
    clearTimeout(timer);
    source?.close();
    const opened = new EventSource('/v1/events?scope=all');
    source = opened;
    opened.onopen = () => {
      attempt = 0;
    };
    opened.addEventListener('session-snapshot', ({ data }) => events.onComplete(idsOf(parse(data))));
    opened.addEventListener('session-upsert', ({ data }) => events.onUpsert(parse(data)));
    opened.addEventListener('session-remove', ({ data }) => events.onRemove(String(Object(parse(data)).id ?? '')));
    opened.addEventListener('peer-status', () => events.onPeer());
    opened.addEventListener('discovery', () => events.onFound());
    opened.onerror = () => {
      if (closed || source !== opened) return;
      const refused = opened.readyState === EventSource.CLOSED;
      if (refused) {
        timer = setTimeout(connect, backoff(attempt, Math.random()));
        attempt += 1;
      }
      events.onLost(refused);
    };
  }
  connect();
  return {
    /** Gives up a connection that can be dead, and opens a new one. */
    reopen: connect,
    close() {
      closed = true;
      clearTimeout(timer);
      source?.close();
    },
  };
}

/** @param {unknown} body @returns {string[] | null} */
function idsOf(body) {
  const { ids } = Object(body);
  return Array.isArray(ids) ? ids.map(String) : null;
}

/** @param {string} data @returns {unknown} undefined when it is no JSON */
export function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
