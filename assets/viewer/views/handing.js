/**
 * Hands to the terminal in view what is pasted, by the browser or by a key of the phone's bar, and what is dropped. Text
 * is the terminal's own; a picture or a file is kept on the session's machine, and its path is typed.
 *
 * @module
 */

import { uploadFile } from '../act.js';
import { chosen, isPicture, tooMuch, unreadable } from '../terminal/handed.js';

/** How long Ctrl+V waits for a browser that may have nothing to paste. */
const PASTE_MS = 300;
/** Over plain http from another machine there is none. */
const NO_CLIPBOARD = 'Over plain http the browser keeps the clipboard to itself: paste with the keyboard, or open this page over https.';

/**
 * @typedef {object} Target the terminal in view
 * @property {string} id of its session
 * @property {{paste: (text: string) => void} | null} xterm
 */

/**
 * @typedef {object} Hands
 * @property {() => Target | null} target the same object as long as it is the same terminal
 * @property {() => boolean} may whether it takes what is typed; says why not
 * @property {(text: string) => void} type
 * @property {(text: string, tone?: 'note') => void} warn
 * @property {boolean} mac
 */

/** @param {HTMLElement} pane @param {Hands} hands */
export function createHanding(pane, { target, may, type, warn, mac }) {
  /** Ctrl+V was pressed, and waits for what the browser pastes. */
  let quoting = 0;

  function forget() {
    clearTimeout(quoting);
    quoting = 0;
  }

  /** There was nothing to take: Ctrl+V is what it always was. @returns {boolean} whether it was pressed */
  function quote() {
    const pressed = quoting !== 0;
    forget();
    if (pressed) type('\x16');
    return pressed;
  }

  /** @param {Blob[]} files */
  async function send(files) {
    const mine = target();
    if (!mine || files.length === 0 || !may()) return;
    const problem = tooMuch(files);
    if (problem !== '') return warn(problem);
    try {
      const paths = [];
      for (const file of files) paths.push(await uploadFile(mine.id, file));
      // Another terminal may be shown by now.
      if (target() === mine) type(paths.join(' '));
    } catch (error) {
      warn(`Not sent: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @param {ClipboardEvent} event */
  function pasted(event) {
    const items = [...(event.clipboardData?.items ?? [])];
    const picture = items.find(({ kind, type: kindOf }) => kind === 'file' && isPicture(kindOf))?.getAsFile();
    const found = chosen(event.clipboardData?.getData('text/plain') ?? '', picture);
    // Beside a picture text is pasted by the same key; text alone leaves Ctrl+V to the program.
    if (picture) forget();
    else if (quote()) return taken(event);
    if (!found && items.length === 0 && !mac) warn('There is no text to paste. Ctrl+V pastes a picture.', 'note');
    if (!found?.picture) return;
    taken(event);
    void send([found.picture]);
  }

  /** What the browser lets a page read by itself. */
  async function paste() {
    const { clipboard } = navigator;
    const mine = target();
    if (!mine || !may()) return;
    if (!clipboard) return warn(NO_CLIPBOARD);
    try {
      const items = 'read' in clipboard ? await clipboard.read() : [];
      /** @param {(type: string) => boolean} wanted */
      const part = async (wanted) => {
        const item = items.find(({ types }) => types.some(wanted));
        return item && item.getType(item.types.find(wanted) ?? '');
      };
      const text = 'read' in clipboard ? await (await part((kind) => kind === 'text/plain'))?.text() : await Object(clipboard).readText();
      const found = chosen(text ?? '', text?.trim() ? null : await part(isPicture));
      if (target() !== mine) return;
      if (!found) warn('There is neither text nor a picture to paste: copy one first.', 'note');
      else if (found.picture) await send([found.picture]);
      else mine.xterm?.paste(found.text);
    } catch (error) {
      warn(unreadable(error));
    }
  }

  /** @param {DragEvent} event */
  function dropped(event) {
    taken(event);
    const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === 'file');
    if (items.some((item) => item.webkitGetAsEntry?.()?.isDirectory)) return warn('A folder is not taken: drop the files in it.');
    const files = items.map((item) => item.getAsFile()).filter((file) => file !== null);
    // Text beside a file is its address.
    if (files.length > 0) return void send(files);
    const text = event.dataTransfer?.getData('text/plain') ?? '';
    if (text !== '' && may()) target()?.xterm?.paste(text);
  }

  pane.addEventListener('paste', pasted, { capture: true });
  pane.addEventListener('drop', dropped, { capture: true });
  for (const type of ['dragenter', 'dragover']) {
    pane.addEventListener(type, (event) => {
      taken(event);
      if (event instanceof DragEvent && event.dataTransfer) event.dataTransfer.dropEffect = 'copy';
    }, { capture: true });
  }
  neverLeave();

  return {
    /** Ctrl+V was pressed. */
    expect() {
      quoting = setTimeout(quote, PASTE_MS);
    },
    quote,
    forget,
    paste,
  };
}

/** A file that is dropped beside its place would be opened instead of the page. */
function neverLeave() {
  for (const type of ['dragover', 'drop']) {
    document.addEventListener(type, (event) => {
      if (!(event instanceof DragEvent) || event.defaultPrevented || !event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = 'none';
    });
  }
}

/** @param {Event} event */
function taken(event) {
  event.preventDefault();
  event.stopPropagation();
}
