/**
 * The page of the fleet's queue: depth, age and throughput, who holds what, every job that has not ended and the newest
 * others, and the dead letters; and what may be done about each.
 *
 * @module
 */

import { count, duration, utc } from '../format.js';
import { jobPath, machinePath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { byId, commandLine, h, replace, setText } from './dom.js';
import { depth, hasEnded, lastHour, lettered, outcome, queueNow, times, tone } from './jobs.js';
import { createTable } from './table.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Queue} Queue */
/** @typedef {import('../types.js').Job} Job */

const MAX_NAME = 80;
const MAX_WHY = 300;
const MAX_JOBS = 200;
const MAX_IDS = 6;
/** What the daemon lists of ended jobs. */
const ENDED_LISTED = 100;

/**
 * @typedef {object} QueueActions
 * @property {(id: string, what: 'cancel' | 'retry' | 'offer') => void} jobAct
 * @property {(entry: string, what: 'requeue' | 'drop') => void} letterAct
 * @property {(what: 'pause' | 'resume') => void} queueAct
 * @property {() => void} dispatch
 */

/** @typedef {{now: number, may: boolean, actions: QueueActions}} Context */

/** @type {import('./table.js').Column<Job, Context>[]} */
const JOBS = [
  {
    name: 'Job',
    nodes: (job) => [`${job.name}\n${job.id}`, () => [
      h('a', { href: jobPath(job.id) }, oneLine(job.name || job.id, MAX_NAME)), job.name !== '' && h('span', { class: 'sub' }, oneLine(job.id, MAX_NAME)),
    ]],
    title: (job) => oneLine(job.id, MAX_NAME),
  },
  { name: 'State', nodes: (job) => [outcome(job), () => [h('span', { class: 'session-outcome' }, outcome(job))]], title: (job) => oneLine(job.parked || job.why || job.cancel, MAX_WHY) },
  { name: 'Role', kind: 'wide-only', text: (job) => oneLine(job.role, MAX_NAME) },
  { name: 'Machine', kind: 'wide-only', text: (job) => oneLine(job.machine || (job.pin && `only ${job.pin}`), MAX_NAME) },
  { name: 'Time', kind: 'dim', text: (job, { now }) => times(job, now), title: (job) => utc(job.finished || job.started || job.queued) },
  { name: 'Attempt', kind: 'number wide-only', text: (job) => (job.attempt > 0 ? String(job.attempt) : '') },
  { name: 'Why', kind: 'dim rest wide-only', text: (job) => oneLine(job.parked || job.why || job.cancel, MAX_WHY), title: (job) => oneLine(job.parked || job.why || job.cancel, MAX_WHY) },
  {
    name: '', said: 'What can be done', kind: 'acts wide-only',
    nodes: (job, { may, actions }) => [`${may} ${job.state}`, () => (may ? [h('span', { class: 'row-acts' }, hasEnded(job)
      ? h('button', { type: 'button', 'data-acts': true, 'aria-label': `Retry ${oneLine(job.name || job.id, MAX_NAME)}`, on: { click: () => actions.jobAct(job.id, 'retry') } }, 'Retry')
      : h('button', { type: 'button', 'data-acts': true, 'aria-label': `Cancel ${oneLine(job.name || job.id, MAX_NAME)}`, on: { click: () => actions.jobAct(job.id, 'cancel') } }, 'Cancel'))] : [])],
  },
];

/** @type {import('./table.js').Column<Queue['letters'][number], Context>[]} */
const LETTERS = [
  { name: 'Job', nodes: (letter) => [letter.job, () => [letter.job === '' ? h('span', { class: 'dim' }, 'no job') : h('a', { href: jobPath(letter.job) }, oneLine(letter.job, MAX_NAME))]] },
  { name: 'Since', kind: 'dim', text: ({ entry }, { now }) => `${duration(now - Number(entry.split('-')[0]))}`, title: ({ entry }) => utc(Number(entry.split('-')[0])) },
  {
    name: 'Why', kind: 'wrap',
    nodes: (letter) => [`${letter.job}\n${letter.why}`, () => [oneLine(lettered(letter).words, MAX_WHY), h('span', { class: 'sub' }, lettered(letter).advice)]],
    title: (letter) => lettered(letter).code,
  },
  {
    name: '', said: 'What can be done', kind: 'acts',
    nodes: ({ entry, job }, { may, actions }) => [String(may), () => (may ? [h('span', { class: 'row-acts' },
      job !== '' && h('button', { type: 'button', 'data-acts': true, 'aria-label': `Requeue ${oneLine(job, MAX_NAME)}`, on: { click: () => actions.letterAct(entry, 'requeue') } }, 'Requeue'),
      h('button', { type: 'button', 'data-acts': true, 'aria-label': `Drop ${oneLine(job || entry, MAX_NAME)}`, on: { click: () => actions.letterAct(entry, 'drop') } }, 'Drop'))] : [])],
  },
];

/** @param {QueueActions} actions */
export function createQueue(actions) {
  const page = byId('page-queue', HTMLElement);
  const total = h('span', { id: 'queue-count', class: 'note' });
  const pause = h('button', { type: 'button', 'data-acts': true, id: 'queue-pause' });
  const dispatch = h('button', { type: 'button', class: 'primary', 'data-acts': true, on: { click: actions.dispatch } }, 'Dispatch…');
  const problem = h('p', { id: 'queue-problem', class: 'banner', role: 'status', hidden: true });
  const paused = h('div', { class: 'banner', role: 'status', hidden: true }, 'The queue is paused: running jobs go on, no other is handed out anywhere.');
  const tiles = h('dl', { class: 'tiles' });
  const facts = h('dl', { id: 'queue-facts', class: 'facts' });
  const jobs = createTable(JOBS, (job) => job.id, (job) => ({ jobId: job.id, state: job.state, tone: tone(job) }), { id: 'queue-jobs', label: 'Jobs, newest first' });
  const letters = createTable(LETTERS, (letter) => letter.entry, (letter) => ({ entry: letter.entry }), { id: 'queue-dead', label: 'Dead letters' });
  const deadTitle = h('h3', {});
  const holds = h('section', {}, h('h3', {}, 'Who holds what'), facts);
  const dead = h('section', {}, deadTitle, letters.element);
  const there = h('div', {}, tiles, holds, h('section', {}, h('h3', {}, 'Jobs'), jobs.element), dead);
  const none = h('div', { class: 'teach' });
  page.append(h('div', { class: 'page-head' }, h('h2', {}, 'Queue'), total, h('span', { class: 'spacer' }), pause, dispatch), problem, paused, there, none);
  pause.addEventListener('click', () => actions.queueAct(pause.dataset.what === 'resume' ? 'resume' : 'pause'));
  /** @type {unknown} */
  let shownQueue;

  /** @param {State} state */
  function renderNone({ queue, jobs: listed, queueProblem, machine, access }) {
    none.hidden = !(queue === null || listed.length === 0) || queueProblem !== '';
    // What is not known yet is not said.
    const about = queue !== null ? 'jobs' : machine?.redis === '' ? 'queue' : '';
    if (none.hidden || none.dataset.about === about) return;
    none.dataset.about = about;
    if (about === 'queue') {
      replace(none, h('h3', {}, 'This machine has no queue'), h('p', {}, 'Machines that share a Redis hand jobs to each other. On each of them:'),
        commandLine('darkmux config set redis.url redis://hub:6379'), commandLine('darkmux serve'));
    } else if (about === 'jobs') {
      replace(none, h('h3', {}, 'No jobs yet'), h('p', {}, access === 'act' ? 'Dispatch one here, or from any shell:' : 'Dispatch one from any shell:'), commandLine("darkmux crew dispatch shell --fleet --message 'echo hi'"));
    }
  }

  return {
    /** @param {State} state */
    render(state) {
      if (state.place.route.page !== 'queue') return;
      const { queue, queueProblem } = state;
      const may = state.access === 'act' && queue !== null;
      setText(total, queue === null ? '' : depth(queue));
      pause.hidden = dispatch.hidden = !may;
      setText(pause, queue?.paused ? 'Resume' : 'Pause');
      pause.dataset.what = queue?.paused ? 'resume' : 'pause';
      problem.hidden = queueProblem === '';
      setText(problem, queueProblem);
      paused.hidden = !queue?.paused;
      there.hidden = queue === null;
      renderNone(state);
      if (queue === null) return;
      const now = queueNow(state);
      if (queue !== shownQueue) {
        shownQueue = queue;
        replace(facts, ...summary(queue));
        replace(tiles, ...tilesOf(queue, state.jobs, now));
      }
      holds.hidden = queue.holds.length === 0 && queue.drained.length === 0;
      const context = { now, may, actions };
      jobs.update(state.jobs.slice(0, MAX_JOBS), context);
      letters.update(queue.letters, context);
      dead.hidden = queue.dead === 0;
      replace(deadTitle, count(queue.dead, 'dead letter'), h('span', { class: 'note' }, `not tried again by themselves${queue.dead > queue.letters.length ? ` · the newest ${queue.letters.length}; darkmux job dead lists all` : ''}`));
    },
  };
}

/** @param {Queue} queue @param {Job[]} jobs @param {number} now */
function tilesOf(queue, jobs, now) {
  const hour = lastHour(jobs, now);
  const ended = jobs.filter(hasEnded).length;
  const more = ended >= ENDED_LISTED && hour.ended >= ENDED_LISTED ? '≥ ' : '';
  /** @type {[string, string, string][]} */
  const all = [
    ['Queued', String(queue.queued), ''],
    ['Waiting', String(queue.waiting), ''],
    ['Running', String(queue.running), queue.running > 0 ? 'open' : ''],
    ['Oldest waits', queue.oldest >= 0 ? duration(queue.oldest).replace(/^(\d+ (?:min|h|d)) .*/, '$1') : '–', queue.oldest > 600_000 ? 'warn' : ''],
    ['Ended, last hour', `${more}${hour.ended}`, ''],
    ['Failed, last hour', String(hour.failed), hour.failed > 0 ? 'bad' : ''],
    ['Dead letters', String(queue.dead), queue.dead > 0 ? 'warn' : ''],
  ];
  return all.map(([name, value, colour]) => h('div', { class: 'tile', data: { tone: colour } }, h('dt', {}, name), h('dd', { title: value }, value)));
}

/** @param {Queue} queue */
function summary(queue) {
  const rows = [];
  for (const { machine, ids } of queue.holds) {
    const more = ids.length > MAX_IDS ? ` and ${ids.length - MAX_IDS} more` : '';
    const named = ids.slice(0, MAX_IDS).flatMap((id, at) => [at > 0 ? ', ' : '', h('a', { href: jobPath(id) }, oneLine(id, MAX_NAME))]);
    rows.push(h('dt', {}, h('a', { href: machinePath(machine) }, oneLine(machine, MAX_NAME))), h('dd', {}, 'runs ', ...named, more));
  }
  if (queue.drained.length > 0) {
    rows.push(h('dt', {}, 'Drained'), h('dd', {}, queue.drained.map((name) => oneLine(name, MAX_NAME)).join(', ')));
  }
  return rows;
}
