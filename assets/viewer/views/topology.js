/**
 * The fleet as a picture: machines and what links them. What moves in it is a record or a job that this page was told of.
 *
 * @module
 */

import { count } from '../format.js';
import { machinePath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { layout, pulseOf } from '../topology.js';
import { h, replace, setAttribute, svg } from './dom.js';
import { doing, machinesOf, tone } from './standing.js';

/** @typedef {import('../types.js').State} State */

const MAX_NAME = 20;
const PULSE_MS = 900;
/** Pulses on their way at once; a burst of thousands shows as many. */
const MAX_PULSES = 24;
const NARROW_PX = 560;
/** How round a corner of a link is. */
const BEND_PX = 12;
const CALM = matchMedia('(prefers-reduced-motion: reduce)');

export function createTopology() {
  const picture = svg('svg', { class: 'topology', role: 'group', 'aria-label': 'The machines of the fleet and what links them' });
  const note = h('p', { class: 'note' });
  const element = h('div', { class: 'topology-frame' }, picture, note);
  let shown = '';
  /** @type {Map<string, {x: number, y: number}>} */
  let places = new Map();
  let middle = { x: 0, y: 0 };
  /** @type {unknown} */
  let records = null;
  let newest = '';
  let pulses = 0;

  const isNarrow = () => element.clientWidth < NARROW_PX;

  /** @param {State} state */
  function draw(state) {
    const shared = (state.machine?.redis ?? '') !== '';
    const { nodes, hub: at, width, height, hidden } = layout(machinesOf(state), state.machine?.id ?? '', isNarrow());
    // With nothing to be linked to it is not beside anything.
    if (!shared && nodes.length === 1) [nodes[0].x, nodes[0].y] = [width / 2, height / 2];
    const away = state.fleetProblem !== '';
    middle = at;
    places = new Map(nodes.map(({ name, x, y }) => [name, { x, y }]));
    setAttribute(picture, 'viewBox', `0 0 ${width} ${height}`);
    const links = shared ? nodes.map(({ x, y, machine }) => svg('path', { class: 'link', d: (isNarrow() ? bend : curve)({ x, y }, middle), 'data-down': (away || machine.gone) && 'true' })) : [];
    replace(picture, ...links, shared && hub(state, middle, away), ...nodes.map((node) => machineNode(node, node.name === state.machine?.id)));
    replace(note, [state.machine?.redis === '' && 'This machine works alone. A shared Redis makes a fleet: darkmux fleet --help', hidden > 0 && `${count(hidden, 'more machine')} in the table below`].filter(Boolean).join(' · '));
    note.hidden = note.textContent === '';
  }

  /** @param {State} state */
  function flow(state) {
    if (records === state.records) return;
    records = state.records;
    const last = state.records.at(-1)?.key ?? '';
    if (newest === '' || CALM.matches) {
      newest = last;
      return;
    }
    for (let at = state.records.length - 1; at >= 0 && state.records[at].key !== newest && pulses < MAX_PULSES; at -= 1) {
      const pulse = pulseOf(state.records[at]);
      const from = pulse && places.get(pulse.machine);
      if (pulse && from) send(from, pulse);
    }
    newest = last;
  }

  /** @param {{x: number, y: number}} machine @param {import('../topology.js').Pulse} pulse */
  function send(machine, { way, kind }) {
    const [from, to] = way === 'out' ? [machine, middle] : [middle, machine];
    const dot = svg('circle', { class: 'pulse', r: kind === 'job' ? 5 : 3, 'data-kind': kind });
    picture.append(dot);
    pulses += 1;
    const moving = dot.animate([
      { transform: `translate(${from.x}px, ${from.y}px)`, opacity: 0 },
      { transform: `translate(${(from.x + to.x) / 2}px, ${(from.y + to.y) / 2}px)`, opacity: 1 },
      { transform: `translate(${to.x}px, ${to.y}px)`, opacity: 0 },
    ], { duration: PULSE_MS, easing: 'ease-in-out' });
    moving.onfinish = moving.oncancel = () => {
      dot.remove();
      pulses -= 1;
    };
  }

  return {
    element,
    /** @param {State} state */
    render(state) {
      const now = JSON.stringify([
        machinesOf(state).map((one) => [one.name, doing(one), tone(one), one.gone, one.slots, one.busy]), state.fleetProblem, state.queueProblem, state.machine?.id, state.machine?.redis,
        isNarrow(), state.queue && [state.queue.queued, state.queue.waiting, state.queue.running, state.queue.paused, state.queue.dead],
      ]);
      if (now !== shown) {
        shown = now;
        draw(state);
      }
      flow(state);
    },
  };
}

/** @param {{x: number, y: number}} from @param {{x: number, y: number}} to */
const curve = (from, to) => `M${from.x} ${from.y} C${(from.x + to.x) / 2} ${from.y} ${(from.x + to.x) / 2} ${to.y} ${to.x} ${to.y}`;

/** Down the middle, and to the side: past what is in between. @param {{x: number, y: number}} from @param {{x: number, y: number}} to */
const bend = (from, to) => `M${from.x} ${from.y} L${to.x + Math.sign(from.x - to.x) * BEND_PX} ${from.y} Q${to.x} ${from.y} ${to.x} ${from.y - BEND_PX} L${to.x} ${to.y}`;

/** @param {import('../topology.js').Node} node @param {boolean} here */
function machineNode({ name, x, y, machine }, here) {
  const label = oneLine(name, MAX_NAME);
  const link = svg('a', { href: machinePath(name), class: 'node', 'data-tone': tone(machine), 'data-gone': machine.gone && 'true', 'aria-label': `${label}${here ? ' here' : ''} ${doing(machine)}` },
    svg('rect', { x: x - 78, y: y - 27, width: 156, height: 54, rx: 9 }),
    svg('circle', { class: 'node-dot', cx: x - 62, cy: y - 6, r: 4 }),
    svg('text', { class: 'node-name', x: x - 50, y: y - 2 }, `${label} `, here && svg('tspan', { class: 'node-here', dx: 6 }, 'here ')),
    svg('text', { class: 'node-what', x: x - 50, y: y + 14 }, doing(machine)));
  const slots = Math.min(machine.slots || 0, 8);
  for (let at = 0; at < slots; at += 1) link.append(svg('rect', { class: 'slot', 'data-busy': at < machine.busy && 'true', x: x + 66 - (slots - at) * 9, y: y + 6, width: 6, height: 9, rx: 1.5 }));
  return link;
}

/** @param {State} state @param {{x: number, y: number}} at @param {boolean} away */
function hub({ queue, queueProblem }, { x, y }, away) {
  const words = queue === null ? '' : queue.paused ? 'queue paused' : `${queue.queued + queue.waiting} waiting · ${queue.running} running`;
  return svg('a', { href: '/queue', class: 'node hub', 'data-down': (away || queueProblem !== '') && 'true', 'aria-label': `Redis ${away ? 'does not answer' : words}` },
    svg('rect', { x: x - 82, y: y - 32, width: 164, height: 64, rx: 32 }),
    svg('text', { class: 'node-name', x, y: y - 4, 'text-anchor': 'middle' }, 'Redis '),
    svg('text', { class: 'node-what', x, y: y + 14, 'text-anchor': 'middle' }, away ? 'does not answer' : words));
}
