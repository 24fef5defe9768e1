/**
 * The fleet as it was last known: a machine that shows no sign of life any more stays. Pure; bounded.
 *
 * @module
 */

/** @typedef {import('./types.js').FleetMachine} FleetMachine */

const MAX_MACHINES = 200;

/**
 * Those that were alive stay, with what was last known of them.
 *
 * @param {FleetMachine[]} before @param {FleetMachine[]} alive @param {number} passed milliseconds since `before`
 * @returns {FleetMachine[]}
 */
export function withGone(before, alive, passed) {
  const there = new Set(alive.map(({ uid }) => uid));
  const names = new Set(alive.map(({ name }) => name));
  const gone = before.filter(({ uid, name }) => !there.has(uid) && !names.has(name))
    .map((machine) => ({ ...machine, gone: true, busy: 0, age: machine.age + passed }));
  return [...alive, ...gone].sort((a, b) => a.name.localeCompare(b.name)).slice(0, MAX_MACHINES);
}
