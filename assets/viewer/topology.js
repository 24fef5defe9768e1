/**
 * Where machines, Redis and the queue are in the picture of the fleet, and what flows between them. Pure.
 *
 * @module
 */

/** @typedef {import('./types.js').FleetMachine} FleetMachine */
/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {{name: string, x: number, y: number, machine: FleetMachine}} Node */

/** More than these are in the table alone. */
export const MAX_NODES = 24;
const WIDE = { width: 720, row: 118, top: 70, side: 96 };
/** What they share is above them, where there is no room between them. */
const NARROW = { width: 360, row: 84, top: 152, side: 92 };

/**
 * Machines on both sides of what they share.
 *
 * @param {readonly FleetMachine[]} fleet @param {string} here @param {boolean} narrow
 * @returns {{nodes: Node[], hub: {x: number, y: number}, width: number, height: number, hidden: number}}
 */
export function layout(fleet, here, narrow) {
  const { width, row, top, side } = narrow ? NARROW : WIDE;
  const shown = [...fleet].sort((a, b) => Number(b.name === here) - Number(a.name === here) || a.name.localeCompare(b.name)).slice(0, MAX_NODES);
  const rows = Math.max(1, Math.ceil(shown.length / 2));
  const nodes = shown.map((machine, index) => {
    const left = index % 2 === 0;
    // One machine fewer on a side is in the middle of its side.
    const onSide = left ? rows : Math.floor(shown.length / 2);
    const shift = narrow ? 0 : ((rows - onSide) * row) / 2;
    return { name: machine.name, x: left ? side : width - side, y: top + shift + Math.floor(index / 2) * row, machine };
  });
  const height = top + (rows - 1) * row + (narrow ? 48 : top);
  return { nodes, hub: { x: width / 2, y: narrow ? 52 : height / 2 }, width, height, hidden: fleet.length - shown.length };
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
