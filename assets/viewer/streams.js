/**
 * This tab's part in the daemon's streams: by the worker that all tabs of the browser share, where there is one. Elsewhere
 * (Chrome on Android) it has streams of its own, and lets go of them while nobody looks: six tabs would take every
 * connection that a browser has to a daemon.
 *
 * @module
 */

import * as api from './api.js';

/** @typedef {import('./sharing.js').Asked} Asked */
/** @typedef {import('./sharing.js').Told} Told */
/** @typedef {{close: () => void}} Closable */
/** @typedef {Closable & {reopen: () => void}} Reopening */

const WORKER = '/assets/worker.js';
/** Another whenever what is said to the worker changes: tabs of an older daemon's page keep theirs. */
const NAME = 'darkmux-2';

/** @type {MessagePort | null | undefined} undefined until it is needed, null where there is no such worker */
let port;
/** Of the stream of records that is followed now. @type {{turn: number, told: (told: Told) => void, follow: (anew: boolean) => void, alone: () => void} | null} */
let flow = null;
/** @type {{events: api.SessionEvents, alone: () => void} | null} */
let sessions = null;
let turns = 0;

/** @param {Asked} asked */
const say = (asked) => port?.postMessage(asked);

/** All that this tab follows, said anew: the worker has let go of it. */
function again() {
  flow?.follow(false);
  if (sessions) say({ type: 'sessions' });
}

/** @param {MessageEvent<Told>} event */
function hear({ data: told }) {
  if ('size' in told) say({ type: 'read', size: told.size });
  if (told.type === 'behind') again();
  else if (told.type === 'sessions') {
    const { [told.name]: event } = sessions?.events ?? {};
    event?.(/** @type {never} */ (told.value));
  } else if (told.turn === flow?.turn) flow.told(told);
}

/** The way to the worker. */
function connected() {
  if (port !== undefined) return port;
  port = null;
  if (typeof SharedWorker === 'undefined') return port;
  try {
    // @ts-expect-error not in every browser
    const policy = globalThis.trustedTypes?.createPolicy('darkmux-worker', { createScriptURL: () => WORKER });
    const worker = new SharedWorker(policy?.createScriptURL('') ?? WORKER, { type: 'module', name: NAME });
    port = worker.port;
    port.onmessage = hear;
    worker.onerror = () => {
      // It does not start here: this tab goes on alone.
      port = null;
      flow?.alone();
      sessions?.alone();
    };
    addEventListener('pagehide', () => say({ type: 'bye' }));
    addEventListener('pageshow', ({ persisted }) => persisted && again());
  } catch {
    port = null;
  }
  return port;
}

/**
 * A stream of this tab's own, closed while nobody looks at it.
 *
 * @template {Closable} T @param {() => T} open
 */
function whileSeen(open) {
  /** @type {T | null} */
  let stream = open();
  const turn = () => {
    if (document.visibilityState === 'visible') stream ??= open();
    else {
      stream?.close();
      stream = null;
    }
  };
  globalThis.document?.addEventListener('visibilitychange', turn);
  return {
    stream: () => stream,
    close() {
      globalThis.document?.removeEventListener('visibilitychange', turn);
      stream?.close();
    },
  };
}

/**
 * As `openStream` of the daemon; a tab has one at a time.
 *
 * @param {string} day @param {string} from @param {api.StreamEvents} events
 */
export function openStream(day, from, events) {
  let at = from;
  const onRecord = (/** @type {import('./types.js').Incoming} */ record) => {
    at = record.position || at;
    events.onRecord(record);
  };
  const own = () => whileSeen(() => api.openStream(day, at, { ...events, onRecord }));
  /** @type {ReturnType<typeof own> | null} */
  let alone = null;
  const turn = turns += 1;
  const follow = (/** @type {boolean} */ anew) => say({ type: 'flow', turn, day, at, anew });
  flow = {
    turn,
    follow,
    alone: () => alone = own(),
    told(told) {
      if (told.type === 'flow') for (const [data, position] of told.events) onRecord({ raw: api.parse(data), size: data.length, position });
      else if (told.type === 'open') events.onOpen();
      else if (told.type === 'lost') events.onLost();
      else if (told.type === 'stale') events.onStale(told.missed, '');
    },
  };
  if (connected()) follow(false);
  else flow.alone();
  return {
    /** Opens it again now, unless it is open. */
    wake: () => (alone ? alone.stream()?.wake() : say({ type: 'wake' })),
    /** Gives up a connection that looks open but is mute, and opens a new one. */
    reopen: () => (alone ? alone.stream()?.reopen() : follow(true)),
    close() {
      if (flow?.turn === turn) flow = null;
      alone?.close();
      say({ type: 'flow-end' });
    },
  };
}

/** As `openSessionEvents` of the daemon; a tab has one at a time. @param {api.SessionEvents} events @returns {Reopening} */
export function openSessionEvents(events) {
  const own = () => whileSeen(() => api.openSessionEvents(events));
  /** @type {ReturnType<typeof own> | null} */
  let alone = null;
  sessions = { events, alone: () => alone = own() };
  if (connected()) say({ type: 'sessions' });
  else sessions.alone();
  return {
    reopen: () => (alone ? alone.stream()?.reopen() : say({ type: 'sessions' })),
    close() {
      sessions = null;
      alone?.close();
      say({ type: 'sessions-end' });
    },
  };
}
