/**
 * The session that the timeline is filtered to: its facts, and the commands that reach it from a shell.
 *
 * @module
 */

import { sessionCommands } from '../commands.js';
import { moment, utc } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, commandLine, copyButton, h, replace, setText } from './dom.js';
import { outcome, ranFor, tone } from './sessions.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Session} Session */

const MAX_FACT = 500;

/** @param {() => void} close */
export function createSessionDetail(close) {
  const panel = byId('session-detail', HTMLElement);
  const ran = h('dd', {});
  let shown = '';

  /** @param {string} id @param {Session | undefined} session */
  function build(id, session) {
    replace(panel,
      h('div', { class: 'detail-head' },
        h('h2', {}, oneLine(session?.name || session?.role || 'Session', MAX_FACT)),
        session && h('span', { class: 'session-outcome', data: { tone: tone(session) } }, outcome(session)),
        ...idParts(id),
        h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close the session', on: { click: close } }, '✕')),
      session ? commands(session) : h('p', { class: 'note' }, 'No session of this machine has this id; its records are below.'),
      session && h('dl', { class: 'facts' }, ...facts(session, ran)));
  }

  return {
    /** @param {State} state */
    render(state) {
      const id = state.filters.session;
      panel.hidden = id === '';
      if (id === '') {
        shown = '';
        return;
      }
      const session = state.sessions.find((one) => one.id === id);
      const now = JSON.stringify([id, session]);
      if (now !== shown) {
        shown = now;
        build(id, session);
      }
      if (session) setText(ran, ranFor(session, state.now));
    },
  };
}

/** @param {string} id */
function idParts(id) {
  const code = h('code', { class: 'detail-id' }, oneLine(id, MAX_FACT));
  return [code, copyButton(() => code.textContent ?? '', 'the id', code)];
}

/** @param {Session} session @param {HTMLElement} ran */
function facts(session, ran) {
  return [
    ...fact('Role', session.role),
    ...fact('Machine', session.machine),
    ...time('Started', Number.isNaN(session.started) ? session.created : session.started),
    ...time('Ended', session.ended),
    h('dt', {}, 'Ran'), ran,
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
  return [h('dt', {}, name), h('dd', { class: wide && 'wide' }, wide ? h('code', {}, shown) : shown)];
}

/** @param {string} name @param {number} ms */
function time(name, ms) {
  if (Number.isNaN(ms)) return [];
  return [h('dt', {}, name), h('dd', { title: utc(ms) }, moment(ms))];
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
