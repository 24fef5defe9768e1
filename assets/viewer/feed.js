/**
 * Brings records into the store and keeps `source` truthful: loads the newest records of the day,
 * streams what follows from exactly there, and says `no daemon` only after the daemon did not
 * answer. Owns the tab's part in the stream of records.
 *
 * @module
 */

import * as api from './api.js';
import { count, shiftDay, utcDay } from './format.js';
import { nextFrame } from './frame.js';
import { canonicalAction, isRecord, text, touches } from './record.js';
import { FIRST_RECORDS, MAX_RECORDS, SEEN_RECORDS } from './records.js';
import { openStream } from './streams.js';
import { readHealth } from './wire.js';

/** @typedef {import('./types.js').Incoming} Incoming */
/** @typedef {import('./store.js').Action} Action */

/** Below this, a day just begun also shows the end of the day before. */
const FEW_RECORDS = 200;
/** Records of one frame go into the store together. */
const BATCH_MS = 40;
/** A hidden tab's timers may run once a minute; its batch must not grow that long. */
const BATCH_MAX = 500;

/**
 * @param {(action: Action) => void} dispatch
 * @param {(topics: ReadonlySet<import('./record.js').Topic>) => void} onTouched Records say that something else may be other than before.
 * @param {() => void} onBack The daemon is there again: anything may be other than before.
 * @param {() => Promise<void>} [drawn] What was told last is on the screen.
 */
export function createFeed(dispatch, onTouched, onBack, drawn = nextFrame) {
  /** @type {ReturnType<typeof openStream> | null} */
  let stream = null;
  /** @type {Incoming[]} */
  let batch = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let batchTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let probeTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let loadTimer;
  let probing = false;
  let open = false;
  /** It was open and is lost. */
  let away = false;
  let failures = 0;
  let loadFailures = 0;
  let limit = FIRST_RECORDS;
  /** The first records are there. @type {() => void} */
  let seen = () => {};
  let shown = false;
  /** What is shown is known not to be what there is, or nothing is. */
  let due = true;
  /** Of the loads the one that was begun last counts. */
  let loads = 0;

  /** @param {import('./types.js').Source} source */
  const say = (source) => dispatch({ type: 'source/changed', source });

  /** @param {string} key @param {string} text */
  const warn = (key, text) => dispatch({ type: 'toast/raised', key, tone: 'warning', text, at: Date.now() });

  function flush() {
    clearTimeout(batchTimer);
    batchTimer = undefined;
    if (batch.length === 0) return;
    const records = batch;
    batch = [];
    dispatch({ type: 'records/streamed', batch: records });
    if (records.some(({ raw }) => isRecord(raw) && raw.action === 'stream.error')) {
      warn('stream.error', "The daemon cannot follow the fleet's flow; other machines' records come when Redis is back. See darkmux doctor.");
    }
    const topics = new Set(records.flatMap(({ raw }) => (isRecord(raw) ? touches(canonicalAction(text(raw.action))) : [])));
    if (topics.size > 0) onTouched(topics);
  }

  /** @param {Incoming} record */
  function receive(record) {
    batch.push(record);
    if (batch.length >= BATCH_MAX) flush();
    else batchTimer ??= setTimeout(flush, BATCH_MS);
  }

  function probeLater() {
    if (probeTimer !== undefined) return;
    probeTimer = setTimeout(probe, api.backoff(failures, Math.random()));
    failures += 1;
  }

  function noProbe() {
    clearTimeout(probeTimer);
    probeTimer = undefined;
  }

  async function probe() {
    if (probing) return;
    noProbe();
    probing = true;
    try {
      dispatch({ type: 'health/loaded', ...readHealth(await api.getHealth()) });
      if (!open) {
        say('reconnecting');
        stream?.wake();
      }
    } catch {
      if (open) stream?.reopen();
      open = false;
      say('no daemon');
    } finally {
      probing = false;
    }
    if (open) failures = 0;
    else probeLater();
  }

  function lost() {
    away = true;
    if (open) {
      open = false;
      failures = 0;
      say('reconnecting');
      void probe();
    } else if (!probing) {
      // Lost before it was open: at once again would be for ever, as fast as the network answers.
      probeLater();
    }
  }

  /** @param {unknown} error */
  function failed(error) {
    const answered = error instanceof api.StatusError;
    dispatch({ type: 'problem/found', problem: answered ? error.message : '' });
    // Over a stream that is open it is no sign of the daemon's.
    if (!open) say(answered ? 'reconnecting' : 'no daemon');
    loadTimer = setTimeout(load, api.backoff(loadFailures, Math.random()));
    loadFailures += 1;
  }

  async function load() {
    clearTimeout(loadTimer);
    const mine = loads += 1;
    const asked = limit;
    try {
      const today = utcDay(Date.now());
      const newest = shown ? null : await api.getRecords(today, SEEN_RECORDS);
      shown = true;
      const all = newest !== null && newest.batch.length < SEEN_RECORDS;
      // Shown before the others are asked for.
      if (newest && !all) {
        dispatch({ type: 'records/loaded', ...newest, partial: true });
        await drawn();
        seen();
      }
      const { batch: records, position, others } = all ? newest : await api.getRecords(today, asked);
      const before = records.length < FEW_RECORDS
        ? (await api.getRecords(shiftDay(today, -1), FEW_RECORDS)).batch
        : [];
      if (mine !== loads) return;
      due = false;
      loadFailures = 0;
      const partial = records.length >= asked || before.length >= FEW_RECORDS;
      dispatch({ type: 'records/loaded', batch: [...before, ...records], position, partial, others });
      follow(today, position);
    } catch (error) {
      if (mine !== loads) return;
      if (asked > FIRST_RECORDS) {
        limit = FIRST_RECORDS;
        warn('day', `The whole day could not be loaded: ${error instanceof api.StatusError ? error.message : 'it takes too long, or the daemon does not answer'}.`);
      }
      if (due) failed(error);
    } finally {
      await drawn();
      seen();
    }
  }

  /** @param {string} day @param {string} position */
  function follow(day, position) {
    stream?.close();
    flush();
    stream = openStream(day, position, {
      onRecord: receive,
      onOpen() {
        open = true;
        failures = 0;
        noProbe();
        say('live');
        if (away) onBack();
        away = false;
      },
      onLost: lost,
      onStale(missed) {
        if (missed > 0) dispatch({ type: 'records/missed', count: missed });
        if (missed > 0) warn('gap', `${count(missed, 'record')} left the log before this page had read them.`);
        due = true;
        void load();
      },
    });
  }

  return {
    /** @returns {Promise<void>} over once the first records are there, or could not be had */
    start: () => new Promise((resolve) => {
      seen = resolve;
      void load();
    }),
    /** All of the day, as far as it is kept here. */
    more() {
      limit = MAX_RECORDS;
      void load();
    },
    /** Something else could not reach the daemon: look whether it is there. */
    check() {
      if (stream) void probe();
    },
    /** The network or the tab is back after a while in which a connection can have died unnoticed. */
    resume() {
      failures = 0;
      noProbe();
      if (due) void load();
      if (stream) {
        stream.reopen();
        if (!open) void probe();
      }
    },
  };
}
