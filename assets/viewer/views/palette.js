/**
 * The command palette: every page, action, machine, session and job by its name, by the keyboard alone.
 *
 * @module
 */

import { offers, ranked } from '../palette.js';
import { byId, h, replace, setAttribute } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../palette.js').Offer} Offer */

/**
 * @param {() => State} state
 * @param {(path: string) => void} go
 * @param {(action: string) => void} act
 */
export function createPalette(state, go, act) {
  const dialog = byId('palette', HTMLDialogElement);
  const field = byId('palette-field', HTMLInputElement);
  const list = byId('palette-list', HTMLUListElement);
  /** @type {Offer[]} */
  let all = [];
  /** @type {Offer[]} */
  let shown = [];
  let chosen = 0;

  function choose(/** @type {number} */ at) {
    chosen = shown.length === 0 ? 0 : (at + shown.length) % shown.length;
    for (const [index, row] of [...list.children].entries()) {
      setAttribute(row, 'aria-selected', String(index === chosen));
      if (index === chosen) row.scrollIntoView({ block: 'nearest' });
    }
    setAttribute(field, 'aria-activedescendant', shown.length > 0 && `palette-${chosen}`);
  }

  function render() {
    shown = ranked(all, field.value);
    if (shown.length === 0) replace(list, h('li', { class: 'palette-none' }, 'Nothing is called so.'));
    else {
      replace(list, ...shown.map((offer, index) => h('li', {
        id: `palette-${index}`, role: 'option', class: 'palette-row', 'aria-selected': 'false',
        on: { click: () => take(offer), mousemove: () => index !== chosen && choose(index) },
      },
      h('span', { class: 'palette-kind' }, offer.kind), h('span', { class: 'palette-title' }, offer.title),
      h('span', { class: 'palette-hint' }, offer.hint), offer.keys && h('kbd', {}, offer.keys))));
    }
    choose(0);
  }

  /** @param {Offer} offer */
  function take(offer) {
    dialog.close();
    if (offer.path) go(offer.path);
    else if (offer.does) act(offer.does);
  }

  function show() {
    if (document.querySelector('dialog[open]')) return;
    all = offers(state());
    field.value = '';
    render();
    dialog.showModal();
  }

  field.addEventListener('input', render);
  field.addEventListener('keydown', (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key] ?? 0;
    if (by !== 0) choose(Math.abs(by) === 1 ? chosen + by : Math.max(0, Math.min(shown.length - 1, chosen + by)));
    else if (event.key === 'Enter' && shown[chosen]) take(shown[chosen]);
    else return;
    event.preventDefault();
  });
  dialog.addEventListener('click', ({ target }) => target === dialog && dialog.close());
  byId('palette-button', HTMLButtonElement).addEventListener('click', show);

  return { show };
}
