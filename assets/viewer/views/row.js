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
import { copyButton, h, setAttribute, setText } from './dom.js';
import { jsonView, visibleJson } from './json.js';

/** @typedef {import('../types.js').Entry} Entry */

const MAX_HANDLE = 400;
const MAX_LABEL = 80;
const MAX_REASONING = 20_000;

/** The parts of a row, made once and copied: thousands of rows are made, and what is copied costs a third. */
function template() {
  return h('li', { class: 'record' }, h('div', { class: 'record-line' },
    h('button', { type: 'button', class: 'record-toggle', 'aria-expanded': 'false' }),
    h('time', { class: 'record-time' }),
    h('span', { class: 'record-level' }),
    h('span', { class: 'record-action' }),
    h('span', { class: 'record-main' }, h('span', { class: 'record-handle' }), h('span', { class: 'record-summary' })),
    h('span', { class: 'record-machine' }),
    h('button', { type: 'button', class: 'record-session' })));
}

/** @returns {() => HTMLLIElement} makes rows that say nothing yet */
export function rowMaker() {
  const made = template();
  return () => /** @type {HTMLLIElement} */ (made.cloneNode(true));
}

/** Has a row say what a record is, whatever it said before. @param {HTMLLIElement} element @param {Entry} entry */
export function fill(element, entry) {
  const [toggle, time, level, action, main, machine, session] = /** @type {Iterable<Element>} */ (element.firstElementChild?.children ?? []);
  const [handleBox, summaryBox] = main.children;
  element.querySelector('.record-detail')?.remove();
  setData(element.dataset, entry);
  const handle = oneLine(entry.handle, MAX_HANDLE);
  const summary = summarize(entry);
  const does = oneLine(entry.action, MAX_LABEL);
  setAttribute(toggle, 'aria-label', `${does} ${oneLine(entry.handle, MAX_LABEL)}: the whole record`);
  setAttribute(toggle, 'aria-expanded', 'false');
  setAttribute(time, 'title', utc(entry.at));
  setText(time, clock(entry.at));
  setText(level, oneLine(entry.level, 12));
  setText(action, does);
  setAttribute(main, 'title', [handle, summary.includes('…') ? summarize(entry, true) : summary].filter(Boolean).join(' · '));
  setText(handleBox, handle);
  setText(summaryBox, summary);
  const where = oneLine(entry.machine, MAX_LABEL);
  setAttribute(machine, 'title', where);
  setText(machine, where);
  const label = oneLine(entry.session, MAX_LABEL);
  const short = shortId(label);
  session.toggleAttribute('hidden', label === '');
  setAttribute(session, 'title', label !== '' && `Session ${label}`);
  setAttribute(session, 'aria-label', label !== '' && `Session ${short}`);
  setText(session, short);
}

/** @param {DOMStringMap} data @param {Entry} entry */
function setData(data, entry) {
  const payload = entry.raw.payload;
  const failed = typeof payload === 'object' && payload !== null && 'exit_code' in payload && payload.exit_code !== 0;
  data.key = entry.key;
  data.recordId = text(entry.raw.record_id);
  data.level = entry.level;
  data.action = entry.action;
  data.session = entry.session;
  if (failed) data.failed = 'true';
  else delete data.failed;
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
