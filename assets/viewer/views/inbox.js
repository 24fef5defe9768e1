/**
 * The sessions that wait for somebody, with what they ask, and a field to answer in place.
 *
 * @module
 */

import { beside, called } from '../called.js';
import { age, way } from '../format.js';
import { oneLine } from '../sanitize.js';
import { pasteable } from '../terminal/handed.js';
import { waiting } from '../v1.js';
import { h, pathNode, reconcile, replace, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Session} Session */

const MAX_ROWS = 50;
const MAX_QUESTION = 1_000;
const MAX_ANSWER = 10_000;
const MAX_WHERE = 80;

/**
 * @typedef {object} InboxActions
 * @property {(session: string) => void} openSession
 * @property {(session: string, line: string) => Promise<boolean>} answer whether it was taken
 */

/** @param {InboxActions} actions @param {{panel: HTMLElement, list: HTMLElement, total: HTMLElement}} where */
export function createInbox(actions, { panel, list, total }) {
  /** @type {Map<string, ReturnType<typeof inboxRow>>} */
  let rows = new Map();

  return {
    /** @param {State} state */
    render(state) {
      const found = waiting(state.sessions);
      panel.hidden = found.length === 0;
      setText(total, found.length > 1 ? String(found.length) : '');
      const next = new Map();
      for (const session of found.slice(0, MAX_ROWS)) {
        const row = rows.get(session.id) ?? inboxRow(session.id, actions);
        row.update(session, state);
        next.set(session.id, row);
      }
      rows = next;
      reconcile(list, [...next.values()].map((row) => row.element));
    },
  };
}

/** @param {string} id @param {InboxActions} actions */
function inboxRow(id, actions) {
  const title = h('button', { type: 'button', class: 'inbox-title', on: { click: () => actions.openSession(id) } });
  const when = h('span', { class: 'session-when' });
  const where = h('p', { class: 'session-what inbox-where' });
  const question = h('p', { class: 'inbox-question' });
  const field = h('input', { class: 'search', type: 'text', 'data-acts': true, placeholder: 'Answer', 'aria-label': 'Answer', autocomplete: 'off', maxlength: MAX_ANSWER });
  const form = h('form', { class: 'inbox-answer' }, field, h('button', { type: 'submit', 'data-acts': true }, 'Send'));
  const other = h('p', { class: 'note', role: 'status', hidden: true }, 'It asks something else than when you began to type. Send again to send it all the same.');
  /** What it asks, and what it asked when the answer was begun. */
  let asked = '';
  /** @type {string | null} */
  let begun = null;
  field.addEventListener('input', () => { begun = field.value === '' ? null : begun ?? asked; });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const line = pasteable(field.value);
    if (line === '' || field.readOnly) return;
    other.hidden = begun === asked;
    begun = asked;
    if (!other.hidden) return;
    field.readOnly = true;
    if (await actions.answer(id, line)) {
      field.value = '';
      begun = null;
    }
    field.readOnly = false;
  });
  const element = h('li', { class: 'inbox-item', data: { sessionId: id } },
    h('div', { class: 'session-line' }, title, when), where, question, form, other);
  return {
    element,
    /** @param {Session} session @param {State} state */
    update(session, state) {
      setText(title, called(session));
      setText(when, age(state.now - session.created));
      const at = [beside(session) || session.role || session.kind, way(session.machine)].map((one) => oneLine(one, MAX_WHERE)).filter(Boolean).join(' · ');
      if (where.dataset.at !== `${at}\n${session.cwd}`) {
        where.dataset.at = `${at}\n${session.cwd}`;
        replace(where, h('span', { title: at }, session.cwd === '' ? at : `${at} ·`), session.cwd !== '' && pathNode(session.cwd));
      }
      asked = session.needsYou;
      setText(question, asked.trim().slice(0, MAX_QUESTION));
      form.hidden = state.access !== 'act';
    },
  };
}
