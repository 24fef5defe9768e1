/**
 * What is above the flow whatever its lens: which lens, and the file of what is shown; and which page is shown at all.
 *
 * @module
 */

import { LENSES } from '../routes.js';
import { byId } from './dom.js';

/** @typedef {import('../types.js').State} State */

/**
 * @param {(lens: import('../types.js').Lens) => void} show
 * @param {() => void} save
 */
export function createFlow(show, save) {
  const tabs = /** @type {HTMLButtonElement[]} */ ([...byId('lenses', HTMLElement).querySelectorAll('button')]);
  const pages = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('#main > [data-pages]')]);
  for (const tab of tabs) {
    tab.addEventListener('click', () => {
      const lens = LENSES.find((one) => one === tab.dataset.lens);
      if (lens) show(lens);
    });
  }
  byId('export', HTMLButtonElement).addEventListener('click', save);

  return {
    /** @param {State} state */
    render({ place }) {
      delete document.documentElement.dataset.first;
      for (const page of pages) page.hidden = !page.dataset.pages?.split(' ').includes(place.route.page);
      for (const tab of tabs) tab.setAttribute('aria-pressed', String(tab.dataset.lens === place.lens));
    },
  };
}
