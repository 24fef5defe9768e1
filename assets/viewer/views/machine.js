/**
 * The page of one machine: what it is and has, what runs on it, and whether it gets jobs.
 *
 * @module
 */

import { isOpen } from '../commands.js';
import { age, bytes, count } from '../format.js';
import { jobPath, sessionPath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { commandLine, h, replace } from './dom.js';
import { outcome as jobOutcome, tone as jobTone } from './jobs.js';
import { label, outcome, tone as sessionTone } from './sessions.js';
import { doing, line, skew, tone } from './standing.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Machine} Machine */
/** @typedef {import('../types.js').FleetMachine} FleetMachine */

const MAX_FACT = 200;
const MAX_MODELS = 50;
const MAX_LISTED = 30;

/** @param {{machineAct: (machine: string, what: 'drain' | 'undrain') => void}} actions */
export function createMachine({ machineAct }) {
  const element = h('div', { id: 'machine', hidden: true });
  let shown = '';

  return {
    element,
    /** @param {State} state */
    render(state) {
      const name = state.place.route.id;
      const member = state.fleet.find((one) => one.name === name);
      const own = state.machine?.id === name ? state.machine : null;
      const sessions = state.sessions.filter((one) => one.machine === name && isOpen(one.state));
      const jobs = state.jobs.filter((one) => one.machine === name);
      const drained = state.queue?.drained.includes(name) ?? false;
      const now = JSON.stringify([member, own, sessions, jobs, drained, state.access, state.fleet.length, Math.floor(state.now / 5_000)]);
      if (now === shown) return;
      shown = now;
      replace(element,
        h('div', { class: 'page-head' }, h('h2', {}, h('a', { class: 'crumb', href: '/fleet' }, 'Fleet / '), oneLine(name, MAX_FACT)),
          member && h('span', { class: 'session-outcome', data: { tone: tone(member) } }, drained ? 'drained' : doing(member)),
          h('span', { class: 'spacer' }),
          state.access === 'act' && state.queue !== null && h('button', {
            type: 'button', 'data-acts': true, title: drained ? 'Hand out jobs to it again' : 'Hand out no more jobs to it; running ones go on', on: { click: () => machineAct(name, drained ? 'undrain' : 'drain') },
          }, drained ? 'Give it jobs' : 'Drain')),
        ...body(state, member, own),
        ...listed('Sessions', sessions.slice(0, MAX_LISTED).map((one) => [sessionPath(one.id), label(one), outcome(one), sessionTone(one)]), member ? 'Nothing runs in a terminal there.' : ''),
        ...listed('Jobs', jobs.slice(0, MAX_LISTED).map((one) => [jobPath(one.id), oneLine(one.name || one.id, MAX_FACT), jobOutcome(one), jobTone(one)]), ''));
    },
  };
}

/** @param {State} state @param {FleetMachine | undefined} member @param {Machine | null} own */
function body(state, member, own) {
  if (!member && !own) {
    return [h('div', { class: 'teach' }, h('h3', {}, 'No machine of this name shows a sign of life'), h('p', {}, 'If it is one of yours, start its daemon there:'), commandLine('darkmux serve'))];
  }
  return [
    member?.clash && h('p', { class: 'banner' }, oneLine(member.clash, 300)),
    h('div', { class: 'machine-facts' },
      h('dl', { class: 'facts' }, ...facts(state, member, own)),
      member && h('div', { class: 'machine-hour' }, h('h3', {}, 'Jobs, last hour'), line(state, member)),
      models(member?.models ?? own?.models ?? [], own?.modelsUnreachable ?? false)),
  ].filter((one) => one !== '' && one !== undefined);
}

/** @param {State} state @param {FleetMachine | undefined} member @param {Machine | null} own */
function facts(state, member, own) {
  const free = own && own.ramFree >= 0 ? own.ramFree : member?.ramFree ?? NaN;
  return [
    ...fact('System', own?.os || member?.system || ''),
    ...fact('Processor', own?.cpu ?? ''),
    ...fact('Memory', [free >= 0 && `${bytes(free)} free`, own && own.ramTotal > 0 && `of ${bytes(own.ramTotal)}`].filter(Boolean).join(' ')),
    ...fact('darkmux', own?.version || member?.version || ''),
    ...fact('Flow schema', own?.flowSchema ?? ''),
    ...fact('Slots', member && member.slots >= 0 ? `${member.busy || 0} of ${member.slots} busy` : ''),
    ...fact('Roles', (member?.roles ?? []).map((role) => oneLine(role, 60)).slice(0, 30).join(', ')),
    ...fact('Redis', own?.redis ?? ''),
    ...fact('Last seen', member ? [age(member.age + Math.max(0, state.now - state.fleetAt)), skew(member)].filter(Boolean).join(' · ') : ''),
  ];
}

/** @param {string} name @param {string} value */
function fact(name, value) {
  return value === '' ? [] : [h('dt', {}, name), h('dd', {}, oneLine(value, 600))];
}

/** @param {string[]} loaded @param {boolean} unreachable */
function models(loaded, unreachable) {
  if (loaded.length === 0) return h('p', { class: 'note' }, unreachable ? 'No model endpoint answers.' : 'No models are loaded.');
  return h('div', { class: 'models' },
    h('h3', {}, count(loaded.length, 'loaded model')),
    h('ul', {}, ...loaded.slice(0, MAX_MODELS).map((name) => h('li', { title: oneLine(name, MAX_FACT) }, oneLine(name, MAX_FACT)))));
}

/** @param {string} title @param {[string, string, string, string][]} rows @param {string} none */
function listed(title, rows, none) {
  if (rows.length === 0) return none === '' ? [] : [h('section', {}, h('h3', {}, title), h('p', { class: 'note' }, none))];
  return [h('section', {}, h('h3', {}, title), h('ul', { class: 'plain-list' }, ...rows.map(([path, name, how, colour]) => h('li', {},
    h('a', { href: path }, name), h('span', { class: 'session-outcome', data: { tone: colour } }, how)))))];
}
