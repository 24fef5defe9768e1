/**
 * The dialog that publishes a job, and says before which machines could run it.
 *
 * @module
 */

import { newKey } from '../act.js';
import { oneLine } from '../sanitize.js';
import { byId, h, replace, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../act.js').Dispatch} Dispatch */

const MAX_CHOICES = 200;

/** @param {import('../types.js').Judgement[]} machines */
export function judgementTable(machines) {
  if (machines.length === 0) return h('p', { class: 'note' }, 'No machine is known; darkmux serve on each of them makes it show.');
  /** @type {{[verdict: string]: string}} */
  const words = { now: 'now', later: 'not now', no: 'no' };
  return h('div', { class: 'table-frame' }, h('table', { class: 'table' },
    h('thead', {}, h('tr', {}, ...['Machine', 'Can run it', 'Why'].map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, ...machines.slice(0, MAX_CHOICES).map(({ machine, verdict, reasons }) => h('tr', {},
      h('td', {}, oneLine(machine, 64)), h('td', {}, h('span', { class: 'verdict', data: { verdict } }, words[verdict] ?? oneLine(verdict, 20))),
      h('td', { class: 'wrap dim' }, oneLine(reasons.join('; '), 500)))))));
}

/**
 * @param {(what: Dispatch) => Promise<import('../types.js').Judgement[]>} ask which machines could run it; throws with the reason
 * @param {(what: Dispatch) => Promise<void>} publish throws with the reason
 */
export function createDispatch(ask, publish) {
  const dialog = byId('dispatch', HTMLDialogElement);
  const form = byId('dispatch-form', HTMLFormElement);
  const role = byId('dispatch-role', HTMLInputElement);
  const message = byId('dispatch-message', HTMLTextAreaElement);
  const machine = byId('dispatch-machine', HTMLInputElement);
  const pin = byId('dispatch-pin', HTMLInputElement);
  const needs = byId('dispatch-require', HTMLInputElement);
  const priority = byId('dispatch-priority', HTMLSelectElement);
  const retries = byId('dispatch-retries', HTMLInputElement);
  const name = byId('dispatch-name', HTMLInputElement);
  const judgement = byId('dispatch-judgement', HTMLElement);
  const problem = byId('dispatch-problem', HTMLElement);
  let may = false;
  // What is asked again because no answer came is one job; what was changed is another.
  let key = newKey();
  /** @type {unknown} */
  let offered = null;

  /** @returns {Dispatch} */
  const asked = () => ({
    role: role.value.trim(),
    message: message.value,
    name: name.value.trim() || undefined,
    [pin.checked ? 'pin' : 'machine']: machine.value.trim() || undefined,
    require: needs.value.split(/[\s,]+/).filter(Boolean),
    priority: priority.value,
    retries: Number(retries.value) || undefined,
    key,
  });

  /** @param {() => Promise<void>} work */
  async function attempt(work) {
    setText(problem, '');
    for (const button of form.querySelectorAll('button')) button.disabled = true;
    try {
      await work();
    } catch (error) {
      setText(problem, error instanceof Error ? error.message : String(error));
    }
    for (const button of form.querySelectorAll('button')) button.disabled = false;
  }

  byId('dispatch-cancel', HTMLButtonElement).addEventListener('click', () => dialog.close());
  byId('dispatch-try', HTMLButtonElement).addEventListener('click', () => {
    if (form.reportValidity()) void attempt(async () => replace(judgement, judgementTable(await ask(asked()))));
  });
  form.addEventListener('input', () => {
    judgement.replaceChildren();
    key = newKey();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void attempt(async () => {
      await publish(asked());
      message.value = '';
      key = newKey();
      dialog.close();
    });
  });

  return {
    show() {
      if (!may || document.querySelector('dialog[open]')) return;
      setText(problem, '');
      judgement.replaceChildren();
      dialog.showModal();
      (role.value === '' ? role : message).focus();
    },
    /** @param {State} state */
    render(state) {
      may = state.access === 'act' && state.mode.kind !== 'demo' && state.queue !== null;
      if (state.fleet === offered) return;
      offered = state.fleet;
      const options = (/** @type {string[]} */ values) => [...new Set(values)].sort().slice(0, MAX_CHOICES).map((value) => h('option', { value }));
      replace(byId('dispatch-roles', HTMLDataListElement), ...options(state.fleet.flatMap(({ roles }) => roles)));
      replace(byId('dispatch-machines', HTMLDataListElement), ...options(state.fleet.map((one) => one.name)));
    },
  };
}
