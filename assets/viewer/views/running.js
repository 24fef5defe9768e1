/**
 * What is being dispatched now: a ring for each, which goes round once in the time it is measured by.
 *
 * @module
 */

import { isOpen } from '../commands.js';
import { duration, utc } from '../format.js';
import { sessionPath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { running } from '../spans.js';
import { byId, h, reconcile, setAttribute, setText, svg } from './dom.js';

/** @typedef {import('../types.js').State} State */

const MAX_RINGS = 12;
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
  /** @type {{records: unknown, sessions: unknown, found: ReturnType<typeof running>}} */
  let kept = { records: null, sessions: null, found: [] };

  return {
    /** @param {State} state */
    render(state) {
      const { records, sessions, mode } = state;
      if (mode.kind === 'live' && (kept.records !== records || kept.sessions !== sessions)) {
        const alive = new Set(sessions.filter((one) => isOpen(one.state)).map(({ id }) => id));
        for (const job of state.jobs) if (job.state === 'running') alive.add(job.id);
        kept = { records, sessions, found: running(records, alive) };
      }
      const shown = mode.kind === 'live' && state.place.route.page === 'flow' ? kept.found.slice(-MAX_RINGS) : [];
      list.hidden = shown.length === 0;
      const next = new Map();
      for (const { session, machine, span } of shown) {
        const row = rows.get(session) ?? ring(session);
        row.update(span, machine, state.now);
        next.set(session, row);
      }
      rows = next;
      reconcile(list, [...next.values()].map(({ element }) => element));
    },
  };
}

/** @param {string} session */
function ring(session) {
  const arc = svg('circle', { cx: 8, cy: 8, r: RADIUS, class: 'ring-arc', 'stroke-dasharray': String(ROUND) });
  const what = h('span', { class: 'ring-what' });
  const time = h('span', { class: 'ring-time' });
  const link = h('a', { href: sessionPath(session), class: 'ring' },
    svg('svg', { viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true' }, svg('circle', { cx: 8, cy: 8, r: RADIUS, class: 'ring-round' }), arc),
    what, time);
  return {
    element: h('li', {}, link),
    /** @param {import('../spans.js').Span} span @param {string} machine @param {number} now */
    update(span, machine, now) {
      link.dataset.tier = span.tier;
      setAttribute(link, 'title', `${oneLine(session, 200)} · since ${utc(span.start)}`);
      setText(what, [oneLine(span.role, MAX_NAME) || 'dispatch', oneLine(machine, MAX_NAME)].filter(Boolean).join(' · '));
      setText(time, duration(Math.max(0, now - span.start)).replace(/\.\d/, ''));
      setAttribute(arc, 'stroke-dashoffset', String(ROUND * (1 - turn(now - span.start))));
    },
  };
}
