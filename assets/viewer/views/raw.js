/**
 * The flow as it is written: the newest matching records as lines of JSON, and a file of them.
 *
 * @module
 */

import { matcher } from '../filters.js';
import { count } from '../format.js';
import { toJson } from '../record.js';
import { sanitizeJson } from '../sanitize.js';
import { byId, copyButton, h, replace } from './dom.js';
import { heedScrolling } from './end.js';

/** @typedef {import('../types.js').State} State */

const MAX_LINES = 300;
const MAX_LINE = 4_000;

/** @param {State} state @returns {string} every matching record as a line of JSON, complete */
export function exported({ records, filters }) {
  return records.filter(matcher(filters)).map(({ raw }) => `${toJson(raw)}\n`).join('');
}

/** Gives the reader a file. @param {string} name @param {string} text */
export function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/x-ndjson' }));
  const link = h('a', { href: url, download: name });
  link.click();
  // The browser has opened it by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** @param {{follow: (follow: boolean) => void}} actions */
export function createRaw(actions) {
  const frame = byId('raw', HTMLElement);
  const pre = h('pre', { class: 'raw-lines', role: 'group', tabindex: 0, 'aria-label': 'Records as lines of JSON' });
  const note = h('span', { class: 'note' });
  /** @type {State | null} */
  let last = null;
  frame.append(h('div', { class: 'raw-head' }, note, h('span', { class: 'spacer' }), copyButton(() => (last ? exported(last) : ''), 'all matching records', pre)), pre);

  const toEnd = () => {
    if (last?.follow) pre.scrollTop = pre.scrollHeight;
  };
  heedScrolling(pre, () => last, actions.follow);
  // What appears above or below it takes of its height.
  new ResizeObserver(toEnd).observe(pre);

  return {
    /** @param {State} state */
    render(state) {
      const shown = state.place.route.page === 'flow' && state.place.lens === 'raw';
      frame.hidden = !shown;
      if (!shown) {
        last = null;
        return;
      }
      const before = last;
      last = state;
      if (before?.matches === state.matches) {
        if (!before.follow) toEnd();
        return;
      }
      const { total, complete } = state.matches;
      const newest = state.matches.newest(MAX_LINES);
      replace(note, `${newest.length < total ? `the newest ${newest.length} of ` : ''}${count(total, 'record')}${complete ? '' : ' so far'}`);
      pre.textContent = newest.map(({ raw }) => {
        const json = sanitizeJson(toJson(raw));
        return json.length > MAX_LINE ? `${json.slice(0, MAX_LINE)}… ${json.length - MAX_LINE} more characters` : json;
      }).join('\n');
      toEnd();
    },
  };
}
