/**
 * The page of the fleet: the picture, the table of its machines, and a page for each of them. A machine that is gone stays
 * with what was last known of it.
 *
 * @module
 */

import { age, bytes, count, utc } from '../format.js';
import { machinePath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { byId, commandLine, h, setText } from './dom.js';
import { createMachine } from './machine.js';
import { doing, line, linkTone, machinesOf, skew, tone, turnOf } from './standing.js';
import { createTable } from './table.js';
import { createTopology } from './topology.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').FleetMachine} FleetMachine */

const MAX_ROWS = 200;
const MAX_NAME = 80;
const MAX_MODELS = 3;

/** @param {FleetMachine} machine */
function models(machine) {
  const named = machine.models.slice(0, MAX_MODELS).map((name) => oneLine(name, MAX_NAME));
  const more = machine.models.length - named.length;
  return [...named, more > 0 && `${more} more`].filter(Boolean).join(', ');
}

/** @type {import('./table.js').Column<FleetMachine, State>[]} */
const COLUMNS = [
  {
    name: 'Machine',
    nodes: (m) => [`${m.name}\n${m.clash}`, () => [
      h('a', { href: machinePath(m.name) }, oneLine(m.name, MAX_NAME)), m.clash !== '' && h('span', { class: 'clash sub' }, oneLine(m.clash, 300)),
    ]],
    title: (m) => oneLine(m.clash, 300),
  },
  { name: 'State', nodes: (m) => [doing(m), () => [h('span', { class: 'session-outcome' }, doing(m))]] },
  {
    name: 'Last hour', kind: 'narrow',
    nodes: (m, state) => [turnOf(state), () => [line(state, m)]],
  },
  { name: 'Memory', kind: 'number', text: (m) => (m.ramFree >= 0 ? `${bytes(m.ramFree)} free` : '') },
  { name: 'Models', kind: 'wide-only', text: models, title: (m) => m.models.map((name) => oneLine(name, MAX_NAME)).join(', ').slice(0, 500) },
  { name: 'System', kind: 'dim wide-only', text: (m) => oneLine(m.system, MAX_NAME) },
  { name: 'Version', kind: 'dim wide-only', text: (m) => oneLine(m.version, MAX_NAME).split(' ')[0] || '1.x', title: (m) => oneLine(m.version, MAX_NAME) },
  { name: 'Last seen', kind: 'dim wide-only', text: (m, state) => [age(m.age + Math.max(0, state.now - state.fleetAt)), skew(m)].filter(Boolean).join(' · ') },
];

/** @type {import('./table.js').Column<import('../types.js').Peer, State>[]} */
const PEERS = [
  { name: 'Peer', nodes: (p) => [p.name, () => [h('a', { href: machinePath(p.name) }, oneLine(p.name, MAX_NAME))]] },
  {
    name: 'Link', kind: 'rest-of-line',
    nodes: (p) => [`${p.status}\n${p.problem}`, () => [
      h('span', { class: 'session-outcome', data: { tone: linkTone(p) } }, oneLine(p.status, 40)), p.problem !== '' && h('span', { class: 'sub' }, oneLine(p.problem, 300)),
    ]],
  },
  { name: 'Since', kind: 'dim', text: (p, { now }) => age(now - p.since), title: (p) => utc(p.since) },
  { name: 'Running', kind: 'number', text: (p) => String(p.sessions) },
  { name: 'Address', kind: 'dim wide-only', text: (p) => oneLine(p.url, MAX_NAME), title: (p) => oneLine(p.url, 300) },
  { name: 'By', kind: 'dim wide-only', text: (p) => oneLine(p.origin, 40) },
];

