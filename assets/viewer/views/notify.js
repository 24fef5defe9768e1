/**
 * The switch for notifications of this device, and what to do where the browser blocks them.
 *
 * @module
 */

import { h, setText } from './dom.js';

/** @typedef {import('../notify.js').Telling} Telling */

/** @type {{[telling: string]: string}} */
const TODO = {
  blocked: 'The browser blocks notifications: allow them in its settings of this site, left of the address.',
  insecure: 'Browsers notify over https or localhost only: open this page there to be notified.',
  unable: 'This browser shows no notifications of a page.',
};

/** @param {{telling: () => Telling, choose: (on: boolean) => Promise<void>}} notices */
export function createNotifySwitch({ telling, choose }) {
  const box = h('input', { type: 'checkbox', role: 'switch', class: 'board-check' });
  const label = h('label', { class: 'notify' }, box, 'Notify me on this device');
  const todo = h('span', { class: 'note', role: 'status' });
  /** The browser asks, or was asked and got no answer. */
  let asked = '';
  const update = (/** @type {boolean} */ shown) => {
    const now = telling();
    label.hidden = todo.hidden = !shown || now === 'none';
    box.checked = now === 'on';
    box.disabled = now in TODO;
    setText(todo, TODO[now] ?? (now === 'ask' ? asked : ''));
  };
  box.addEventListener('change', async () => {
    const on = box.checked;
    asked = on ? 'The browser asks whether it may.' : '';
    const chosen = choose(on);
    update(!label.hidden);
    await chosen;
    asked = on ? 'Not allowed yet: switch it on again, and say yes to the browser.' : '';
    update(!label.hidden);
  });
  return { label, todo, /** @param {boolean} shown */ update };
}
