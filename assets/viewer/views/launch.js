/**
 * The dialog that starts a session: a launcher, or any command, in a folder, on the machine that is looked at.
 *
 * @module
 */

import { newKey, Refused } from '../act.js';
import { splitCommand } from '../commands.js';
import { way } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, h, replace, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../act.js').Launch} Launch */

const MAX_LABEL = 60;
const OWN = '';
/** What a machine starts that does not say what it can. */
const USUAL = '\n';
const HERE = '';

/** @param {State} state @returns {string[]} where sessions can be started: here, at peers that are connected, and behind them */
export function launchable({ peers, sessions }) {
  const up = peers.filter((one) => one.status === 'connected').map((one) => one.name);
  const behind = sessions.map((one) => one.machine).filter((machine) => up.some((name) => machine.endsWith(`@${name}`)));
  return [HERE, ...new Set([...up, ...behind.sort()])];
}

/** @param {State} state @returns {string} the machine that is looked at, by its page or that of one of its sessions */
export function lookedAt({ place, sessions }) {
  const { page, id } = place.route;
  return page === 'machine' ? id : sessions.find((one) => page === 'session' && one.id === id)?.machine ?? HERE;
}

/** @param {(launch: Launch) => Promise<void>} start throws with the reason */
export function createLaunch(start) {
  const dialog = byId('launch', HTMLDialogElement);
  const open = byId('launch-button', HTMLButtonElement);
  const form = byId('launch-form', HTMLFormElement);
  const launcher = byId('launch-with', HTMLSelectElement);
  const command = byId('launch-command', HTMLInputElement);
  const folder = byId('launch-folder', HTMLInputElement);
  const name = byId('launch-name', HTMLInputElement);
  const problem = byId('launch-problem', HTMLElement);
  const machine = byId('launch-machine', HTMLSelectElement);
  /** @type {State | null} */
  let last = null;
  /** @type {State['launchers'] | null} */
  let offered = null;
  // What is asked again because no answer came is one session; what was changed is another.
  let key = newKey();

  const choose = () => {
    byId('launch-command-row', HTMLElement).hidden = launcher.value !== OWN;
    command.required = launcher.value === OWN;
  };
  launcher.addEventListener('change', choose);
  machine.addEventListener('change', () => { offer(); choose(); });
  byId('launch-cancel', HTMLButtonElement).addEventListener('click', () => dialog.close());
  open.addEventListener('click', show);
  form.addEventListener('input', () => { key = newKey(); });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const own = launcher.value === OWN;
    const argv = own ? splitCommand(command.value) : [];
    if (argv === null) return setText(problem, 'A quote is not closed.');
    const asked = form.querySelectorAll('button');
    for (const button of asked) button.disabled = true;
    setText(problem, 'Starting…');
    try {
      await start({
        peer: machine.value === HERE ? undefined : machine.value,
        launcher: own || launcher.value === USUAL ? undefined : launcher.value,
        command: own ? argv : undefined,
        cwd: folder.value.trim() || undefined,
        name: name.value.trim() || undefined,
        key,
      });
      setText(problem, '');
      dialog.close();
    } catch (error) {
      const unknown = error instanceof Refused && (error.status === 0 || error.status >= 500);
      if (!unknown) key = newKey();
      const why = error instanceof Error ? error.message : String(error);
      setText(problem, unknown && error.status === 0 ? 'No answer came: it may have been started. Look in the list of sessions before you start it again.' : why);
    }
    for (const button of asked) button.disabled = false;
  });

  function show() {
    if (open.hidden || open.disabled || dialog.open) return;
    setText(problem, '');
    key = newKey();
    if (last) machines(last);
    offer();
    choose();
    dialog.showModal();
    (launcher.value === OWN ? command : folder).focus();
  }

  /** @param {State} state */
  function machines(state) {
    const all = launchable(state);
    const own = oneLine(state.machine?.id ?? '', MAX_LABEL);
    replace(machine, ...all.map((name) => h('option', { value: name }, name === HERE ? `${own || 'this machine'} (here)` : oneLine(way(name), MAX_LABEL))));
    machine.value = all.includes(lookedAt(state)) ? lookedAt(state) : HERE;
    byId('launch-machine-row', HTMLElement).hidden = all.length === 1;
  }

  function offer() {
    const there = last?.peers.find((one) => one.name === machine.value)?.launchers ?? [];
    const now = machine.value === HERE ? last?.launchers ?? [] : there;
    if (now === offered && now.length > 0) return;
    offered = now;
    replace(launcher,
      now.length === 0 && machine.value !== HERE && h('option', { value: USUAL }, 'What it usually starts'),
      ...now.map(({ id, label, about }) => h('option', { value: id, title: oneLine(about, 200) }, oneLine(label, MAX_LABEL))),
      h('option', { value: OWN }, 'A command…'));
  }

  return {
    show,
    /** @param {State} state */
    render(state) {
      open.hidden = state.access !== 'act';
      last = state;
      if (!dialog.open) offer();
    },
  };
}
