/**
 * The keys that a phone's keyboard lacks. Arrows type when they are touched, and on while they are held.
 *
 * @module
 */

import { createHold } from '../terminal/hold.js';
import { byId } from './dom.js';

const ARROWS = ['left', 'up', 'down', 'right'];

/** @param {{press: (key: string, ctrl: boolean) => boolean, paste: () => void}} actions `press` says whether it was typed */
export function createKeybar({ press, paste }) {
  const bar = byId('keybar', HTMLElement);
  const ctrl = byId('keybar-ctrl', HTMLButtonElement);
  const armed = () => ctrl.getAttribute('aria-pressed') === 'true';
  /** Whether Ctrl was armed when the key was touched: typing takes it back. */
  let withCtrl = false;
  /** The arrow that its touch has typed, which is followed by a click. */
  let touched = '';
  const hold = createHold((key) => press(key, withCtrl));

  bar.addEventListener('pointerdown', (event) => {
    // The focus stays in the terminal.
    event.preventDefault();
    const key = keyOf(event.target);
    touched = '';
    if (event.button !== 0 || !ARROWS.includes(key)) return;
    touched = key;
    withCtrl = armed();
    hold.begin(key);
  });
  for (const type of ['pointerup', 'pointercancel', 'pointerout']) bar.addEventListener(type, hold.end);
  addEventListener('blur', hold.end);
  document.addEventListener('visibilitychange', hold.end);
  bar.addEventListener('contextmenu', (event) => event.preventDefault());
  bar.addEventListener('click', ({ target }) => {
    const key = keyOf(target);
    const typed = touched;
    touched = '';
    if (key === '' || key === typed) return;
    if (key === 'ctrl') ctrl.setAttribute('aria-pressed', String(!armed()));
    else if (key === 'paste') paste();
    else press(key, armed());
  });

  return {
    armed,
    disarm: () => ctrl.setAttribute('aria-pressed', 'false'),
    end: hold.end,
  };
}

/** @param {EventTarget | null} target */
const keyOf = (target) => (target instanceof HTMLElement ? target.dataset.key ?? '' : '');
