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
  let retryTimer;
  let probing = false;
  let open = false;
  /** It was open and is lost. */
  let away = false;
  let failures = 0;
  let limit = FIRST_RECORDS;
  /** The first records are there. @type {() => void} */
  let seen = () => {};
  let shown = false;

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

  /** @param {() => void} action */
  function later(action) {
    clearTimeout(retryTimer);
    retryTimer = setTimeout(action, api.backoff(failures, Math.random()));
    failures += 1;
  }

  async function probe() {
    if (probing) return;
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
    else later(probe);
  }

  function lost() {
    if (open) {
      failures = 0;
      say('reconnecting');
    }
    open = false;
    away = true;
    void probe();
  }

  /** @param {unknown} error @param {() => void} again */
  function failed(error, again) {
    const answered = error instanceof api.StatusError;
    dispatch({ type: 'problem/found', problem: answered ? error.message : '' });
    say(answered ? 'reconnecting' : 'no daemon');
    later(again);
  }

  async function load() {
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
      const { batch: records, position } = all ? newest : await api.getRecords(today, limit);
      const before = records.length < FEW_RECORDS
        ? (await api.getRecords(shiftDay(today, -1), FEW_RECORDS)).batch
        : [];
      const partial = records.length >= limit || before.length >= FEW_RECORDS;
      dispatch({ type: 'records/loaded', batch: [...before, ...records], position, partial });
      follow(today, position);
    } catch (error) {
      failed(error, load);
    }
    await drawn();
    seen();
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
        clearTimeout(retryTimer);
        say('live');
        if (away) onBack();
        away = false;
      },
      onLost: lost,
      onStale(missed) {
        if (missed > 0) dispatch({ type: 'records/missed', count: missed });
        if (missed > 0) warn('gap', `${count(missed, 'record')} left the log before this page had read them.`);
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
      clearTimeout(retryTimer);
      if (!stream) void load();
      else {
        stream.reopen();
        if (!open) void probe();
      }
    },
  };
}
