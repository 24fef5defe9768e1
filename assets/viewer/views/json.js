/**
 * A record in whole: its JSON, indented and lightly coloured.
 *
 * @module
 */

import { toJson } from '../record.js';
import { sanitizeJson } from '../sanitize.js';

/** Characters shown; a longer record is cut here and copied in whole. */
const MAX_SHOWN = 200_000;
/** Beyond this, colour would make thousands of elements for one record. */
const MAX_COLOURED = 20_000;

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** @param {unknown} value @returns {string} indented JSON in which every character is visible */
export function visibleJson(value) {
  return sanitizeJson(toJson(value, 2)) || 'This record is nested too deeply to be shown.';
}

/** @param {unknown} value @returns {HTMLPreElement} */
export function jsonView(value) {
  const pre = document.createElement('pre');
  pre.className = 'json';
  const json = visibleJson(value);
  if (json.length <= MAX_COLOURED) colour(pre, json);
  else pre.textContent = json.length > MAX_SHOWN
    ? `${json.slice(0, MAX_SHOWN)}\n… ${json.length - MAX_SHOWN} more characters; Copy has them all`
    : json;
  return pre;
}

/** @param {HTMLElement} parent @param {string} json */
function colour(parent, json) {
  let from = 0;
  for (const match of json.matchAll(TOKEN)) {
    const [whole, string, colon] = match;
    parent.append(json.slice(from, match.index), span(string ?? whole, kind(string, colon)), colon ?? '');
    from = match.index + whole.length;
  }
  parent.append(json.slice(from));
}

/** @param {string | undefined} string @param {string | undefined} colon */
function kind(string, colon) {
  if (string === undefined) return 'json-value';
  return colon === undefined ? 'json-string' : 'json-key';
}

/** @param {string} text @param {string} className */
function span(text, className) {
  const element = document.createElement('span');
  element.className = className;
  element.textContent = text;
  return element;
}
