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
  /** Since the reader came to the page of this job; what is answered to an earlier visit is not for this one. */
  let visit = newVisit('');
  let busy = false;
  /** Asked for while an answer was on its way. */
  let again = false;
  let asked = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let telling;

  const wanted = () => (store.state().place.route.page === 'job' ? store.state().place.route.id : '');

  const signedIn = () => ['act', 'watch'].includes(store.state().access);

  async function output(/** @type {Visit} */ mine) {
    if (!signedIn()) return;
    let fresh = mine.first;
    for (let more = true; more;) {
      const part = await act.jobOutput(mine.id, mine.next);
      if (visit !== mine) return;
      fresh ||= part.pieces.length > 0;
      mine.pieces = mine.pieces.concat(part.pieces);
      mine.next = part.next;
      more = part.more;
    }
    let size = mine.pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
    while (size > MAX_BYTES) size -= mine.pieces.shift()?.bytes.length ?? size;
    if (fresh) view.showOutput(mine.id, mine.pieces, store.state());
    mine.first = false;
  }

  async function look() {
    if (wanted() !== visit.id) visit = newVisit(wanted());
    const mine = visit;
    const { id } = mine;
    again = busy;
    if (id === '' || busy || mine.over || document.visibilityState !== 'visible') return;
    busy = true;
    asked = performance.now();
    try {
      const job = readJob(await api.getJob(id));
      const open = job !== null && ['queued', 'waiting'].includes(job.state);
      const judged = open && signedIn() ? await act.explainJob(id) : { why: '', machines: [] };
      if (visit !== mine) return;
      store.dispatch({ type: 'job/seen', detail: { id, state: job ? 'there' : 'gone', job, ...judged } });
      await output(mine);
      if (visit !== mine) return;
      view.failOutput(id, '');
      // What has ended says nothing more, until somebody tries it again.
      mine.over = job === null || (!open && job.state !== 'running' && !mine.first);
    } catch (error) {
      if (visit !== mine) return;
      const gone = error instanceof api.StatusError && error.status === 404;
      mine.over = gone;
      const before = store.state().jobDetail?.job ?? null;
      store.dispatch({ type: 'job/seen', detail: { id, state: gone ? 'gone' : 'failed', job: gone ? null : before, why: '', machines: [] } });
      if (!gone) view.failOutput(id, error instanceof Error ? error.message : String(error));
    } finally {
      busy = false;
      if (again) void look();
    }
  }

  return {
    start() {
      setInterval(() => {
        const runs = store.state().jobDetail?.job?.state === 'running';
        if (runs || performance.now() - asked >= SLOW_MS) void look();
      }, EVERY_MS);
      let { access } = store.state();
      // Output is for who is signed in, which becomes known after the page is shown.
      store.subscribe(() => {
        if (store.state().access === access) return;
        access = store.state().access;
        // Neither what only signed-in pages may know, nor what only others were told, stays.
        visit = newVisit('');
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
      visit.over = false;
      void look();
    },
  };
}

/** @typedef {{id: string, next: string, first: boolean, pieces: Piece[], over: boolean}} Visit */

/** @param {string} id of a job @returns {Visit} nothing is known of it yet */
const newVisit = (id) => ({ id, next: '', first: true, pieces: [], over: false });
