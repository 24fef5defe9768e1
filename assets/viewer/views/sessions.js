/**
 * The list of sessions: what runs and what has run on this machine, newest first.
 *
 * @module
 */

import { beside, called } from '../called.js';
import { FIRST_DISPATCH, isOpen } from '../commands.js';
import { age, duration, shortId, way } from '../format.js';
import { sessionOf } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { byId, commandLine, h, reconcile, replace, setAttribute, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Session} Session */

const MAX_ROWS = 200;
const MAX_NAME = 80;
const MAX_NOTICE = 300;

/** @param {Session} session @returns {string} its state, what it says it does, and how it ended */
export function outcome(session) {
  if (!Number.isNaN(session.disconnected)) return 'disconnected';
  if (session.state === 'running') {
    if (session.needsYou !== '') return 'needs you';
    return oneLine(session.label || (session.working ? 'working' : 'running'), MAX_NAME);
  }
  if (session.state !== 'exited') return oneLine(session.state, MAX_NAME) || 'unknown';
  if (session.reason !== '') return oneLine(session.reason, MAX_NAME);
  if (session.signal !== '') return oneLine(`signal ${session.signal}`, MAX_NAME);
  return session.exitCode === null ? 'exited' : `exit ${session.exitCode}`;
}

/** @param {Session} session @returns {'open' | 'busy' | 'needs' | 'good' | 'bad' | 'lost'} how it stands, for colour */
export function tone(session) {
  if (!Number.isNaN(session.disconnected)) return 'lost';
  if (session.state === 'running') {
    if (session.needsYou !== '') return 'needs';
    if (session.failing) return 'bad';
    return session.working ? 'busy' : 'open';
  }
  if (isOpen(session.state)) return 'open';
  if (session.state !== 'exited') return 'lost';
  return session.exitCode === 0 && session.reason === '' ? 'good' : 'bad';
}

/** @param {Session} session @param {number} now @returns {string} how long it ran, or has been running */
export function ranFor(session, now) {
  const from = Number.isNaN(session.started) ? session.created : session.started;
  const ms = (isOpen(session.state) ? now : session.ended) - from;
  // Where times are whole seconds, none is less than one.
  return ms === 0 ? '<1 s' : duration(ms);
}

/**
 * @typedef {object} Row
 * @property {HTMLLIElement} element
 * @property {(session: Session, now: number, current: boolean) => void} update
 */

/** @param {(session: string) => void} openSession */
export function createSessions(openSession) {
  const list = byId('sessions', HTMLOListElement);
  const total = byId('sessions-count', HTMLElement);
  const empty = byId('sessions-empty', HTMLDivElement);
  /** @type {Map<string, Row>} */
  let rows = new Map();
  let emptyShown = '';

  /** @param {State} state */
  function renderEmpty(state) {
    empty.hidden = state.sessions.length > 0;
    const shown = String(state.sessionsLoaded !== '');
    if (empty.hidden || shown === emptyShown) return;
    emptyShown = shown;
    if (!state.sessionsLoaded) replace(empty, h('p', {}, state.mode.kind === 'demo' ? 'No session yet at this moment.' : 'Asking the daemon…'));
    else replace(empty, h('p', {}, 'No sessions yet. Start one:'), commandLine(FIRST_DISPATCH));
  }

  return {
    /** @param {State} state */
    render(state) {
      const shown = state.sessions.slice(0, MAX_ROWS);
      const next = new Map();
      for (const session of shown) {
        const row = rows.get(session.id) ?? sessionRow(session.id, openSession);
        row.update(session, state.now, session.id === sessionOf(state.place.route));
        next.set(session.id, row);
      }
      rows = next;
      reconcile(list, [...next.values()].map((row) => row.element));
      const open = state.sessions.filter((session) => isOpen(session.state)).length;
      const hidden = state.sessions.length - shown.length;
      const words = [open > 0 && `${open} running`, hidden > 0 ? `newest ${MAX_ROWS} of ${state.sessions.length}` : state.sessions.length > open && `${state.sessions.length - open} ended`].filter(Boolean).join(' · ');
      // Beside its heading there is room for one of them.
      setText(total, words.split(' · ')[0]);
      setAttribute(total, 'title', words);
      renderEmpty(state);
    },
  };
}

/** @param {string} id @param {(session: string) => void} openSession @returns {Row} */
function sessionRow(id, openSession) {
  const title = h('span', { class: 'session-title' });
  const badge = h('span', { class: 'session-outcome' });
  const what = h('span', { class: 'session-what' });
  const when = h('span', { class: 'session-when' });
  const button = h('button', { type: 'button', class: 'session', on: { click: () => openSession(id) } },
    h('span', { class: 'session-line' }, title, badge),
    h('span', { class: 'session-line' }, what, when));
  const element = h('li', { data: { sessionId: id } }, button);
  return {
    element,
    update(session, now, current) {
      element.dataset.state = session.state;
      element.dataset.tone = tone(session);
      setAttribute(button, 'aria-current', current && 'true');
      element.toggleAttribute('data-unread', session.unread);
      const name = called(session);
      setText(title, name);
      setAttribute(title, 'title', name);
      setText(badge, outcome(session));
      const sort = [session.role, session.kind].find((word) => word !== '' && oneLine(word, MAX_NAME) !== name) ?? '';
      const own = beside(session);
      // What it calls itself can be long, and comes last.
      const about = [own === '' && oneLine(sort, MAX_NAME), oneLine(way(session.machine), MAX_NAME), own, session.title === '' && session.name === '' && shortId(oneLine(id, MAX_NAME))].filter(Boolean).join(' · ');
      setText(what, oneLine(session.notice.text, MAX_NOTICE) || about);
      setAttribute(what, 'title', [oneLine(session.notice.text, MAX_NOTICE), own, oneLine(id, MAX_NAME)].filter(Boolean).join(' · '));
      const ran = ranFor(session, now);
      setText(when, isOpen(session.state) ? ran : [ran, age(now - (session.ended || session.created))].filter(Boolean).join(' · '));
    },
  };
}
