/**
 * The bar over everything: whose machine this is, where its records come from, which day.
 *
 * @module
 */

import { count } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, h, replace, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */

const MAX_NAME = 64;

/** @type {{[source: string]: string}} */
const MEANING = {
  connecting: 'Opening the stream of records',
  live: 'Records are shown as they are written',
  reconnecting: 'The stream was lost and is being opened again; nothing will be missed',
  'no daemon': 'No daemon answers here; the page goes on by itself when one does',
  replay: 'Records of the past; nothing new arrives',
};

/** @param {(day: string) => void} openDay an empty day is the live page */
export function createToolbar(openDay) {
  const machine = byId('machine-id', HTMLElement);
  const source = byId('source', HTMLElement);
  const day = byId('day', HTMLSelectElement);
  let offered = '';

  day.addEventListener('change', () => openDay(day.value));

  /** @param {State} state */
  function renderDays({ mode, days }) {
    const chosen = mode.kind === 'play' ? mode.src : '';
    const listed = days.some((one) => one.date === chosen) || chosen === ''
      ? days
      : [{ date: chosen, records: 0, dispatches: 0, bad: 0 }, ...days];
    const now = JSON.stringify(listed);
    if (now === offered) return;
    offered = now;
    replace(day, h('option', { value: '' }, 'Live'), ...listed.map((one) => h('option', { value: one.date }, dayLabel(one))));
    day.value = chosen;
  }

  return {
    /** @param {State} state */
    render(state) {
      const id = oneLine(state.machine?.id ?? '', MAX_NAME);
      setText(machine, id);
      document.title = id ? `${id} · darkmux` : 'darkmux';
      setText(source, state.source === 'replay' ? `replay (${oneLine(state.mode.label, MAX_NAME)})` : state.source);
      source.dataset.source = state.source;
      source.title = MEANING[state.source] ?? '';
      document.body.dataset.source = state.source;
      day.hidden = state.mode.kind === 'demo';
      renderDays(state);
    },
  };
}

/** @param {import('../types.js').Day} day */
function dayLabel({ date, records, dispatches, bad }) {
  return [date, count(records, 'record'), dispatches > 0 && count(dispatches, 'dispatch', 'dispatches'), bad > 0 && `${count(bad, 'line')} unreadable`].filter(Boolean).join(' · ');
}
