/**
 * The rail: where one is, and how many of each there are. On a phone it is the bar at the bottom.
 *
 * @module
 */

import { isOpen } from '../commands.js';
import { count } from '../format.js';
import { flowPath } from '../mode.js';
import { sectionOf } from '../routes.js';
import { waiting } from '../v1.js';
import { byId, setAttribute, setText } from './dom.js';
import { NARROW } from './narrow.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {{count: number, tone?: string, about: string}} Tally */

/** @param {number} n */
const short = (n) => (n > 999 ? `${Math.floor(n / 1000)}k` : String(n));

/** @param {State} state @returns {{[pane: string]: Tally}} */
export function tallies(state) {
  const alive = state.fleet.filter(({ gone }) => !gone).length;
  const lost = state.fleet.length - alive;
  const open = state.sessions.filter((session) => isOpen(session.state)).length;
  const needs = waiting(state.sessions).length;
  const jobs = state.queue === null ? 0 : state.queue.queued + state.queue.waiting + state.queue.running;
  const dead = state.queue?.dead ?? 0;
  return {
    fleet: { count: alive, tone: lost > 0 || state.fleetProblem !== '' ? 'warn' : '', about: `${count(alive, 'machine')} alive${lost > 0 ? `, ${lost} not` : ''}` },
    flow: { count: state.unseen, about: count(state.unseen, 'new record') },
    queue: { count: jobs, tone: dead > 0 || state.queueProblem !== '' ? 'warn' : '', about: `${count(jobs, 'open job')}${dead > 0 ? `, ${count(dead, 'dead letter')}` : ''}` },
    sessions: { count: open, about: `${count(open, 'session')} running` },
    inbox: { count: needs, tone: needs > 0 ? 'needs' : '', about: needs === 1 ? '1 session needs you' : `${needs} sessions need you` },
  };
}

export function createRail() {
  const nav = byId('panes', HTMLElement);
  const side = byId('side', HTMLElement);
  const links = /** @type {HTMLAnchorElement[]} */ ([...nav.querySelectorAll('a')]);

  return {
    /** @param {State} state */
    render(state) {
      const section = sectionOf(state.place.route);
      document.body.dataset.pane = section;
      document.body.dataset.page = state.place.route.page;
      // On a phone the list of sessions is the page.
      setAttribute(side, 'role', NARROW.matches && state.place.route.page === 'sessions' && state.place.tiles.length === 0 ? 'main' : 'complementary');
      const counts = tallies(state);
      for (const link of links) {
        const name = link.dataset.pane ?? '';
        setAttribute(link, 'aria-current', name === section && 'page');
        if (name === 'flow') setAttribute(link, 'href', flowPath(state.mode));
        const tally = counts[name];
        const badge = link.querySelector('.tally');
        if (!tally || !badge) continue;
        setText(badge, tally.count > 0 ? short(tally.count) : '');
        setAttribute(badge, 'data-tone', tally.tone || false);
        setAttribute(link, 'title', tally.about);
      }
    },
  };
}
