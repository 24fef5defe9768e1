/**
 * What the daemon does not stream: sessions, machine and days are asked for again while somebody
 * looks at the page, and sessions at once when a record says that one began or ended.
 *
 * @module
 */

import * as api from './api.js';
import { REDIS_AWAY, readDays, readFleet, readJobs, readMachine, readQueue, readSessions } from './wire.js';

/** @typedef {import('./store.js').Action} Action */

const SESSIONS_MS = 5_000;
const FLEET_MS = 5_000;
const QUEUE_MS = 2_000;
const MACHINE_MS = 30_000;
const DAYS_MS = 60_000;
/** A record of a session's end can arrive just before the session list knows it. */
const SETTLE_MS = 200;

/**
 * @param {(action: Action) => void} dispatch
 * @param {() => void} onUnreachable
 * @param {() => boolean} follows whether the sessions come by events
 */
export function createPolls(dispatch, onUnreachable, follows) {
  /**
   * @param {() => Promise<unknown>} ask
   * @param {(body: unknown) => Action | null} toAction
   * @param {() => Action} [onRefusal]
   */
  function poll(ask, toAction, onRefusal) {
    let busy = false;
    return async () => {
      if (busy) return;
      busy = true;
      try {
        const action = toAction(await ask());
        if (action) dispatch(action);
      } catch (error) {
        if (!(error instanceof api.StatusError)) onUnreachable();
        else if (onRefusal) dispatch(onRefusal());
      } finally {
        busy = false;
      }
    };
  }

  // The events may have begun while the answer was on its way, and they know more.
  const askSessions = poll(api.getSessions, (body) => (follows() ? null : { type: 'sessions/loaded', sessions: readSessions(body) }));
  const sessions = async () => {
    if (!follows()) await askSessions();
  };
  const machine = poll(api.getMachine, (body) => ({ type: 'machine/loaded', machine: readMachine(body) }));
  const fleet = poll(
    api.getFleet,
    (body) => ({ type: 'fleet/loaded', fleet: readFleet(body) }),
    () => ({ type: 'fleet/failed', problem: REDIS_AWAY.fleet }),
  );
  const queue = poll(
    async () => {
      const [whole, jobs] = await Promise.all([api.getQueue(), api.getJobs()]);
      return { whole, jobs };
    },
    (answer) => {
      const { whole, jobs } = /** @type {{whole: unknown, jobs: unknown}} */ (answer);
      return { type: 'queue/loaded', queue: readQueue(whole), jobs: readJobs(jobs) };
    },
    () => ({ type: 'queue/failed', problem: REDIS_AWAY.queue }),
  );
  const days = poll(api.getDays, (body) => ({ type: 'days/loaded', days: readDays(body) }));

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;

  function everything() {
    void sessions();
    void fleet();
    void queue();
    void machine();
    void days();
  }

  /** @param {() => Promise<void>} ask @param {number} ms */
  function every(ask, ms) {
    setInterval(() => {
      if (document.visibilityState === 'visible') void ask();
    }, ms);
  }

  return {
    start() {
      everything();
      every(sessions, SESSIONS_MS);
      every(fleet, FLEET_MS);
      every(queue, QUEUE_MS);
      every(machine, MACHINE_MS);
      every(days, DAYS_MS);
    },
    refresh: everything,
    queueChanged: () => void queue(),
    sessionsChanged() {
      clearTimeout(settling);
      settling = setTimeout(() => void sessions(), SETTLE_MS);
    },
  };
}
