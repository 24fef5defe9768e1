/**
 * In a recording, whatever would change something is shown and cannot be used, and says why: every control with the
 * attribute `data-acts`. It is drawn last.
 *
 * @module
 */

import { FROZEN } from '../mode.js';

export function createFrozen() {
  return {
    /** @param {import('../types.js').State} state */
    render({ mode }) {
      if (mode.kind !== 'demo') return;
      document.body.dataset.frozen = '';
      for (const control of document.querySelectorAll('[data-acts]:not(:disabled)')) {
        if (!(control instanceof HTMLButtonElement || control instanceof HTMLInputElement)) continue;
        control.disabled = true;
        control.title = FROZEN;
      }
    },
  };
}
