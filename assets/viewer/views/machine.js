/**
 * The page of one machine: what it is and has, what runs on it, and whether it gets jobs.
 *
 * @module
 */

import { beside, called } from '../called.js';
import { isOpen } from '../commands.js';
import { age, bytes, count, duration, way } from '../format.js';
import { jobPath, machinePath, sessionPath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { commandLine, h, replace } from './dom.js';
import { outcome as jobOutcome, tone as jobTone } from './jobs.js';
import { launchable } from './launch.js';
import { outcome, tone as sessionTone } from './sessions.js';
import { doing, line, linkTone, skew, tone } from './standing.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Machine} Machine */
/** @typedef {import('../types.js').FleetMachine} FleetMachine */
/** @typedef {import('../types.js').Peer} Peer */

const MAX_FACT = 200;
const MAX_MODELS = 50;
const MAX_LISTED = 30;

/** @param {{machineAct: (machine: string, what: 'drain' | 'undrain') => void, launch: () => void}} actions */
export function createMachine({ machineAct, launch }) {
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
      // A machine that only another one reaches is as far away as that one's link is.
      const peer = state.peers.find((one) => one.name === name.slice(name.lastIndexOf('@') + 1));
      const behind = [...new Set(state.sessions.map((one) => one.machine).filter((machine) => machine.endsWith(`@${name}`)))].sort();
      const now = JSON.stringify([member, own, peer, behind, sessions, jobs, drained, state.access, state.fleet.length, Math.floor(state.now / 5_000)]);
      if (now === shown) return;
      shown = now;
      replace(element,
        h('div', { class: 'page-head' }, h('h2', {}, h('a', { class: 'crumb', href: '/fleet' }, 'Fleet / '), ...above(name), oneLine(name.split('@')[0], MAX_FACT)),
          peer && h('span', { id: 'machine-link', class: 'session-outcome', data: { tone: linkTone(peer) } }, oneLine(peer.status, 40)),
          member && h('span', { class: 'session-outcome', data: { tone: tone(member) } }, drained ? 'drained' : doing(member)),
          h('span', { class: 'spacer' }),
          state.access === 'act' && (own !== null || launchable(state).includes(name)) && h('button', { type: 'button', 'data-acts': true, title: 'Start a session on it', on: { click: launch } }, 'New session'),
          state.access === 'act' && state.queue !== null && (member || own) && h('button', {
            type: 'button', 'data-acts': true, title: drained ? 'Hand out jobs to it again' : 'Hand out no more jobs to it; running ones go on', on: { click: () => machineAct(name, drained ? 'undrain' : 'drain') },
          }, drained ? 'Give it jobs' : 'Drain')),
        ...body(state, member, own, peer),
        h('div', { class: 'machine-lists' },
          ...listed('Behind it', behind.map((machine) => [machinePath(machine), oneLine(way(machine.slice(0, -name.length - 1)), MAX_FACT), 'reached through it', 'off']), ''),
          ...listed('Sessions', sessions.slice(0, MAX_LISTED).map((one) => [sessionPath(one.id), [called(one), beside(one)].filter(Boolean).join(' · '), outcome(one), sessionTone(one)]), member || peer ? 'Nothing runs in a terminal there.' : ''),
          ...listed('Jobs', jobs.slice(0, MAX_LISTED).map((one) => [jobPath(one.id), oneLine(one.name || one.id, MAX_FACT), jobOutcome(one), jobTone(one)]), '')));
    },
  };
}

/** @param {string} name `dev@server` @returns {import('./dom.js').Child[]} the machines on the way there, each with its page */
function above(name) {
  const names = name.split('@');
  return names.slice(1).map((one, at) => h('a', { class: 'crumb', href: machinePath(names.slice(at + 1).join('@')) }, `${oneLine(one, MAX_FACT)} / `)).reverse();
}

/** @param {Peer} peer @param {number} now */
function link({ url, origin, version, since, problem, status }, now) {
  return [
    ...fact('Link', [status, Number.isNaN(since) ? '' : `for ${duration(Math.max(0, now - since))}`].filter(Boolean).join(' ')),
    ...fact('Problem', problem), ...fact('Address', url), ...fact('Known by', origin), ...fact('darkmux', version),
  ];
}

/** @param {State} state @param {FleetMachine | undefined} member @param {Machine | null} own @param {Peer | undefined} peer */
function body(state, member, own, peer) {
  if (!member && !own && peer) {
    const through = peer.name === state.place.route.id ? [] : fact('Through', peer.name);
    const told = through.length === 0 ? peer : { ...peer, url: '', origin: '', version: '' };
    return [h('div', { class: 'machine-facts' }, h('dl', { class: 'facts' }, ...through, ...link(told, state.now)))];
  }
  if (!member && !own) {
    return [h('div', { class: 'teach' }, h('h3', {}, 'No machine of this name shows a sign of life'), h('p', {}, 'If it is one of yours, start its daemon there:'), commandLine('darkmux serve'))];
  }
  return [
    member?.clash && h('p', { class: 'banner' }, oneLine(member.clash, 300)),
    h('div', { class: 'machine-facts' },
      h('dl', { class: 'facts' }, ...facts(state, member, own), ...(peer ? link({ ...peer, version: '' }, state.now) : [])),
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
