/**
 * The page of what waits for somebody, and of what this page has said.
 *
 * @module
 */

import { clock, count, utc } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, h, replace, setText } from './dom.js';
import { createInbox } from './inbox.js';
import { createNotifySwitch } from './notify.js';

/** @typedef {import('../types.js').State} State */

const MAX_TEXT = 400;

/** @param {import('./inbox.js').InboxActions} actions @param {Parameters<typeof createNotifySwitch>[0]} notices */
export function createInboxPage(actions, notices) {
  const page = byId('page-inbox', HTMLElement);
  const total = h('span', { class: 'note' });
  const list = h('ol', { class: 'inbox inbox-wide' });
  const panel = h('div', {}, list);
  const calm = h('div', { class: 'teach' }, h('h3', {}, 'Nothing waits for you'), h('p', {}, 'A session that asks something shows up here, and can be answered here.'));
  const log = h('ol', { class: 'log', 'aria-label': 'Messages of this page, newest first' });
  const said = h('span', { class: 'note' });
  const messages = h('section', {}, h('h3', {}, 'Messages', said), log);
  const notify = createNotifySwitch(notices);
  page.append(h('div', { class: 'page-head' }, h('h2', {}, 'Inbox'), total, notify.label, notify.todo), panel, calm, messages);
  const inbox = createInbox(actions, { panel, list, total: h('span', {}) });
  /** @type {unknown} */
  let shownLog;

  return {
    /** @param {State} state */
    render(state) {
      if (state.place.route.page !== 'inbox') return;
      inbox.render(state);
      notify.update(state.access === 'act' || state.access === 'watch');
      calm.hidden = !panel.hidden;
      setText(total, panel.hidden ? '' : count(list.children.length, 'session needs you', 'sessions need you'));
      if (state.toastLog === shownLog) return;
      shownLog = state.toastLog;
      messages.hidden = state.toastLog.length === 0;
      setText(said, 'of this page, since it was opened');
      replace(log, ...state.toastLog.map((toast) => h('li', { data: { tone: toast.tone } },
        h('time', { title: utc(toast.at) }, clock(toast.at)), h('span', {}, oneLine(toast.text, MAX_TEXT)))));
    },
  };
}
