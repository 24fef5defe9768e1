/**
 * What the daemon does not stream: queue, machines, days, and the sessions of a page that nobody has signed in to. They are
 * asked for when records say that they are other than before, when the daemon is back, when somebody looks again; and now
 * and then, for what no record tells: the signs of life of machines, what darkmux 1.9 does.
 *
 * @module
 */

import * as api from './api.js';
import { REDIS_AWAY, readDays, readFleet, readJobs, readMachine, readQueue, readSessions } from './wire.js';

/** @typedef {import('./store.js').Action} Action */
/** @typedef {import('./record.js').Topic} Topic */
/** @typedef {{now: () => void, due: () => boolean, changed: () => void}} Poll */

/** How often it is looked what is due. */
const LOOK_MS = 2_500;
/** How old an answer becomes that nothing was told of. */
const SLOW_MS = 30_000;
/** The same while the machines are looked at: they give a sign of life every few seconds, and no record says that one is missing. */
const SIGNS_MS = 5_000;
/** The same while Redis does not answer. */
const AWAY_MS = 5_000;
const DAYS_MS = 300_000;
/** A record can arrive just before the list knows it, and others follow it. */
const SETTLE_MS = 150;
/** However much is told, nothing is asked for more often. */
const LEAST_MS = 1_000;
/** The daemon gives an answer to others for a second; what was asked at once can be that old. */
const CONFIRM_MS = 1_200;

/**
 * @param {(action: Action) => void} dispatch
 * @param {() => void} onUnreachable
 * @param {() => boolean} follows whether the sessions come by events
 * @param {() => boolean} seesMachines whether the page shows how machines are
 */
export function createPolls(dispatch, onUnreachable, follows, seesMachines) {
  /** @type {Poll[]} */
  const all = [];

  /**
   * @param {() => Promise<unknown>} ask
   * @param {(body: unknown) => Action | null} toAction
   * @param {{every?: () => number, onRefusal?: () => Action, wanted?: () => boolean}} how
   * @returns {Poll}
   */
  function poll(ask, toAction, { every = () => SLOW_MS, onRefusal, wanted = () => true }) {
    let busy = false;
    let refused = false;
    /** By a clock that nobody sets. */
    let asked = -Infinity;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let soon;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let confirming;

    async function now() {
      if (busy || !wanted()) return;
      busy = true;
      asked = performance.now();
      try {
        const action = toAction(await ask());
        refused = false;
        if (action) dispatch(action);
      } catch (error) {
        refused = true;
        if (!(error instanceof api.StatusError)) onUnreachable();
        else if (onRefusal) dispatch(onRefusal());
      } finally {
        busy = false;
      }
    }

    const one = {
      now: () => void now(),
      due: () => performance.now() - asked >= (refused ? AWAY_MS : every()) - LOOK_MS / 2,
      /** It is other than before: in a moment it is known how. */
      changed() {
        soon ??= setTimeout(() => {
          soon = undefined;
          void now();
        }, Math.max(SETTLE_MS, asked + LEAST_MS - performance.now()));
        clearTimeout(confirming);
        confirming = setTimeout(() => void now(), CONFIRM_MS);
      },
    };
    all.push(one);
    return one;
  }

  const sessions = poll(
    api.getSessions,
    // The events may have begun while the answer was on its way, and they know more.
    (body) => (follows() ? null : { type: 'sessions/loaded', sessions: readSessions(body) }),
    { wanted: () => !follows() },
  );
  const fleet = poll(api.getFleet, (body) => ({ type: 'fleet/loaded', fleet: readFleet(body) }), {
    every: () => (seesMachines() ? SIGNS_MS : SLOW_MS),
    onRefusal: () => ({ type: 'fleet/failed', problem: REDIS_AWAY.fleet }),
  });
  const queue = poll(
    async () => {
      const [whole, jobs] = await Promise.all([api.getQueue(), api.getJobs()]);
      return { whole, jobs };
    },
    (answer) => {
      const { whole, jobs } = /** @type {{whole: unknown, jobs: unknown}} */ (answer);
      return { type: 'queue/loaded', queue: readQueue(whole), jobs: readJobs(jobs) };
    },
    { onRefusal: () => ({ type: 'queue/failed', problem: REDIS_AWAY.queue }) },
  );
  poll(api.getMachine, (body) => ({ type: 'machine/loaded', machine: readMachine(body) }), {});
  const days = poll(api.getDays, (body) => ({ type: 'days/loaded', days: readDays(body) }), { every: () => DAYS_MS });
  const topics = { sessions, fleet, queue };

  /** @param {Iterable<Topic>} changed */
  function told(changed) {
    // Whoever comes back to the page asks for everything.
    if (document.visibilityState === 'visible') for (const topic of changed) topics[topic].changed();
  }
  const refresh = () => all.forEach((one) => one.now());

  return {
    start() {
      refresh();
      setInterval(() => {
        if (document.visibilityState === 'visible') all.filter((one) => one.due()).forEach((one) => one.now());
      }, LOOK_MS);
    },
    refresh,
    told,
    /** Somebody looks at the list of days. */
    daysSeen: days.now,
  };
}
