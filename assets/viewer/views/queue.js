/**
 * The fleet's queue at a glance: how many jobs wait and run and for how long, who holds what, what ended last, and
 * the dead letters. A machine without Redis has none.
 *
 * @module
 */

import { age, count, duration } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, h, reconcile, replace, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Queue} Queue */
/** @typedef {import('../types.js').Job} Job */

const MAX_NAME = 80;
const MAX_WHY = 300;
const MAX_JOBS = 30;
const MAX_IDS = 6;
const MAX_LETTERS = 20;

/** @param {Job} job @returns {'open' | 'good' | 'bad' | 'lost'} how it stands, for colour */
export function tone(job) {
  if (job.state === 'running') return 'open';
  if (job.state === 'queued' || job.state === 'waiting') return 'lost';
  return job.state === 'done' ? 'good' : 'bad';
}

/** @param {Job} job @returns {string} its state, with the exit code where there is one that says more */
export function outcome(job) {
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

/** @param {Queue} queue @returns {string} depth, and whether it is handed out */
export function depth(queue) {
  const parts = [`${queue.queued} queued`, `${queue.running} running`];
  if (queue.waiting > 0) parts.splice(1, 0, `${queue.waiting} waiting`);
  if (queue.paused) parts.push('paused');
  return parts.join(' · ');
}

export function createQueue() {
  const panel = byId('queue-panel', HTMLElement);
  const total = byId('queue-count', HTMLElement);
  const problem = byId('queue-problem', HTMLParagraphElement);
  const facts = byId('queue-facts', HTMLDListElement);
  const list = byId('queue-jobs', HTMLOListElement);
  const letters = byId('queue-dead', HTMLOListElement);
  /** @type {Map<string, ReturnType<typeof jobRow>>} */
  let rows = new Map();
  /** @type {unknown} */
  let shownQueue;

  return {
    /** @param {State} state */
    render(state) {
      const { queue, jobs, queueProblem } = state;
      panel.hidden = queue === null && queueProblem === '';
      document.body.toggleAttribute('data-queue', !panel.hidden);
      problem.hidden = queueProblem === '';
      setText(problem, queueProblem);
      setText(total, queue === null ? '' : depth(queue));
      if (queue !== shownQueue) {
        shownQueue = queue;
        replace(facts, ...(queue === null ? [] : summary(queue)));
        replace(letters, ...(queue === null ? [] : dead(queue)));
      }
      const now = queue === null ? state.now : queue.now + state.now - state.queueAt;
      const next = new Map();
      for (const job of jobs.slice(0, MAX_JOBS)) {
        const row = rows.get(job.id) ?? jobRow(job.id);
        row.update(job, now);
        next.set(job.id, row);
      }
      rows = next;
      reconcile(list, [...next.values()].map((row) => row.element));
    },
  };
}

/** @param {Queue} queue */
function summary(queue) {
  const rows = [];
  if (queue.oldest >= 0) rows.push(h('dt', {}, 'Oldest'), h('dd', {}, `waits ${duration(queue.oldest)}`));
  for (const { machine, ids } of queue.holds) {
    const named = ids.slice(0, MAX_IDS).map((id) => oneLine(id, MAX_NAME)).join(', ');
    const more = ids.length > MAX_IDS ? ` and ${ids.length - MAX_IDS} more` : '';
    rows.push(h('dt', {}, oneLine(machine, MAX_NAME)), h('dd', {}, `runs ${named}${more}`));
  }
  if (queue.drained.length > 0) {
    rows.push(h('dt', {}, 'Drained'), h('dd', {}, queue.drained.map((name) => oneLine(name, MAX_NAME)).join(', ')));
  }
  return rows;
}

/** @param {string} id */
function jobRow(id) {
  const name = h('span', { class: 'session-title' });
  const badge = h('span', { class: 'session-outcome' });
  const what = h('span', { class: 'session-what' });
  const when = h('span', { class: 'session-when' });
  const element = h('li', { class: 'machine', title: oneLine(id, MAX_NAME), data: { jobId: id } },
    h('span', { class: 'session-line' }, name, badge),
    h('span', { class: 'session-line' }, what, when));
  return {
    element,
    /** @param {Job} job @param {number} now by the clock of Redis */
    update(job, now) {
      element.dataset.state = job.state;
      element.dataset.tone = tone(job);
      setText(name, oneLine(job.name || id, MAX_NAME));
      setText(badge, outcome(job));
      setText(what, [oneLine(job.role, MAX_NAME), oneLine(job.machine, MAX_NAME)].filter(Boolean).join(' · '));
      setText(when, times(job, now));
    },
  };
}

/** @param {Queue} queue */
function dead(queue) {
  if (queue.dead === 0) return [];
  const shownLetters = queue.letters.slice(0, MAX_LETTERS);
  return [
    h('li', { class: 'warning' }, `${count(queue.dead, 'dead letter')}: darkmux job dead`),
    ...shownLetters.map((letter) => h('li', { class: 'machine', data: { entry: letter.entry } },
      h('span', { class: 'session-title' }, oneLine(letter.job || letter.entry, MAX_NAME)),
      h('span', { class: 'session-what' }, oneLine(letter.why, MAX_WHY)))),
  ];
}
