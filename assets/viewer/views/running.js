/**
 * What is being dispatched now: a ring for each, which goes round once in the time it is measured by.
 *
 * @module
 */

import { isOpen } from '../commands.js';
import { duration, utc, way } from '../format.js';
import { jobPath, sessionPath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { byId, h, reconcile, setAttribute, setText, svg } from './dom.js';
import { queueNow } from './jobs.js';
import { NARROW } from './narrow.js';

/** @typedef {import('../types.js').State} State */

const MAX_RINGS = 12;
/** On a phone, two rows of them. */
const MAX_NARROW = 4;
const MAX_NAME = 40;
const RADIUS = 6;
const ROUND = 2 * Math.PI * RADIUS;

/** @param {number} ms @returns {number} which part of its round is over: of a minute, an hour, or a day */
export function turn(ms) {
  const round = [60_000, 3_600_000].find((one) => ms < one) ?? 86_400_000;
  return Math.min(1, Math.max(0, ms) / round);
}

export function createRunning() {
  const list = byId('running', HTMLOListElement);
  /** @type {Map<string, ReturnType<typeof ring>>} */
  let rows = new Map();
  const others = h('a', { href: '/sessions', class: 'ring' });
  const more = h('li', {}, others);

  return {
    /** @param {State} state */
    render(state) {
      const { page } = state.place.route;
      const all = state.mode.kind !== 'play' && page === 'flow' ? dispatches(state) : [];
      const max = NARROW.matches ? MAX_NARROW : MAX_RINGS;
      const shown = all.length > max ? all.slice(0, max - 1) : all;
      list.hidden = shown.length === 0;
      const next = new Map();
      for (const one of shown) {
        const row = rows.get(one.id) ?? ring(one.id);
        row.update(one, queueNow(state));
        next.set(one.id, row);
      }
      rows = next;
      setText(others, `and ${all.length - shown.length} more`);
      reconcile(list, [...[...next.values()].map(({ element }) => element), ...(all.length > shown.length ? [more] : [])]);
    },
  };
}

/** @typedef {{id: string, role: string, machine: string, start: number, path: string}} Dispatch */

/** @param {State} state @returns {Dispatch[]} what runs a role, here or anywhere, the newest first */
export function dispatches({ sessions, jobs }) {
  const here = sessions.filter((one) => isOpen(one.state) && one.role !== '' && Number.isNaN(one.disconnected))
    .map((one) => ({ id: one.id, role: one.role, machine: one.machine, start: one.started || one.created, path: sessionPath(one.id) }));
  // A peer's session is called by its machine, too; a job is not.
  const known = new Set(here.map(({ id }) => id.split('@')[0]));
  const elsewhere = jobs.filter((one) => one.state === 'running' && !known.has(one.id))
    .map((one) => ({ id: one.id, role: one.role, machine: one.machine, start: one.started, path: jobPath(one.id) }));
  return [...here, ...elsewhere].sort((a, b) => b.start - a.start);
}

/** @param {string} session */
function ring(session) {
  const arc = svg('circle', { cx: 8, cy: 8, r: RADIUS, class: 'ring-arc', 'stroke-dasharray': String(ROUND) });
  const what = h('span', { class: 'ring-what' });
  const time = h('span', { class: 'ring-time' });
  const link = h('a', { href: '/', class: 'ring' },
    svg('svg', { viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true' }, svg('circle', { cx: 8, cy: 8, r: RADIUS, class: 'ring-round' }), arc),
    what, time);
  return {
    element: h('li', {}, link),
    /** @param {Dispatch} dispatch @param {number} now */
    update({ role, machine, start, path }, now) {
      setAttribute(link, 'href', path);
      const says = [oneLine(role, MAX_NAME) || 'dispatch', oneLine(way(machine), MAX_NAME)].filter(Boolean).join(' · ');
      setAttribute(link, 'title', `${says} · ${oneLine(session, 200)} · since ${utc(start)}`);
      setText(what, says);
      setText(time, duration(Math.max(0, now - start)).replace(/\.\d/, ''));
      setAttribute(arc, 'stroke-dashoffset', String(ROUND * (1 - turn(now - start))));
    },
  };
}
