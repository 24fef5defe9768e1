/**
 * Asks for what only the page of one job shows, while it is looked at: the job, why it is where it is, and its output.
 *
 * @module
 */

import * as act from './act.js';
import * as api from './api.js';
import { readJob } from './wire.js';

/** @typedef {import('./types.js').State} State */
/** @typedef {import('./types.js').Piece} Piece */

/** How often its output is asked for while it runs. */
const EVERY_MS = 2_000;
/** The same for how it stands, where no record told of a change: which machines could run it is in no record. */
const SLOW_MS = 10_000;
/** Records of one change come together. */
const SETTLE_MS = 200;
/** Bytes of output kept in the page. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * @param {ReturnType<typeof import('./store.js').createStore>} store
 * @param {{showOutput: (id: string, pieces: Piece[], state: State) => void, failOutput: (id: string, why: string) => void}} view
 */
export function createJobFeed(store, view) {
  let id = '';
  let busy = false;
  let next = '';
  let first = true;
  /** @type {Piece[]} */
  let pieces = [];
  let over = false;
  /** Asked for while an answer was on its way. */
  let again = false;
  let asked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let telling;

  const wanted = () => (store.state().place.route.page === 'job' ? store.state().place.route.id : '');

  async function output(/** @type {string} */ mine) {
    const signedIn = ['act', 'watch'].includes(store.state().access);
    if (!signedIn) return;
    let fresh = first;
    for (let more = true; more;) {
      const part = await act.jobOutput(mine, next);
      if (id !== mine) return;
      fresh ||= part.pieces.length > 0;
      pieces = pieces.concat(part.pieces);
      next = part.next;
      more = part.more;
    }
    let size = pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
    while (size > MAX_BYTES) size -= pieces.shift()?.bytes.length ?? size;
    if (fresh) view.showOutput(mine, pieces, store.state());
    first = false;
  }

  async function look() {
    const mine = wanted();
    if (mine !== id) {
      id = mine;
      next = '';
      first = true;
      pieces = [];
      over = false;
    }
    again = busy;
    if (id === '' || busy || over || document.visibilityState !== 'visible') return;
    busy = true;
    asked = Date.now();
    try {
      const job = readJob(await api.getJob(mine));
      const open = job !== null && ['queued', 'waiting'].includes(job.state);
      const signedIn = ['act', 'watch'].includes(store.state().access);
      const judged = open && signedIn ? await act.explainJob(mine) : { why: '', machines: [] };
      if (id !== mine) return;
      store.dispatch({ type: 'job/seen', detail: { id: mine, state: job ? 'there' : 'gone', job, ...judged } });
      await output(mine);
      // What has ended says nothing more, until somebody tries it again.
      over = job === null || (signedIn && !open && job.state !== 'running' && !first);
    } catch (error) {
      if (id !== mine) return;
      const gone = error instanceof api.StatusError && error.status === 404;
      over = gone;
      const before = store.state().jobDetail?.job ?? null;
      store.dispatch({ type: 'job/seen', detail: { id: mine, state: gone ? 'gone' : 'failed', job: gone ? null : before, why: '', machines: [] } });
      if (!gone) view.failOutput(mine, error instanceof Error ? error.message : String(error));
    } finally {
      busy = false;
      if (again) void look();
    }
  }

  return {
    start() {
      setInterval(() => {
        const runs = store.state().jobDetail?.job?.state === 'running';
        if (runs || Date.now() - asked >= SLOW_MS) void look();
      }, EVERY_MS);
      let { access } = store.state();
      // Output is for who is signed in, which becomes known after the page is shown.
      store.subscribe(() => {
        if (store.state().access === access) return;
        access = store.state().access;
        void look();
      });
    },
    /** What records say may be other than before. @param {Iterable<import('./record.js').Topic>} topics */
    told(topics) {
      if (![...topics].includes('queue')) return;
      telling ??= setTimeout(() => {
        telling = undefined;
        void look();
      }, SETTLE_MS);
    },
    /** Another job, or something was done to this one. */
    again() {
      over = false;
      void look();
    },
  };
}
