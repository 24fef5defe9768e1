/**
 * The page of one job: how it stands and why, its attempts, which machines could run it, its output on a clock, and its
 * records on the same clock.
 *
 * @module
 */

import { clock, duration, moment, utc } from '../format.js';
import { changeOf } from '../records.js';
import { rowsFor } from '../replay.js';
import { machinePath, sessionPath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { summarize } from '../summary.js';
import { signInHint } from './account.js';
import { agentResult } from './agent-result.js';
import { judgementTable } from './dispatch.js';
import { byId, commandLine, factNode, h, replace, setText } from './dom.js';
import { hasEnded, isParked, outcome, queueNow, times, tone } from './jobs.js';
import { createPlayer } from './player.js';
import { createTile } from './tile.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Job} Job */
/** @typedef {import('../types.js').Piece} Piece */
/** @typedef {import('../types.js').Entry} Entry */

const MAX_FACT = 300;
const MAX_RECORDS = 200;

/**
 * @typedef {object} JobActions
 * @property {(id: string, what: 'cancel' | 'retry' | 'offer') => void} jobAct
 * @property {(seconds: number) => void} moment
 * @property {(url: string) => void} openLink
 */

/** @param {State} state @param {string} id of a job @returns {import('../types.js').Session | undefined} its session, here or on a peer; the one that runs before others */
export function sessionOfJob({ sessions }, id) {
  const all = sessions.filter((one) => one.id === id || one.id.startsWith(`${id}@`));
  return all.find(({ state, disconnected }) => state === 'running' && Number.isNaN(disconnected)) ?? all[0];
}

/** @param {JobActions} actions @param {import('./tile.js').TileActions} tileActions */
export function createJob(actions, tileActions) {
  const page = byId('page-job', HTMLElement);
  const head = h('div', { class: 'page-head' });
  const when = h('span', { class: 'note' });
  const facts = h('div', {});
  const terminal = h('section', { class: 'job-terminal', 'aria-label': 'Terminal', hidden: true });
  const output = h('section', { class: 'job-output' });
  const list = h('ol', { class: 'job-records', 'aria-label': 'Records of the job' });
  const recordsSection = h('section', {}, h('h3', {}, 'Records', h('span', { class: 'note' }, 'a click shows the output at that moment')), list);
  const trouble = h('p', { class: 'banner', role: 'status', hidden: true });
  page.append(head, trouble, facts, terminal, output, recordsSection);
  let shown = '';
  let shownRecords = '';
  /** The job's records among those that there were. @type {{id: string, of: readonly Entry[], found: readonly Entry[]}} */
  let mine = { id: '', of: [], found: [] };
  /** `barred`: this browser may not see it. @type {{id: string, barred: boolean, player: ReturnType<typeof createPlayer>, loaded: number} | null} */
  let playing = null;
  /** The terminal of a job that runs. @type {{key: string, tile: ReturnType<typeof createTile>} | null} */
  let live = null;
  /** What came of the output while the terminal was shown. @type {Piece[] | null} */
  let waiting = null;

  /** @param {State} state @param {string} id @param {Job | undefined} job */
  function build(state, id, job) {
    const detail = state.jobDetail;
    const name = oneLine(job?.name || id, MAX_FACT);
    const session = sessionOfJob(state, id);
    replace(head, h('h2', { title: oneLine(id, MAX_FACT) }, h('a', { class: 'crumb', href: '/queue' }, 'Queue / '), name),
      job && h('span', { class: 'session-outcome', data: { tone: tone(job) } }, outcome(job)), when, h('span', { class: 'spacer' }),
      h('span', { class: 'head-acts' },
        session && h('a', { class: 'button', href: sessionPath(session.id) }, 'Terminal'),
        job && state.access === 'act' && state.queue !== null && isParked(job) && job.declined.length > 0 && h('button', { type: 'button', 'data-acts': true, on: { click: () => actions.jobAct(id, 'offer') } }, 'Offer again'),
        job && state.access === 'act' && state.queue !== null && h('button', { type: 'button', 'data-acts': true, on: { click: () => actions.jobAct(id, hasEnded(job) ? 'retry' : 'cancel') } }, hasEnded(job) ? 'Retry' : 'Cancel')));
    if (!job) {
      const gone = detail?.state === 'gone' || detail?.state === 'failed';
      replace(facts, gone
        ? h('div', { class: 'teach' }, h('h3', {}, detail?.state === 'gone' ? 'There is no such job any more' : 'Redis does not say'), h('p', {}, 'Ended jobs are kept for a time; their records are below.'), commandLine('darkmux job ls --all'))
        : h('p', { class: 'note' }, 'Asking the daemon…'));
      return;
    }
    const isJudged = !hasEnded(job) && job.state !== 'running' && detail !== null && detail.machines.length > 0;
    // Why it waits is said of each machine below.
    const why = oneLine(job.why || (isJudged ? '' : job.parked) || job.cancel, MAX_FACT * 2);
    replace(facts,
      why !== '' && h('p', { class: 'banner' }, why),
      h('dl', { class: 'facts job-facts' }, ...factsOf(job)),
      job.agent && agentResult(job.id, job.agent, job.came),
      job.attempts.length > 0 && h('section', {}, h('h3', {}, 'Attempts'), attempts(job)),
      isJudged && h('section', {}, h('h3', {}, 'Which machines can run it', h('span', { class: 'note' }, oneLine(detail.why, MAX_FACT))), judgementTable(detail.machines)));
  }

  /** @param {State} state @param {string} id */
  function renderOutput(state, id) {
    const barred = state.access === 'none';
    // Who is signed in no more sees nothing of what was shown, nor what waits to be.
    if (playing?.id !== id || playing.barred !== barred) {
      playing?.player.dispose();
      const player = createPlayer(actions.moment, actions.openLink);
      playing = { id, barred, player, loaded: -1 };
      waiting = null;
      trouble.hidden = true;
      if (barred) replace(output, h('h3', {}, 'Output'), h('div', { class: 'sign-in' }, ...signInHint('To see its output, sign this browser in:')));
      else replace(output, h('h3', {}, 'Output'), h('p', { class: 'note', id: 'job-output-note' }, 'Asking for the output…'));
    }
  }

  /** While a job runs, its terminal is here; a moment of its output is asked for by the address. @param {State} state @param {string} id @param {Job | undefined} job */
  function renderTerminal(state, id, job) {
    const may = state.mode.kind === 'live' && (state.access === 'act' || state.access === 'watch');
    const session = may && job?.state === 'running' && Number.isNaN(state.place.at) ? sessionOfJob(state, id) : undefined;
    const key = session?.state === 'running' ? `${session.id} ${session.runs}` : '';
    if (live && live.key !== key) {
      live.tile.dispose();
      live = null;
    }
    if (session && key !== '' && !live) {
      live = { key, tile: createTile(session, tileActions, null) };
      replace(terminal, h('h3', {}, 'Terminal', h('span', { class: 'note' }, 'live')), live.tile.element);
    }
    terminal.hidden = live === null;
    output.hidden = live !== null || (!job && state.jobDetail?.state === 'gone');
    if (session && live) {
      live.tile.update(session);
      live.tile.open();
    } else if (waiting) {
      const pieces = waiting;
      waiting = null;
      showOutput(id, pieces, state);
    }
  }

  /** @param {string} id @param {Piece[]} pieces @param {State} state */
  function showOutput(id, pieces, state) {
    if (playing?.id !== id || playing.barred) return;
    if (live) {
      // What is not seen has no size, which a terminal has to measure.
      waiting = pieces;
      return;
    }
    if (pieces.length === 0) {
      const note = document.getElementById('job-output-note');
      if (note) setText(note, 'Nothing of its output is kept, or it has shown nothing yet.');
      return;
    }
    const session = sessionOfJob(state, id);
    const size = { cols: session?.cols || 80, rows: rowsFor(pieces, session?.rows || 24) };
    if (!playing.player.element.isConnected) replace(output, h('h3', {}, 'Output'), playing.player.element);
    void playing.player.open().then(() => playing?.player.resize(size.cols, size.rows));
    playing.player.load(pieces, { seconds: playing.loaded < 0 ? state.place.at : NaN, size });
    playing.player.setRecords(state.records.filter((one) => one.session === id));
    playing.loaded = pieces.length;
  }

  /** Of those that came, where others were looked at before. @param {State} state @returns {readonly Entry[]} */
  function recordsOf({ records, place: { route: { id } } }) {
    const ofJob = (/** @type {Entry} */ one) => one.session === id;
    const change = mine.id === id ? changeOf(mine.of, records) : null;
    const came = change ? change.fresh.filter(ofJob) : [];
    const found = change ? (came.length > 0 ? [...mine.found, ...came] : mine.found) : records.filter(ofJob);
    mine = { id, of: records, found };
    return found;
  }

  /** @param {State} state */
  function renderRecords(state) {
    const found = recordsOf(state);
    const now = `${found.length} ${found.at(-1)?.key}`;
    recordsSection.hidden = found.length === 0;
    if (now === shownRecords) return;
    shownRecords = now;
    playing?.player.setRecords(found);
    replace(list, ...found.slice(-MAX_RECORDS).map((entry) => h('li', { data: { level: entry.level, tier: entry.tier } },
      h('button', { type: 'button', class: 'job-record', title: `${oneLine(entry.action, 60)} ${summarize(entry, true)}`, on: { click: () => playing?.player.seekTo(entry.at) } },
        h('time', { title: utc(entry.at) }, clock(entry.at)), h('span', { class: 'record-action' }, oneLine(entry.action, 60)), h('span', { class: 'record-summary' }, summarize(entry))))));
  }

  return {
    /** @param {State} state */
    render(state) {
      const { page: where, id } = state.place.route;
      if (where !== 'job') {
        playing?.player.dispose();
        live?.tile.dispose();
        playing = live = waiting = null;
        terminal.replaceChildren();
        shown = shownRecords = '';
        mine = { id: '', of: [], found: [] };
        output.replaceChildren();
        return;
      }
      const job = state.jobDetail?.job ?? state.jobs.find((one) => one.id === id);
      const now = JSON.stringify([id, job, state.jobDetail, state.access, state.queue === null, sessionOfJob(state, id)?.id]);
      if (now !== shown) {
        shown = now;
        build(state, id, job);
      }
      if (job) setText(when, [oneLine(job.role, 60), times(job, queueNow(state))].filter(Boolean).join(' · '));
      renderOutput(state, id);
      renderTerminal(state, id, job);
      renderRecords(state);
    },
    showOutput,
    wake: () => live?.tile.wake(),
    /** How the job stands, or its output, could not be had; or, with no reason, could again. @param {string} id @param {string} why */
    failOutput(id, why) {
      if (playing?.id !== id) return;
      trouble.hidden = why === '';
      setText(trouble, trouble.hidden ? '' : `What is shown may be old: ${oneLine(why, MAX_FACT)}`);
    },
  };
}

/** @param {Job} job */
function factsOf(job) {
  /** @param {string} name @param {string | Node} value @param {string} [title] */
  const fact = (name, value, title = '') => (value === '' ? [] : [factNode(name, h('dd', { title: title !== '' && title }, typeof value === 'string' ? oneLine(value, MAX_FACT) : value))]);
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
    ...fact('Asked again', moment(job.offeredAgain), utc(job.offeredAgain)),
    ...fact('Exit code', job.exitCode === null ? '' : String(job.exitCode)),
    ...fact('Folder', job.workdir),
    ...job.declined.flatMap(([machine, why]) => fact(`${oneLine(machine, 64)} gave it back`, why)),
  ];
}

