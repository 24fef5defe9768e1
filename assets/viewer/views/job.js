/**
 * The page of one job: how it stands and why, its attempts, which machines could run it, its output on a clock, and its
 * records on the same clock.
 *
 * @module
 */

import { clock, duration, moment, utc } from '../format.js';
import { rowsFor } from '../replay.js';
import { machinePath, sessionPath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { summarize } from '../summary.js';
import { signInHint } from './account.js';
import { judgementTable } from './dispatch.js';
import { byId, commandLine, h, replace, setText } from './dom.js';
import { hasEnded, outcome, queueNow, times, tone } from './jobs.js';
import { createPlayer } from './player.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Job} Job */
/** @typedef {import('../types.js').Piece} Piece */

const MAX_FACT = 300;
const MAX_RECORDS = 200;

/**
 * @typedef {object} JobActions
 * @property {(id: string, what: 'cancel' | 'retry') => void} jobAct
 * @property {(seconds: number) => void} moment
 * @property {(url: string) => void} openLink
 */

/** @param {JobActions} actions */
export function createJob(actions) {
  const page = byId('page-job', HTMLElement);
  const head = h('div', { class: 'page-head' });
  const when = h('span', { class: 'note' });
  const facts = h('div', {});
  const output = h('section', { class: 'job-output' });
  const list = h('ol', { class: 'job-records', 'aria-label': 'Records of the job' });
  const recordsSection = h('section', {}, h('h3', {}, 'Records', h('span', { class: 'note' }, 'a click shows the output at that moment')), list);
  page.append(head, facts, output, recordsSection);
  let shown = '';
  let shownRecords = '';
  /** @type {{id: string, player: ReturnType<typeof createPlayer>, loaded: number} | null} */
  let playing = null;

  /** @param {State} state @param {string} id @param {Job | undefined} job */
  function build(state, id, job) {
    const detail = state.jobDetail;
    const name = oneLine(job?.name || id, MAX_FACT);
    replace(head, h('h2', { title: oneLine(id, MAX_FACT) }, h('a', { class: 'crumb', href: '/queue' }, 'Queue / '), name),
      job && h('span', { class: 'session-outcome', data: { tone: tone(job) } }, outcome(job)), when, h('span', { class: 'spacer' }),
      state.sessions.some((one) => one.id === id) && h('a', { class: 'button', href: sessionPath(id) }, 'Terminal'),
      job && state.access === 'act' && state.queue !== null && h('button', { type: 'button', on: { click: () => actions.jobAct(id, hasEnded(job) ? 'retry' : 'cancel') } }, hasEnded(job) ? 'Retry' : 'Cancel'));
    output.hidden = !job && detail?.state === 'gone';
    if (!job) {
      const gone = detail?.state === 'gone' || detail?.state === 'failed';
      replace(facts, gone
        ? h('div', { class: 'teach' }, h('h3', {}, detail?.state === 'gone' ? 'There is no such job any more' : 'Redis does not say'), h('p', {}, 'Ended jobs are kept for a time; their records are below.'), commandLine('darkmux job ls --all'))
        : h('p', { class: 'note' }, 'Asking the daemon…'));
      return;
    }
    const why = oneLine(job.why || job.parked || job.cancel, MAX_FACT * 2);
    replace(facts,
      why !== '' && h('p', { class: 'banner' }, why),
      h('dl', { class: 'facts job-facts' }, ...factsOf(job)),
      job.attempts.length > 0 && h('section', {}, h('h3', {}, 'Attempts'), attempts(job)),
      !hasEnded(job) && job.state !== 'running' && detail && detail.machines.length > 0
        && h('section', {}, h('h3', {}, 'Which machines can run it', h('span', { class: 'note' }, oneLine(detail.why, MAX_FACT))), judgementTable(detail.machines)));
  }

  /** @param {State} state @param {string} id */
  function renderOutput(state, id) {
    if (playing?.id !== id) {
      playing?.player.dispose();
      const player = createPlayer(actions.moment, actions.openLink);
      playing = { id, player, loaded: -1 };
      if (state.access === 'none') replace(output, h('h3', {}, 'Output'), h('div', { class: 'sign-in' }, ...signInHint('To see its output, sign this browser in:')));
      else replace(output, h('h3', {}, 'Output'), h('p', { class: 'note', id: 'job-output-note' }, 'Asking for the output…'));
    }
  }

  /** @param {State} state */
  function renderRecords(state) {
    const found = state.records.filter((one) => one.session === state.place.route.id);
    const now = `${found.length} ${found.at(-1)?.key}`;
    recordsSection.hidden = found.length === 0;
    if (now === shownRecords) return;
    shownRecords = now;
    playing?.player.setRecords(found);
    replace(list, ...found.slice(-MAX_RECORDS).map((entry) => h('li', { data: { level: entry.level, tier: entry.tier } },
      h('button', { type: 'button', class: 'job-record', on: { click: () => playing?.player.seekTo(entry.at) } },
        h('time', { title: utc(entry.at) }, clock(entry.at)), h('span', { class: 'record-action' }, oneLine(entry.action, 60)), h('span', { class: 'record-summary' }, summarize(entry))))));
  }

  return {
    /** @param {State} state */
    render(state) {
      const { page: where, id } = state.place.route;
      if (where !== 'job') {
        playing?.player.dispose();
        playing = null;
        shown = shownRecords = '';
        output.replaceChildren();
        return;
      }
      const job = state.jobDetail?.job ?? state.jobs.find((one) => one.id === id);
      const now = JSON.stringify([id, job, state.jobDetail, state.access, state.queue === null, state.sessions.some((one) => one.id === id)]);
      if (now !== shown) {
        shown = now;
        build(state, id, job);
      }
      if (job) setText(when, [oneLine(job.role, 60), times(job, queueNow(state))].filter(Boolean).join(' · '));
      renderOutput(state, id);
      renderRecords(state);
    },
    /** @param {string} id @param {Piece[]} pieces @param {State} state */
    showOutput(id, pieces, state) {
      if (playing?.id !== id) return;
      if (pieces.length === 0) {
        const note = document.getElementById('job-output-note');
        if (note) setText(note, 'Nothing of its output is kept, or it has shown nothing yet.');
        return;
      }
      const session = state.sessions.find((one) => one.id === id);
      const size = { cols: session?.cols || 80, rows: rowsFor(pieces, session?.rows || 24) };
      if (!playing.player.element.isConnected) replace(output, h('h3', {}, 'Output'), playing.player.element);
      void playing.player.open().then(() => playing?.player.resize(size.cols, size.rows));
      playing.player.load(pieces, { seconds: playing.loaded < 0 ? state.place.at : NaN, size, cut: pieces[0].offset > 0 });
      playing.player.setRecords(state.records.filter((one) => one.session === id));
      playing.loaded = pieces.length;
    },
    /** @param {string} id @param {string} why */
    failOutput(id, why) {
      const note = document.getElementById('job-output-note');
      if (playing?.id === id && note) setText(note, why);
    },
  };
}

/** @param {Job} job */
function factsOf(job) {
  /** @param {string} name @param {string | Node} value @param {string} [title] */
  const fact = (name, value, title = '') => (value === '' ? [] : [h('dt', {}, name), h('dd', { title: title !== '' && title }, typeof value === 'string' ? oneLine(value, MAX_FACT) : value)]);
  return [
    ...fact('Id', job.id),
    ...fact('Machine', job.machine === '' ? '' : h('a', { href: machinePath(job.machine) }, oneLine(job.machine, MAX_FACT))),
    ...fact('Published by', job.publishedBy),
    ...fact('Only on', job.pin),
    ...fact('Needs', job.require.join(', ')),
    ...fact('Priority', job.priority === 'normal' ? '' : job.priority),
    ...fact('Queued', moment(job.queued), utc(job.queued)),
    ...fact('Started', moment(job.started), utc(job.started)),
    ...fact('Ended', moment(job.finished), utc(job.finished)),
    ...fact('Exit code', job.exitCode === null ? '' : String(job.exitCode)),
    ...fact('Folder', job.workdir),
    ...job.declined.flatMap(([machine, why]) => fact(`${oneLine(machine, 64)} gave it back`, why)),
  ];
}

/** @param {Job} job */
function attempts({ attempts: all }) {
  return h('div', { class: 'table-frame' }, h('table', { class: 'table' },
    h('thead', {}, h('tr', {}, ...['Attempt', 'Machine', 'Began', 'Took', 'How it ended'].map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, ...all.slice(-50).map((one) => h('tr', {},
      h('td', {}, String(one.number)), h('td', {}, oneLine(one.machine, 64)), h('td', { class: 'dim', title: utc(one.started) }, moment(one.started)),
      h('td', { class: 'dim' }, duration(one.ended - one.started)), h('td', {}, oneLine(one.how, 60)))))));
}
