/**
 * One question before something is done: yes or no, or a line of text.
 *
 * @module
 */

import { oneLine } from '../sanitize.js';
import { byId, setText } from './dom.js';

const MAX_TEXT = 2_000;

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} [text]
 * @property {string} yes What the button that does it says.
 * @property {string} [field] The text to begin with, where a line of text is asked for.
 */

/** @returns {(question: Question) => Promise<string | null>} the line, or `yes`; null when it is not to be done */
export function createAsk() {
  const dialog = byId('ask', HTMLDialogElement);
  const field = byId('ask-field', HTMLInputElement);
  const yes = byId('ask-yes', HTMLButtonElement);
  // Not a button that submits: Enter in the field would press the first of those.
  byId('ask-no', HTMLButtonElement).addEventListener('click', () => dialog.close());

  return (question) => new Promise((resolve) => {
    if (dialog.open) return resolve(null);
    setText(byId('ask-title', HTMLElement), question.title);
    setText(byId('ask-text', HTMLElement), oneLine(question.text ?? '', MAX_TEXT));
    setText(yes, question.yes);
    field.hidden = question.field === undefined;
    field.value = question.field ?? '';
    // Escape closes a dialog without a value, and must not leave that of the last question.
    dialog.returnValue = '';
    dialog.addEventListener('close', () => {
      const done = dialog.returnValue === 'yes';
      resolve(done ? (question.field === undefined ? 'yes' : field.value.trim()) : null);
    }, { once: true });
    dialog.showModal();
    if (question.field === undefined) yes.focus();
    else field.select();
  });
}
