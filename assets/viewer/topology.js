/**
 * Where machines, Redis and the queue are in the picture of the fleet, and what flows between them. Pure.
 *
 * @module
 */

/** @typedef {import('./types.js').FleetMachine} FleetMachine */
/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {{name: string, x: number, y: number, machine: FleetMachine}} Node */

export const WIDTH = 720;
const ROW = 118;
const TOP = 70;
/** More than these are in the table alone. */
export const MAX_NODES = 24;

/**
 * Machines on both sides of what they share, which is in the middle.
 *
 * @param {readonly FleetMachine[]} fleet @param {string} here
 * @returns {{nodes: Node[], height: number, hidden: number}}
 */
export function layout(fleet, here) {
  const shown = [...fleet].sort((a, b) => Number(b.name === here) - Number(a.name === here) || a.name.localeCompare(b.name)).slice(0, MAX_NODES);
  const rows = Math.max(1, Math.ceil(shown.length / 2));
  const nodes = shown.map((machine, index) => {
    const left = index % 2 === 0;
    const row = Math.floor(index / 2);
    // The last one alone is in the middle of its side, as are the others.
    const onSide = left ? Math.ceil(shown.length / 2) : Math.floor(shown.length / 2);
    const shift = ((rows - onSide) * ROW) / 2;
    return { name: machine.name, x: left ? 96 : WIDTH - 96, y: TOP + shift + row * ROW, machine };
  });
  return { nodes, height: TOP * 2 + (rows - 1) * ROW, hidden: fleet.length - shown.length };
}

/** What a record of the flow shows of the traffic. @typedef {{machine: string, way: 'out' | 'in', kind: 'record' | 'job'}} Pulse */

/** @param {Entry} entry @returns {Pulse | null} nothing for a record of no machine */
export function pulseOf(entry) {
  if (entry.machine === '') return null;
  if (entry.action === 'dispatch route') return { machine: entry.machine, way: 'out', kind: 'job' };
  if (entry.action === 'dispatch start' || entry.action === 'work.claimed') return { machine: entry.machine, way: 'in', kind: 'job' };
  return { machine: entry.machine, way: 'out', kind: 'record' };
}

/** @param {{at: number, busy: number}[]} points @param {number} from @param {number} now @param {number} slots @returns {string} a line in a field of 100 by 20 */
export function sparkline(points, from, now, slots) {
  const most = Math.max(slots, 1, ...points.map(({ busy }) => busy));
  const place = (/** @type {number} */ at, /** @type {number} */ busy) => `${(((at - from) / (now - from)) * 100).toFixed(1)} ${(19 - (busy / most) * 17).toFixed(1)}`;
  // What was last told is how it is until now.
  const seen = [...points.filter(({ at }) => at >= from && at <= now), { at: now, busy: points.at(-1)?.busy ?? 0 }];
  return seen.map(({ at, busy }, index) => `${index === 0 ? 'M' : 'L'}${place(at, busy)}`).join(' ');
}
