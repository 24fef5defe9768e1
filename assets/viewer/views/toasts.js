/**
 * What happened and would be missed: shown in a corner for a while, warnings until they are closed.
 *
 * @module
 */

import { oneLine } from '../sanitize.js';
import { byId, h, reconcile, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Toast} Toast */

const MAX_TEXT = 400;
const NOTE_MS = 6_000;

/** @param {(key: string) => void} close */
export function createToasts(close) {
  const list = byId('toasts', HTMLOListElement);
  /** @type {Map<string, {element: HTMLLIElement, toast: Toast, text: HTMLElement}>} */
  let rows = new Map();

  return {
    /** @param {State} state */
    render(state) {
      const next = new Map();
      for (const toast of state.toasts) {
        const row = rows.get(toast.key) ?? toastRow(toast, close);
        if (toast.tone === 'note' && state.now - toast.at > NOTE_MS) queueMicrotask(() => close(toast.key));
        row.element.dataset.tone = toast.tone;
        setText(row.text, oneLine(toast.text, MAX_TEXT));
        next.set(toast.key, row);
      }
      rows = next;
      reconcile(list, [...next.values()].map((row) => row.element));
    },
  };
}

/** @param {Toast} toast @param {(key: string) => void} close */
function toastRow(toast, close) {
  const text = h('span', {});
  const element = h('li', { class: 'toast' }, text,
    h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close', on: { click: () => close(toast.key) } }, '✕'));
  return { element, toast, text };
}