/** @type {import('./table.js').Column<import('../types.js').Found, State>[]} */
const FOUND = [
  { name: 'Machine', text: (m) => oneLine(m.name, MAX_NAME) },
  { name: 'Found in', kind: 'dim wide-only', text: (m) => oneLine(m.place, MAX_NAME), title: (m) => oneLine(m.place, 300) },
  { name: 'Address', kind: 'dim wide-only', text: (m) => oneLine(m.url, MAX_NAME), title: (m) => oneLine(m.url, 300) },
  { name: 'To connect', kind: 'wrap', nodes: (m) => [`${m.off} ${m.todo}`, () => [m.off && 'off; ', ...withCode(oneLine(m.todo, 300))]] },
];

/** @param {string} text what stands between marks (\\x60) is a command @returns {import('./dom.js').Child[]} */
export const withCode = (text) => text.split(/\x60/).map((part, at) => (at % 2 === 1 ? h('code', {}, part) : part));

/** @param {{machineAct: (machine: string, what: 'drain' | 'undrain') => void, launch: () => void}} actions */
export function createFleet(actions) {
  const page = byId('page-fleet', HTMLElement);
  const total = h('span', { id: 'fleet-count', class: 'note' });
  const problem = h('p', { id: 'fleet-problem', class: 'banner', role: 'status', hidden: true });
  const picture = createTopology();
  const table = createTable(COLUMNS, (m) => m.uid, (m) => ({
    machineUid: m.uid, machine: oneLine(m.name, MAX_NAME), tone: tone(m), ...(m.gone ? { gone: 'true' } : {}),
  }), { id: 'fleet', label: 'Machines' });
  const peers = createTable(PEERS, (p) => p.name, (p) => ({ peer: p.name, status: p.status }), { id: 'peers', label: 'Peers' });
  const links = h('section', {}, h('h3', {}, 'Peers', h('span', { class: 'note' }, 'machines whose sessions are shown here')), peers.element);
  const found = createTable(FOUND, (m) => m.name, (m) => ({ found: m.name }), { id: 'found', label: 'Found machines' });
  const others = h('section', {}, h('h3', {}, 'Found', h('span', { class: 'note' }, 'machines that are not connected yet')), found.element);
  const alone = h('div', { class: 'teach' }, h('h3', {}, 'More machines'), h('p', {}, 'Machines that share a Redis are one fleet. On each of them:'),
    commandLine('darkmux config set redis.url redis://hub:6379'), commandLine('darkmux serve'));
  const all = h('div', {}, h('div', { class: 'page-head' }, h('h2', {}, 'Fleet'), total), problem, picture.element, table.element, links, others, alone);
  const one = createMachine(actions);
  page.append(all, one.element);

  return {
    /** @param {State} state */
    render(state) {
      const { route } = state.place;
      if (route.page !== 'fleet' && route.page !== 'machine') return;
      all.hidden = route.page !== 'fleet';
      one.element.hidden = route.page !== 'machine';
      if (route.page === 'machine') return one.render(state);
      problem.hidden = state.fleetProblem === '';
      setText(problem, state.fleetProblem);
      picture.element.hidden = state.fleet.length === 0 && state.peers.length > 0;
      picture.render(state);
      table.update(machinesOf(state).slice(0, MAX_ROWS), state);
      links.hidden = state.peers.length === 0;
      peers.update(state.peers, state);
      others.hidden = state.found.length === 0;
      found.update(state.found.slice(0, MAX_ROWS), state);
      const gone = state.fleet.filter((machine) => machine.gone).length;
      setText(total, [
        state.fleet.length > MAX_ROWS ? `${MAX_ROWS} of ${state.fleet.length} machines` : state.fleet.length > 0 && count(state.fleet.length, 'machine'),
        state.peers.length > 0 && `${state.peers.filter((one) => one.status === 'connected').length} of ${count(state.peers.length, 'peer')} connected`,
        gone > 0 && `${gone} without a sign of life`,
      ].filter(Boolean).join(' · '));
      alone.hidden = state.fleet.length > 1 || state.peers.length > 0 || state.machine?.redis !== '' || state.fleetProblem !== '';
    },
  };
}
