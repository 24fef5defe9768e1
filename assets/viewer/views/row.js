/**
 * One record as a row of the timeline: a line, and the whole record under it when it is expanded.
 *
 * @module
 */

import { clock, shortId, utc, utcDay } from '../format.js';
import { text } from '../record.js';
import { recordPath } from '../routes.js';
import { clip, oneLine } from '../sanitize.js';
import { summarize } from '../summary.js';
import { copyButton, h } from './dom.js';
import { jsonView, visibleJson } from './json.js';

/** @typedef {import('../types.js').Entry} Entry */

const MAX_HANDLE = 400;
const MAX_LABEL = 80;
const MAX_REASONING = 20_000;

/**
 * @typedef {object} RowActions
 * @property {(key: string) => void} toggle
 * @property {(session: string) => void} openSession
 */

/**
 * @param {Entry} entry
 * @param {RowActions} actions
 * @returns {HTMLLIElement}
 */
export function row(entry, actions) {
  const handle = oneLine(entry.handle, MAX_HANDLE);
  const summary = summarize(entry);
  const toggle = h('button', {
    type: 'button',
    class: 'record-toggle',
    'aria-expanded': 'false',
    'aria-label': `${oneLine(entry.action, MAX_LABEL)} ${oneLine(entry.handle, MAX_LABEL)}: the whole record`,
  });
  const line = h('div', { class: 'record-line' },
    toggle,
    h('time', { class: 'record-time', title: utc(entry.at) }, clock(entry.at)),
    h('span', { class: 'record-level' }, oneLine(entry.level, 12)),
    h('span', { class: 'record-action' }, oneLine(entry.action, MAX_LABEL)),
    h('span', { class: 'record-main', title: [handle, summary].filter(Boolean).join(' · ') },
      h('span', { class: 'record-handle' }, handle),
      summary !== '' && h('span', { class: 'record-summary' }, summary)),
    h('span', { class: 'record-machine', title: oneLine(entry.machine, MAX_LABEL) }, oneLine(entry.machine, MAX_LABEL)),
    sessionLink(entry.session, actions));
  line.addEventListener('click', (event) => {
    // A click that ends a selection of text is no wish to open the record.
    if (event.target !== toggle && getSelection()?.isCollapsed === false) return;
    actions.toggle(entry.key);
  });
  return h('li', { class: 'record', data: dataOf(entry) }, line);
}

/** @param {Entry} entry */
function dataOf(entry) {
  const payload = entry.raw.payload;
  const failed = typeof payload === 'object' && payload !== null && 'exit_code' in payload && payload.exit_code !== 0;
  return {
    key: entry.key,
    recordId: text(entry.raw.record_id),
    level: entry.level,
    action: entry.action,
    session: entry.session,
    ...(failed ? { failed: 'true' } : {}),
  };
}

/** @param {string} session @param {RowActions} actions */
function sessionLink(session, actions) {
  if (session === '') return h('span', { class: 'record-session' });
  const label = oneLine(session, MAX_LABEL);
  return h('button', {
    type: 'button',
    class: 'record-session',
    title: `Session ${label}`,
    'aria-label': `Session ${shortId(label)}`,
    on: {
      click(event) {
        event.stopPropagation();
        actions.openSession(session);
      },
    },
  }, shortId(label));
}

/**
 * @param {HTMLLIElement} element
 * @param {Entry} entry
 * @param {boolean} expanded
 */
export function setExpanded(element, entry, expanded) {
  const detail = element.querySelector('.record-detail');
  if (expanded === (detail !== null)) return;
  element.querySelector('.record-toggle')?.setAttribute('aria-expanded', String(expanded));
  if (detail) detail.remove();
  else element.append(detailOf(entry));
}

/** @param {Entry} entry */
function detailOf(entry) {
  const reasoning = text(entry.raw.reasoning);
  return h('div', { class: 'record-detail' },
    h('div', { class: 'record-detail-head' },
      h('span', {}, utc(entry.at)),
      h('span', { class: 'spacer' }),
      !Number.isNaN(entry.at) && copyButton(() => new URL(recordPath(entry.key, utcDay(entry.at)), location.origin).href, 'link to the record', undefined, 'link'),
      copyButton(() => visibleJson(entry.raw), 'JSON of the record', undefined, 'JSON')),
    reasoning.includes('\n') && h('p', { class: 'record-reasoning' }, clip(reasoning, MAX_REASONING)),
    jsonView(entry.raw));
}

/**
 * @param {string} key
 * @param {string} title
 * @returns {HTMLLIElement} the row that begins a local day
 */
export function dayRow(key, title) {
  return h('li', { class: 'day-row', data: { key } }, h('span', {}, title));
}
