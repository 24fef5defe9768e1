/**
 * Makes untrusted text safe to look at: control characters and the invisible ones that reorder or
 * hide text are shown as `\u{..}`. The result is idempotent. It is no HTML escaping; the DOM is
 * only ever given text.
 *
 * @module
 */

// C0 but \n and \t, DEL, C1, zero-width and direction marks, embeddings, isolates, BOM.
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** @param {string} char */
const codePoint = (char) => char.charCodeAt(0).toString(16);

/**
 * @param {string} text
 * @returns {string} the text with every unsafe character visible
 */
export function sanitize(text) {
  return text.replace(UNSAFE, (char) => `\\u{${codePoint(char)}}`);
}

/**
 * The same for JSON text, in JSON's own spelling, so that what is shown and copied stays valid JSON.
 *
 * @param {string} json
 * @returns {string}
 */
export function sanitizeJson(json) {
  return json.replace(UNSAFE, (char) => `\\u${codePoint(char).padStart(4, '0')}`);
}

/**
 * @param {string} text
 * @param {number} max length in UTF-16 units
 * @returns {string} at most `max` units and an ellipsis, never half a surrogate pair
 */
export function clip(text, max) {
  if (text.length <= max) return text;
  const last = text.charCodeAt(max - 1);
  const end = last >= 0xd800 && last <= 0xdbff ? max - 1 : max;
  return `${text.slice(0, end)}…`;
}

/**
 * One line of bounded length from any text.
 *
 * @param {string} text
 * @param {number} max
 */
export function oneLine(text, max) {
  // Cut first: collapsing the white space of a 256 KiB text for one row would be wasted.
  // Not \s, which would swallow characters that are to be made visible.
  return clip(text.slice(0, max * 2).replace(/[ \t\n]+/g, ' ').replace(/^ | $/g, ''), max);
}
