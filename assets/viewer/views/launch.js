/**
 * The dialog that starts a session: a launcher, or any command, in a folder.
 *
 * @module
 */

import { splitCommand } from '../commands.js';
import { oneLine } from '../sanitize.js';
import { byId, h, replace, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../act.js').Launch} Launch */

const MAX_LABEL = 60;
const OWN = '';

/** @param {(launch: Launch) => Promise<string>} start resolves to why it did not start, or to nothing */
export function createLaunch(start) {
  const dialog = byId('launch', HTMLDialogElement);
  const open = byId('launch-button', HTMLButtonElement);
  const form = byId('launch-form', HTMLFormElement);
  const launcher = byId('launch-with', HTMLSelectElement);
  const command = byId('launch-command', HTMLInputElement);
  const folder = byId('launch-folder', HTMLInputElement);
  const name = byId('launch-name', HTMLInputElement);
  const problem = byId('launch-problem', HTMLElement);
  /** @type {State['launchers'] | null} */
  let offered = null;

  const choose = () => {
    byId('launch-command-row', HTMLElement).hidden = launcher.value !== OWN;
    command.required = launcher.value === OWN;
  };
  launcher.addEventListener('change', choose);
  byId('launch-cancel', HTMLButtonElement).addEventListener('click', () => dialog.close());
  open.addEventListener('click', show);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const own = launcher.value === OWN;
    const argv = own ? splitCommand(command.value) : [];
    if (argv === null) return setText(problem, 'A quote is not closed.');
    const why = await start({
      launcher: own ? undefined : launcher.value,
      command: own ? argv : undefined,
      cwd: folder.value.trim() || undefined,
      name: name.value.trim() || undefined,
    });
    setText(problem, why);
    if (why === '') dialog.close();
  });

  function show() {
    if (open.hidden || open.disabled || dialog.open) return;
    setText(problem, '');
    choose();
    dialog.showModal();
    (launcher.value === OWN ? command : folder).focus();
  }

  return {
    show,
    /** @param {State} state */
    render(state) {
      open.hidden = state.access !== 'act';
      if (state.launchers === offered) return;
      offered = state.launchers;
      replace(launcher,
        ...offered.map(({ id, label, about }) => h('option', { value: id, title: oneLine(about, 200) }, oneLine(label, MAX_LABEL))),
        h('option', { value: OWN }, 'A command…'));
    },
  };
}
