/**
 * Whether this page is signed in: says how to where it is not, and signs out where it is.
 *
 * @module
 */

import { byId, commandLine, h, replace, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */

const ABOUT = {
  act: 'This browser is signed in: it sees terminals, types into them and starts sessions.',
  watch: 'This browser is signed in to watch: it sees terminals, and may not type into them or start anything.',
};

/** @param {() => Promise<string>} leave resolves to why it is still signed in, or to nothing */
export function createAccountView(leave) {
  const button = byId('account-button', HTMLButtonElement);
  const dialog = byId('account', HTMLDialogElement);
  const about = byId('account-about', HTMLElement);
  const problem = byId('account-problem', HTMLElement);
  const out = byId('account-leave', HTMLButtonElement);
  /** @type {State['access'] | ''} */
  let shown = '';

  button.addEventListener('click', () => {
    setText(problem, '');
    dialog.showModal();
  });
  out.addEventListener('click', async () => setText(problem, await leave()));

  return {
    /** @param {State} state */
    render({ access, mode }) {
      if (access === shown) return;
      shown = access;
      document.body.dataset.access = access;
      button.hidden = mode.kind === 'demo' || access === 'unknown';
      const signedIn = access === 'act' || access === 'watch';
      setText(byId('account-word', HTMLElement), signedIn ? (access === 'watch' ? 'Watching' : 'Signed in') : 'Sign in');
      button.toggleAttribute('data-wanted', !signedIn);
      setText(byId('account-title', HTMLElement), signedIn ? 'Signed in' : 'Sign in');
      out.hidden = !signedIn;
      if (signedIn) replace(about, h('p', {}, ABOUT[access]));
      else replace(about, ...signInHint('To see terminals, to type into them and to start sessions, sign this browser in. On the machine of the daemon:'));
      if (dialog.open) dialog.close();
    },
  };
}

/** How to sign in. @param {string} why */
export function signInHint(why) {
  return [
    h('p', {}, why), commandLine('darkmux open'),
    h('p', { class: 'note' }, 'or ', h('a', { href: '/auth/login' }, 'give the token'), ' of that machine.'),
  ];
}
