/**
 * How a machine stands, in words, in a colour, and as a line of the last hour: for the table, the picture and its page.
 *
 * @module
 */

import { busyLines } from '../spans.js';
import { sparkline } from '../topology.js';
import { svg } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').FleetMachine} FleetMachine */

/** A clock that is further off than this is told, in milliseconds. */
const SKEW_MS = 2_000;

/** @param {State} state @returns {readonly FleetMachine[]} the fleet; of a machine that works alone nobody tells, and it is one all the same */
export function machinesOf({ fleet, fleetProblem, machine }) {
  if (fleet.length > 0 || fleetProblem !== '' || machine === null || machine.redis !== '') return fleet;
  const { id, version, os, ramFree, models } = machine;
  return [{ uid: id, name: id, version, system: os, slots: NaN, busy: NaN, ramFree, age: 0, skew: 0, state: '', models, roles: [], gone: false, origin: '', clash: '' }];
}

/** @param {FleetMachine} machine @returns {string} what it does, and how many jobs of how many */
export function doing(machine) {
  if (machine.gone) return 'no sign of life';
  if (machine.clash !== '') return 'clash';
  if (machine.state === '') return 'alive';
  if (machine.state === 'no runner' || !(machine.slots >= 0)) return machine.state;
  return `${machine.state} ${machine.busy || 0}/${machine.slots}`;
}

/** @param {FleetMachine} machine @returns {'open' | 'good' | 'bad' | 'lost'} how it stands, for colour */
export function tone(machine) {
  if (machine.clash !== '') return 'bad';
  if (machine.gone || machine.state === 'draining') return 'lost';
  return machine.state === 'busy' ? 'open' : 'good';
}

/** @param {import('../types.js').Peer} peer @returns {'good' | 'bad' | 'lost' | 'off'} how its link is, for colour */
export function linkTone({ status }) {
  if (status === 'connected') return 'good';
  if (status === 'offline') return 'off';
  return status === 'connecting' ? 'lost' : 'bad';
}

/** @param {FleetMachine} machine @returns {string} how far its clock is off, where that is worth a word */
export function skew(machine) {
  if (!(Math.abs(machine.skew) > SKEW_MS)) return '';
  return `clock ${machine.skew > 0 ? '+' : '−'}${Math.round(Math.abs(machine.skew) / 1000)} s`;
}

const HOUR_MS = 3_600_000;
/** Lines are drawn anew as often, in milliseconds. */
const REDRAW_MS = 10_000;
/** @param {State} state @returns {string} other than before when the lines are to be drawn anew */
export const turnOf = ({ records, now }) => `${Math.floor(now / REDRAW_MS)} ${records.length > 0}`;
/** @type {{turn: string, lines: ReturnType<typeof busyLines>}} */
let kept = { turn: '', lines: new Map() };

/** @param {State} state @param {FleetMachine} machine how many of its slots were in use in the last hour, as the records tell */
export function line(state, machine) {
  const { records, now } = state;
  const turn = turnOf(state);
  if (turn !== kept.turn) kept = { turn, lines: busyLines(records, now - HOUR_MS) };
  const points = kept.lines.get(machine.name) ?? [{ at: now - HOUR_MS, busy: 0 }];
  return svg('svg', { viewBox: '0 0 100 20', class: 'spark', preserveAspectRatio: 'none', role: 'img', 'aria-label': 'Dispatches that ran in the last hour' },
    svg('path', { d: sparkline(points, now - HOUR_MS, now, machine.slots || 0) }));
}
