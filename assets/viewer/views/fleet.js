/**
 * The list of the fleet: the machines that share this one's Redis, with what they say of themselves.
 *
 * @module
 */

import { age, bytes, count } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, h, reconcile, setAttribute, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').FleetMachine} FleetMachine */

const MAX_ROWS = 200;
const MAX_NAME = 80;
const MAX_MODELS = 3;
/** A clock that is further off than this is told, in milliseconds. */
const SKEW_MS = 2_000;

/** @param {FleetMachine} machine @returns {string} what it does, and how many jobs of how many */
export function doing(machine) {
  if (machine.clash !== '') return 'clash';
  if (machine.state === '') return 'alive';
  if (machine.state === 'no runner' || !(machine.slots >= 0)) return machine.state;
  return `${machine.state} ${machine.busy || 0}/${machine.slots}`;
}

/** @param {FleetMachine} machine @returns {'open' | 'good' | 'bad' | 'lost'} how it stands, for colour */
export function tone(machine) {
  if (machine.clash !== '') return 'bad';
  if (machine.state === 'draining') return 'lost';
  return machine.state === 'busy' ? 'open' : 'good';
}

/** @param {FleetMachine} machine @returns {string} version, system and free memory, as far as they are known */
export function facts(machine) {
  return [
    oneLine(machine.version, MAX_NAME).split(' ')[0] || '1.x',
    oneLine(machine.system, MAX_NAME),
    machine.ramFree >= 0 && `${bytes(machine.ramFree)} free`,
    Math.abs(machine.skew) > SKEW_MS && `clock ${machine.skew > 0 ? '+' : '−'}${Math.round(Math.abs(machine.skew) / 1000)} s`,
  ].filter(Boolean).join(' · ');
}

/** @param {FleetMachine} machine */
function models(machine) {
  const named = machine.models.slice(0, MAX_MODELS).map((name) => oneLine(name, MAX_NAME));
  const more = machine.models.length - named.length;
  return [...named, more > 0 && `${more} more`].filter(Boolean).join(', ');
}

export function createFleet() {
  const list = byId('fleet', HTMLOListElement);
  const panel = /** @type {HTMLElement} */ (list.closest('section'));
  const total = byId('fleet-count', HTMLElement);
  const problem = byId('fleet-problem', HTMLParagraphElement);
  /** @type {Map<string, ReturnType<typeof machineRow>>} */
  let rows = new Map();
  /** @type {FleetMachine[] | undefined} */
  let shownFleet;
  let shownProblem = '';

  return {
    /** @param {State} state */
    render(state) {
      if (state.fleet === shownFleet && state.fleetProblem === shownProblem) return;
      shownFleet = state.fleet;
      shownProblem = state.fleetProblem;
      // A machine without Redis has no fleet to show.
      panel.hidden = state.fleet.length === 0 && state.fleetProblem === '';
      document.body.toggleAttribute('data-fleet', !panel.hidden);
      problem.hidden = state.fleetProblem === '';
      setText(problem, state.fleetProblem);
      const next = new Map();
      for (const machine of state.fleet.slice(0, MAX_ROWS)) {
        const row = rows.get(machine.uid) ?? machineRow(machine.uid);
        row.update(machine);
        next.set(machine.uid, row);
      }
      rows = next;
      reconcile(list, [...next.values()].map((row) => row.element));
      const hidden = state.fleet.length - next.size;
      setText(total, hidden > 0 ? `${next.size} of ${state.fleet.length}` : count(next.size, 'machine'));
    },
  };
}

/** @param {string} uid */
function machineRow(uid) {
  const name = h('span', { class: 'session-title' });
  const badge = h('span', { class: 'session-outcome' });
  const what = h('span', { class: 'session-what' });
  const when = h('span', { class: 'session-when' });
  const loaded = h('span', { class: 'session-what' });
  const clash = h('span', { class: 'clash' });
  const element = h('li', { class: 'machine', data: { machineUid: uid } },
    h('span', { class: 'session-line' }, name, badge),
    h('span', { class: 'session-line' }, what, when), loaded, clash);
  return {
    element,
    /** @param {FleetMachine} machine */
    update(machine) {
      element.dataset.machine = oneLine(machine.name, MAX_NAME);
      element.dataset.tone = tone(machine);
      setText(name, oneLine(machine.name, MAX_NAME));
      setText(badge, doing(machine));
      setText(what, facts(machine));
      setText(when, [oneLine(machine.origin, 20), age(machine.age)].filter(Boolean).join(' · '));
      setText(loaded, models(machine));
      loaded.hidden = machine.models.length === 0;
      setText(clash, oneLine(machine.clash, 300));
      clash.hidden = machine.clash === '';
      setAttribute(element, 'title', oneLine(machine.clash || facts(machine), 300));
    },
  };
}
