/**
 * What the flow says of records that are not shown: because there are none, none match, or they are not on this page.
 *
 * @module
 */

import { FIRST_DISPATCH } from '../commands.js';
import { count } from '../format.js';
import { commandLine, h } from './dom.js';

/** @typedef {import('../types.js').State} State */

/** @type {{[others in import('../types.js').State['others']]: string}} */
const OTHERS = {
  all: '', newest: 'Older records of other machines are no longer kept by Redis.',
  none: 'Redis did not answer: those of other machines are not among them.',
};

/** @param {State} state @returns {string} what this page does not have, or nothing */
export function notLoaded(state) {
  return [unreadable(state), left(state), OTHERS[state.others]].filter(Boolean).join(' ');
}

/** @param {State} state */
const unreadable = (state) => (state.unreadable > 0 ? `${count(state.unreadable, 'event')} could not be read.` : '');

/** @param {State} state */
function left(state) {
  if (state.dropped > 0) return `${count(state.dropped, 'older record')} left this page; the day's file has them.`;
  return state.partial ? "Older records are not loaded; the day's file has them." : '';
}

/** @param {State} state @param {{clearFilters: () => void}} actions @returns {Node[]} what is said where there are no rows */
export function emptyText(state, actions) {
  if (state.problem !== '') {
    return [h('h2', {}, 'The records could not be read'), h('p', {}, state.problem), hint('See what is wrong:'), commandLine('darkmux doctor')];
  }
  if (!state.loaded) {
    return state.source === 'no daemon'
      ? [h('h2', {}, 'No daemon answers'), hint('Start it:'), commandLine('darkmux serve')]
      : [h('p', {}, 'Reading the flow…')];
  }
  if (!state.matches.complete) return [h('p', {}, 'Searching…')];
  if (state.records.length > 0) {
    return [
      h('h2', {}, 'No record matches'),
      h('p', {}, `${count(state.records.length, 'record')} loaded, none with these filters.`),
      h('button', { type: 'button', on: { click: actions.clearFilters } }, 'Clear filters'),
    ];
  }
  if (state.mode.kind !== 'live') return [h('h2', {}, 'No records'), h('p', {}, `There is nothing in ${state.mode.label}.`)];
  return [h('h2', {}, 'Nothing has happened yet'), hint('Dispatch a role and watch it here:'), commandLine(FIRST_DISPATCH)];
}

/** @param {string} text */
const hint = (text) => h('p', {}, text);
