/**
 * Which day is shown, and the year of days to pick from.
 *
 * @module
 */

import { count, utcDay } from '../format.js';
import { year } from '../heat.js';
import { routePath } from '../routes.js';
import { byId, h, replace, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const NEWEST = 7;

/** @param {() => void} onSeen Somebody looks at the days. */
export function createDays(onSeen) {
  const button = byId('day', HTMLButtonElement);
  const panel = byId('days', HTMLElement);
  panel.addEventListener('toggle', onSeen);
  let shown = '';

  return {
    /** @param {State} state */
    render({ mode, days, now, place }) {
      button.hidden = mode.kind === 'demo';
      setText(button, mode.kind === 'play' ? mode.src : 'Today, live');
      if (!panel.matches(':popover-open')) return;
      const today = utcDay(now);
      const key = JSON.stringify([days, today, place.route.day]);
      if (key === shown) return;
      shown = key;
      const weeks = year(days, today);
      const month = (/** @type {(import('../heat.js').Cell | null)[]} */ cells) => cells[0]?.date.slice(5, 7) ?? '';
      const grid = h('div', { class: 'heat', tabindex: 0, role: 'group', 'aria-label': 'The last year, a day a square (UTC)' },
        ...weeks.map((cells, week) => h('div', { class: 'heat-week' },
          h('span', { class: 'heat-month', 'aria-hidden': 'true' }, week > 0 && month(cells) !== month(weeks[week - 1]) && week < weeks.length - 2 ? MONTHS[Number(month(cells)) - 1] : ''),
          ...cells.map((cell) => dayCell(cell, today, place.route.day)))));
      const newest = days.slice(0, NEWEST).map((day) => h('li', {}, h('a', { href: pathOf(day.date, today) },
        h('span', {}, day.date === today ? 'Today, live' : day.date), h('span', { class: 'note' }, about(day)))));
      const scope = days.some(({ fleet }) => fleet) ? 'Counted are the records of this machine; a day shows those of the whole fleet.' : '';
      replace(panel, h('h2', {}, 'Days, by UTC'), scope !== '' && h('p', { class: 'note' }, scope), grid, newest.length > 0 && h('ul', { class: 'day-list' }, ...newest),
        days.length === 0 && h('p', { class: 'note' }, 'No day has records yet.'));
      // What is newest is at the end.
      grid.scrollLeft = grid.scrollWidth;
    },
    panel,
  };
}

/** @param {string} date @param {string} today */
const pathOf = (date, today) => routePath({ page: 'flow', id: '', day: date === today ? '' : date });

/** @param {import('../types.js').Day} day */
const about = ({ records, dispatches, bad, fleet }) => [
  records === 0 && fleet ? 'records of other machines' : count(records, 'record'), dispatches > 0 && count(dispatches, 'dispatch', 'dispatches'), bad > 0 && `${count(bad, 'line')} unreadable`,
].filter(Boolean).join(' · ');

/** @param {import('../heat.js').Cell | null} cell @param {string} today @param {string} current */
function dayCell(cell, today, current) {
  if (cell === null) return h('span', { class: 'heat-day' });
  const { date, day, level } = cell;
  const data = { level: String(level) };
  if (!day) return h('span', { class: 'heat-day', title: `${date}: no records`, data });
  return h('a', {
    class: 'heat-day', href: pathOf(date, today), title: `${date}: ${about(day)}`, 'aria-label': `${date}: ${about(day)}`,
    'aria-current': date === current && 'date', data,
  });
}
