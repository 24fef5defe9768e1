/**
 * Builds elements. Every text and every attribute that can be read goes through `sanitize` here, so
 * a view cannot forget it, and nothing is ever parsed as HTML.
 *
 * @module
 */

import { beside } from '../called.js';
import { oneLine, sanitize } from '../sanitize.js';

/** @typedef {string | number | boolean | null | undefined} Attribute */
/** @typedef {Node | string | false | null | undefined} Child */

/**
 * Attributes by name, and two that are none: `data` sets `data-*` attributes verbatim, for code to
 * compare; `on` adds listeners.
 *
 * @typedef {{[name: string]: any, data?: {[name: string]: string}, on?: {[event: string]: (event: any) => void}}} Attributes
 */

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes] `true` sets an empty attribute; `false`, null and undefined none
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  const { data = {}, on = {}, ...rest } = attributes;
  for (const [name, value] of Object.entries(rest)) setAttribute(element, name, value);
  for (const [name, value] of Object.entries(data)) element.dataset[name] = value;
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...nodes(children));
  return element;
}

/**
 * The same for a picture's elements.
 *
 * @param {string} tag
 * @param {{[name: string]: Attribute}} [attributes]
 * @param {Child[]} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...nodes(children));
  return element;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {Attribute} value
 */
export function setAttribute(element, name, value) {
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? '' : sanitize(String(value)));
}

/** @param {Child[]} children @returns {Node[]} */
function nodes(children) {
  return children
    .filter((child) => child !== false && child !== null && child !== undefined && child !== '')
    .map((child) => (typeof child === 'string' ? document.createTextNode(sanitize(child)) : /** @type {Node} */ (child)));
}

/**
 * Sets the text of an element, and leaves the page alone when it is what it was.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  const safe = sanitize(text);
  if (element.textContent !== safe) element.textContent = safe;
}

/** @param {Element} element @param {Child[]} children */
export function replace(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * Makes the children of `parent` the given ones, touching only what differs; what stays keeps its
 * focus and scroll position.
 *
 * @param {Element} parent
 * @param {Element[]} wanted
 */
export function reconcile(parent, wanted) {
  const keep = new Set(wanted);
  // From the end: a browser looks at what follows a row that goes.
  for (const child of [...parent.children].reverse()) if (!keep.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const element of wanted) {
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T} the element of the page that has this id
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`index.html has no ${type.name} with the id ${id}`);
  return element;
}

const COPIED_MS = 1_500;
/** Longest path that is shown, in characters: no file system has longer ones. */
export const MAX_PATH = 4_096;

/**
 * @param {() => string} text
 * @param {string} label what is copied
 * @param {HTMLElement} [shown] where the text stands, to select it where the page may not write the clipboard
 * @param {string} [what] said on the button where there are several
 */
export function copyButton(text, label, shown, what = '') {
  const word = what === '' ? 'Copy' : `Copy ${what}`;
  const button = h('button', { type: 'button', class: 'copy', 'aria-label': `Copy ${label}` }, word);
  button.addEventListener('click', async () => {
    try {
      // Absent over plain http from another machine.
      await navigator.clipboard.writeText(text());
      setText(button, 'Copied');
    } catch {
      if (shown) getSelection()?.selectAllChildren(shown);
      setText(button, shown ? 'Selected' : 'Not copied');
    }
    setTimeout(() => setText(button, word), COPIED_MS);
  });
  return button;
}

/**
 * A command line to run in a shell, with a button that copies it.
 *
 * @param {string} line
 */
export function commandLine(line) {
  const code = h('code', {}, line);
  return h('div', { class: 'command' }, code, copyButton(() => line, line, code));
}

/** What a session calls itself, beside the name that somebody gave it. @param {import('../types.js').Session} session */
export function besideNode(session) {
  const what = beside(session);
  return what !== '' && h('span', { class: 'beside', title: what }, what);
}

/** A folder, which is cut at its beginning where there is no room for all of it. @param {string} path */
export function pathNode(path) {
  const all = oneLine(path, MAX_PATH);
  return h('span', { class: 'path', title: all }, h('bdi', { dir: 'ltr' }, all));
}

/**
 * One of the facts of a list, whose name and value stay together.
 *
 * @param {string} name @param {HTMLElement} value a `dd`
 */
export const factNode = (name, value) => h('div', { class: 'fact' }, h('dt', {}, name), value);

/** Puts a popover under the button that opens it. @param {HTMLElement} panel */
export function placePopover(panel) {
  const button = document.querySelector(`[popovertarget="${panel.id}"]`);
  if (!button) return;
  const { left, bottom } = button.getBoundingClientRect();
  panel.style.inset = `${bottom + 6}px auto auto ${Math.max(8, Math.min(left, innerWidth - panel.offsetWidth - 8))}px`;
  panel.style.margin = '0';
}
