/**
 * What a person hands to a terminal besides keys, and which part of it is taken. Pure.
 *
 * @module
 */

export const MAX_FILE = 10 * 1024 * 1024;
/** As many as the daemon keeps of a session. */
export const MAX_FILES = 32;

/** @param {string} type of what is on a clipboard */
export const isPicture = (type) => type.startsWith('image/');

/**
 * The cells of a spreadsheet come as text and as their picture.
 *
 * @template T
 * @param {string} text
 * @param {T | null | undefined} picture
 * @returns {{text: string, picture: null} | {text: '', picture: T} | null} null: there is nothing to paste
 */
export function chosen(text, picture) {
  if (text.trim() !== '' || (text !== '' && !picture)) return { text, picture: null };
  return picture ? { text: '', picture } : null;
}

// C0 but tab and the ends of lines, DEL, C1.
const NO_TEXT = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/**
 * A program is told where what is pasted begins and ends, and takes all between for text. With an escape in it, a text
 * could end that by itself, and what follows would be run.
 *
 * @param {string} text from anywhere
 * @returns {string} without the control characters that are no text
 */
export const pasteable = (text) => text.replace(NO_TEXT, '');

/**
 * @param {readonly {size: number}[]} files
 * @returns {string} why they are not taken, nothing when they are
 */
export function tooMuch(files) {
  if (files.length > MAX_FILES) return `More than ${MAX_FILES} files at once are not kept. Drop fewer.`;
  if (files.some(({ size }) => size > MAX_FILE)) return files.length === 1 ? 'It is larger than 10 MiB.' : 'One of them is larger than 10 MiB.';
  return '';
}

/** @param {unknown} error of a browser that was asked for the clipboard @returns {string} what to do */
export function unreadable(error) {
  const refused = error instanceof Error && error.name === 'NotAllowedError';
  return refused
    ? 'The browser does not let this page read the clipboard: allow it in the settings of this site, or paste with the keyboard.'
    : `The clipboard could not be read (${error instanceof Error ? error.message : error}): paste with the keyboard.`;
}
