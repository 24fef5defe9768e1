/**
 * How a job is put into words. Pure.
 *
 * @module
 */

import { age, duration } from '../format.js';
import { oneLine } from '../sanitize.js';

/** @typedef {import('../types.js').Queue} Queue */
/** @typedef {import('../types.js').Job} Job */

const MAX_NAME = 80;

/** @param {Job} job @returns {'open' | 'good' | 'bad' | 'lost'} how it stands, for colour */
export function tone(job) {
  if (job.state === 'running') return 'open';
  if (job.state === 'queued' || job.state === 'waiting') return 'lost';
  return job.state === 'done' ? 'good' : 'bad';
}

/** @param {Job} job */
export const hasEnded = (job) => !['queued', 'waiting', 'running'].includes(job.state);

/** @param {Job} job @returns {boolean} whether no machine that is alive can run it */
export const isParked = (job) => job.state === 'queued' && job.parked !== '';

/** @param {Job} job @returns {string} its state, with the exit code where there is one that says more */
export function outcome(job) {
  if (isParked(job)) return 'parked';
  if (job.state === 'running' && job.cancel !== '') return 'ending';
  const failed = job.state === 'failed' && job.exitCode !== null;
  return failed ? `exit ${job.exitCode}` : oneLine(job.state, MAX_NAME);
}

/** @param {Job} job @param {number} now @returns {string} how long it waits, runs, or ran and when it ended */
export function times(job, now) {
  if (job.state === 'queued') return `waits ${duration(now - job.queued)}`;
  if (job.state === 'waiting') return job.due > now ? `due in ${duration(job.due - now)}` : 'due';
  if (job.state === 'running') return duration(now - job.started);
  return [duration(job.finished - job.started), age(now - job.finished)].filter(Boolean).join(' · ');
}

/** What the codes of dead letters mean, and what is to be thought of. @type {{[code: string]: [string, string]}} */
const CODES = {
  'lease-lost': ['its runner was lost', 'It may have done some of its work. Requeue it to run it again, or drop it.'],
  refused: ['its runner gave it up', 'Its page says why. Requeue it when that is mended, or drop it.'],
};

/** @param {Queue['letters'][number]} letter @returns {{code: string, words: string, advice: string}} why it is dead, and what to do; `code` is empty where the reason is in words */
export function lettered({ why, job }) {
  const [words, advice] = Object.hasOwn(CODES, why) ? CODES[why] : [why, job === '' ? 'It is no job that could be run. Drop it.' : 'Requeue it when that is mended, or drop it.'];
  return { code: words === why ? '' : why, words, advice };
}

/** @param {Queue} queue @returns {string} depth, and whether it is handed out */
export function depth(queue) {
  const parts = [`${queue.queued} queued`, `${queue.running} running`];
  if (queue.waiting > 0) parts.splice(1, 0, `${queue.waiting} waiting`);
  if (queue.paused) parts.push('paused');
  return parts.join(' · ');
}

/** @param {readonly Job[]} jobs @param {number} now @returns {{ended: number, failed: number}} of the last hour */
export function lastHour(jobs, now) {
  const ended = jobs.filter((job) => hasEnded(job) && now - job.finished <= 3_600_000);
  return { ended: ended.length, failed: ended.filter(({ state }) => state !== 'done').length };
}

/** @param {import('../types.js').State} state @returns {number} the time by the clock that jobs are timed with */
export const queueNow = ({ queue, now, queueAt }) => (queue === null || !(queue.now > 0) ? now : queue.now + now - queueAt);
