/**
 * The session in view: what it is called and how it stands, what may be done with it, and, beside its records, its
 * facts and the commands that reach it from a shell.
 *
 * @module
 */

import { beside, called } from '../called.js';
import { isOpen, sessionCommands } from '../commands.js';
import { findSession, knowsSessions } from '../find.js';
import { moment, utc } from '../format.js';
import { jobPath, machinePath, ownId, sessionOf } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { signInHint } from './account.js';
import { agentResult } from './agent-result.js';
import { besideNode, byId, commandLine, copyButton, factNode, h, replace, setText } from './dom.js';
import { outcome, ranFor, tone } from './sessions.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Session} Session */

const MAX_FACT = 500;

/**
 * @typedef {object} DetailActions
 * @property {() => void} closeSession
 * @property {(view: import('../types.js').SessionView) => void} show
 * @property {(id: string, action: import('../act.js').SessionAction) => void} act
 * @property {(id: string, name: string) => void} rename
 * @property {(id: string) => Promise<import('../wire.js').AgentResult | null>} sessionResult
 */

/** @param {DetailActions} actions */
export function createSessionDetail(actions) {
  const panel = byId('session-detail', HTMLElement);
  const ran = h('dd', {});
  let shown = '';
  /** What the built-in agent came to in one run of one session. @type {{of: string, result: import('../wire.js').AgentResult | null}} */
  let came = { of: '', result: null };
  /** @type {State | undefined} */
  let last;

  /** Asks once for what an ended run of the built-in agent came to. @param {State} state @param {Session | undefined} session */
  function askResult({ access, mode }, session) {
    const may = mode.kind === 'live' && (access === 'act' || access === 'watch');
    const ended = may && session?.kind === 'agent' && !isOpen(session.state);
    const of = ended ? `${session.id} ${session.runs}` : '';
    if (of === came.of) return;
    came = { of, result: null };
    if (!ended) return;
    void actions.sessionResult(session.id).then((result) => {
      if (came.of !== of || result === null) return;
      came = { of, result };
      shown = '';
      if (last) render(last);
    });
  }

  /** @param {State} state @param {Session | undefined} session */
  function build(state, session) {
    const id = sessionOf(state.place.route);
    const may = session !== undefined && (state.access === 'act' || state.access === 'watch');
    const facts = !may || state.view === 'records';
    replace(panel,
      h('div', { class: 'detail-head' },
        h('h2', { title: session && called(session) }, session ? called(session) : 'Session', session && session.machine.includes('@') && h('span', { class: 'note crumbs' }, ...crumbs(session.machine))),
        session && besideNode(session),
        session && h('span', { class: 'session-outcome', data: { tone: tone(session) } }, outcome(session)),
        may && tabs(state.view, actions),
        h('span', { class: 'spacer' }),
        state.jobs.some((job) => job.id === ownId(id)) && h('a', { class: 'mini', href: jobPath(ownId(id)) }, 'Job'),
        session && state.access === 'act' && buttons(session, actions),
        h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close the session', on: { click: actions.closeSession } }, '✕')),
      facts && h('p', { class: 'detail-line' }, ...idParts(id)),
      facts && (session ? commands(session) : h('p', { class: 'note' }, missing(state, id))),
      session && state.access === 'none' && h('div', { class: 'sign-in' }, ...signInHint('To see its terminal here and to type into it, sign this browser in:')),
      facts && session && h('dl', { class: 'facts' }, ...factsOf(session, ran)),
      facts && session && came.result && agentResult(id, came.result, false));
  }

  /** @param {State} state */
  function render(state) {
    const id = sessionOf(state.place.route);
    panel.hidden = id === '';
    last = state;
    if (id === '') {
      shown = '';
      return;
    }
    const session = state.sessions.find((one) => one.id === id);
    askResult(state, session);
    const now = JSON.stringify([id, session ?? missing(state, id), state.access, state.view, state.jobs.some((job) => job.id === ownId(id))]);
    if (now !== shown) {
      shown = now;
      build(state, session);
    }
    if (session) setText(ran, ranFor(session, state.now));
  }

  return { render };
}

/** @param {State} state @param {string} id @returns {string} why no session is shown */
function missing(state, id) {
  if (!knowsSessions(state)) return 'Asking the daemon…';
  if (findSession(state.sessions, id) === 'several') return 'Several sessions fit this address: open one from the list, or write more of its id.';
  return 'No session of this machine has this id; its records are below.';
}

/** @param {import('../types.js').SessionView} view @param {DetailActions} actions */
function tabs(view, { show }) {
  /** @param {import('../types.js').SessionView} one @param {string} text */
  const tab = (one, text) => h('button', { type: 'button', 'aria-pressed': String(view === one), on: { click: () => show(one) } }, text);
  return h('span', { class: 'tabs', role: 'group', 'aria-label': 'What is shown of the session' }, tab('terminal', 'Terminal'), tab('records', 'Records'));
}

/** @param {Session} session @param {DetailActions} actions */
function buttons(session, { act, rename }) {
  const open = isOpen(session.state);
  /** @param {string} text @param {import('../act.js').SessionAction} action @param {string} about */
  const button = (text, action, about) => h('button', { type: 'button', 'data-acts': true, title: about, on: { click: () => act(session.id, action) } }, text);
  return h('span', { class: 'detail-buttons' },
    h('button', { type: 'button', 'data-acts': true, title: 'Give it another name', on: { click: () => rename(session.id, session.name) } }, 'Rename'),
    open && button('Restart', 'restart', 'End its program and start it again in the same place'),
    open && button('End', 'kill', 'Ask its program to end, and make it'),
    !open && button('Resume', 'resume', 'Start it again in the same place, where its agent can: in the same conversation'),
    !open && button('Dismiss', 'dismiss', 'Remove it, with all of its output'));
}

/** @param {string} machine @returns {import('./dom.js').Child[]} the machines on the way there, each with its page */
export function crumbs(machine) {
  const names = machine.split('@');
  const hops = names.map((name, at) => h('a', { href: machinePath(names.slice(at).join('@')) }, oneLine(name, MAX_FACT))).reverse();
  return hops.flatMap((hop, at) => (at === 0 ? [hop] : [' › ', hop]));
}

/** @param {string} id */
function idParts(id) {
  const code = h('code', { class: 'detail-id' }, oneLine(id, MAX_FACT));
  return [code, copyButton(() => code.textContent ?? '', 'the id', code)];
}

/** @param {Session} session @param {HTMLElement} ran */
function factsOf(session, ran) {
  return [
    ...fact('Title', beside(session)),
    ...fact('Role', session.role),
    ...fact('Kind', session.kind),
    ...(session.machine === '' ? [] : [factNode('Machine', h('dd', {}, ...crumbs(session.machine)))]),
    ...time('Started', Number.isNaN(session.started) ? session.created : session.started),
    ...time('Ended', session.ended),
    factNode('Ran', ran),
    ...fact('Exit code', session.exitCode === null ? '' : String(session.exitCode)),
    ...fact('Signal', session.signal),
    ...fact('Reason', session.reason),
    ...fact('Folder', session.cwd, true),
    ...fact('Command', session.command, true),
  ];
}

/** @param {string} name @param {string} value @param {boolean} [wide] */
function fact(name, value, wide = false) {
  if (value === '') return [];
  const shown = oneLine(value, MAX_FACT);
  return [factNode(name, h('dd', { class: wide && 'wide' }, wide ? h('code', {}, shown) : shown))];
}

/** @param {string} name @param {number} ms */
function time(name, ms) {
  if (Number.isNaN(ms)) return [];
  return [factNode(name, h('dd', { title: utc(ms) }, moment(ms)))];
}

/** @param {Session} session */
function commands(session) {
  const offered = sessionCommands(session);
  if (offered.length === 0) {
    return h('p', { class: 'note' }, 'This id has characters that a shell would read as more than an id, so no commands are offered.');
  }
  return h('div', { class: 'commands' },
    ...offered.map(({ label, line }) => h('div', { class: 'labelled-command' }, h('span', {}, label), commandLine(line))));
}
