/**
 * The machine whose daemon this page shows: hardware, versions, loaded models.
 *
 * @module
 */

import { bytes, count } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, h, replace } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Machine} Machine */

const MAX_FACT = 200;
const MAX_MODELS = 50;

export function createMachine() {
  const panel = byId('machine', HTMLDivElement);
  /** @type {Machine | null | undefined} */
  let shown;

  return {
    /** @param {State} state */
    render(state) {
      if (state.machine === shown) return;
      shown = state.machine;
      if (shown === null) replace(panel, h('p', { class: 'note' }, state.mode.kind === 'demo' ? 'A replay of a file has no machine.' : 'Asking the daemon…'));
      else replace(panel, h('dl', { class: 'facts' }, ...facts(shown)), ...memory(shown), models(shown));
    },
  };
}

/** @param {Machine} machine */
function facts(machine) {
  return [
    ...fact('System', machine.os),
    ...fact('Processor', machine.cpu),
    ...fact('darkmux', machine.version),
    ...fact('Flow schema', machine.flowSchema),
    ...fact('Redis', machine.redis),
  ];
}

/** @param {string} name @param {string} value */
function fact(name, value) {
  return value === '' ? [] : [h('dt', {}, name), h('dd', {}, oneLine(value, MAX_FACT))];
}

/** @param {Machine} machine */
function memory({ ramTotal, ramFree }) {
  if (!(ramTotal > 0)) return [];
  if (!(ramFree >= 0)) return [h('p', { class: 'memory' }, `${bytes(ramTotal)} of memory`)];
  const label = `${bytes(ramFree)} of ${bytes(ramTotal)} free for models`;
  return [
    h('div', { class: 'memory' },
      h('meter', { min: 0, max: ramTotal, value: Math.max(0, ramTotal - ramFree), 'aria-label': 'Memory in use' }),
      h('span', {}, label)),
  ];
}

/** @param {Machine} machine */
function models({ models: loaded, modelsUnreachable }) {
  if (loaded.length === 0) {
    return h('p', { class: 'note' }, modelsUnreachable ? 'No model endpoint answers.' : 'No models are loaded.');
  }
  return h('div', { class: 'models' },
    h('h3', {}, count(loaded.length, 'loaded model')),
    h('ul', {}, ...loaded.slice(0, MAX_MODELS).map((name) => h('li', {}, oneLine(name, MAX_FACT)))));
}
