/**
 * A table whose rows stay the same elements while what they say changes, so that focus and pointer stay where they are.
 *
 * @module
 */

import { h, reconcile, replace, setAttribute, setText } from './dom.js';

/**
 * @template T, C
 * @typedef {object} Column
 * @property {string} name
 * @property {string} [said] Its name where none is shown.
 * @property {string} [kind] The class of its cells.
 * @property {(item: T, context: C) => string} [text] What a cell says; or:
 * @property {(item: T, context: C) => [string, () => import('./dom.js').Child[]]} [nodes] what it is made of, anew whenever the first changes.
 * @property {(item: T, context: C) => string} [title]
 */

/**
 * @template T, C
 * @param {Column<T, C>[]} columns
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => {[name: string]: string}} dataOf attributes of a row, for tests and for colours
 * @param {{id: string, label: string}} what
 */
export function createTable(columns, keyOf, dataOf, { id, label }) {
  const body = h('tbody', { id });
  const frame = h('div', { class: 'table-frame' }, h('table', { class: 'table', 'aria-label': label },
    h('thead', {}, h('tr', {}, ...columns.map(({ name, said, kind }) => h('th', { scope: 'col', class: kind }, name || h('span', { class: 'said' }, said ?? ''))))), body));
  /** @type {Map<string, {element: HTMLTableRowElement, cells: {element: HTMLElement, key: string}[]}>} */
  let rows = new Map();

  function rowOf() {
    const cells = columns.map(({ kind }) => ({ element: h('td', { class: kind }), key: '\n' }));
    return { element: h('tr', {}, ...cells.map(({ element }) => element)), cells };
  }

  return {
    element: frame,
    /** @param {readonly T[]} items @param {C} context */
    update(items, context) {
      const next = new Map();
      for (const item of items) {
        const key = keyOf(item);
        const row = rows.get(key) ?? rowOf();
        const data = dataOf(item);
        for (const name of Object.keys(row.element.dataset)) if (!(name in data)) delete row.element.dataset[name];
        for (const [name, value] of Object.entries(data)) if (row.element.dataset[name] !== value) row.element.dataset[name] = value;
        for (const [at, column] of columns.entries()) {
          const cell = row.cells[at];
          if (column.text) setText(cell.element, column.text(item, context));
          else if (column.nodes) {
            const [now, make] = column.nodes(item, context);
            if (now !== cell.key) {
              cell.key = now;
              replace(cell.element, ...make());
            }
          }
          if (column.title) setAttribute(cell.element, 'title', column.title(item, context) || false);
        }
        next.set(key, row);
      }
      rows = next;
      frame.hidden = next.size === 0;
      reconcile(body, [...next.values()].map(({ element }) => element));
    },
  };
}