/** How an attempt stands, for colour; others failed. @type {{[how: string]: string}} */
const TONES = { '': 'open', done: 'good', lost: 'lost', cancelled: 'lost' };

/** The columns of attempts, and their kinds. @type {[string, string][]} */
const ATTEMPTS = [['Attempt', 'number'], ['Machine', ''], ['Began', 'wide-only'], ['Took', 'number'], ['How it ended', 'rest']];

/** @param {Job} job */
function attempts({ attempts: all }) {
  // Nothing in it can have the focus, and it scrolls.
  return h('div', { class: 'table-frame', tabindex: 0, role: 'group', 'aria-label': 'Attempts' }, h('table', { class: 'table' },
    h('thead', {}, h('tr', {}, ...ATTEMPTS.map(([name, kind]) => h('th', { scope: 'col', class: kind }, name)))),
    h('tbody', {}, ...all.slice(-50).map((one) => h('tr', {},
      h('td', { class: 'number' }, String(one.number)), h('td', {}, oneLine(one.machine, 64)), h('td', { class: 'dim wide-only', title: utc(one.started) }, moment(one.started)),
      h('td', { class: 'number dim' }, duration(one.ended - one.started)),
      h('td', { class: 'rest' }, h('span', { class: 'session-outcome', data: { tone: TONES[one.how] ?? 'bad' } }, oneLine(one.how || 'running', 60))))))));
}
