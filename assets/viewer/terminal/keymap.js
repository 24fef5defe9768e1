/**
 * What a key means in a terminal before the terminal itself sees it. Pure.
 *
 * @module
 */

/**
 * @typedef {{do: 'copy' | 'paste' | 'picture' | 'search' | 'leave' | 'all'} | {send: string} | null} Meaning null: the terminal
 *   decides; `picture`: a picture is pasted, and without one the key is typed
 */

/**
 * @param {{key: string, code: string, ctrlKey: boolean, metaKey: boolean, altKey: boolean, shiftKey: boolean}} event
 * @param {{mac: boolean, selection: boolean}} context
 * @returns {Meaning}
 */
export function meaning(event, { mac, selection }) {
  const { code, ctrlKey, metaKey, altKey, shiftKey } = event;
  const only = (/** @type {boolean[]} */ ...held) => held.every(Boolean);
  if (event.key === 'Enter' && shiftKey && !ctrlKey && !altKey && !metaKey) return { send: '\n' };
  if (ctrlKey && shiftKey && !altKey && !metaKey) return withCtrlShift(code);
  if (mac && only(metaKey, !ctrlKey, !altKey)) return withCommand(code, selection);
  // Copying what is selected; with nothing selected it interrupts, as ever.
  if (!mac && selection && only(ctrlKey, !shiftKey, !altKey, !metaKey) && code === 'KeyC') return { do: 'copy' };
  // Browsers give a page no picture with Ctrl+Shift+V, which pastes plain text.
  if (!mac && only(ctrlKey, !shiftKey, !altKey, !metaKey) && code === 'KeyV') return { do: 'picture' };
  return null;
}

/** @param {string} code @returns {Meaning} */
function withCtrlShift(code) {
  switch (code) {
    case 'KeyC': return { do: 'copy' };
    case 'KeyV': return { do: 'paste' };
    case 'KeyF': return { do: 'search' };
    case 'KeyL': return { do: 'leave' };
    default: return null;
  }
}

/** @param {string} code @param {boolean} selection @returns {Meaning} */
function withCommand(code, selection) {
  switch (code) {
    case 'KeyC': return selection ? { do: 'copy' } : null;
    case 'KeyV': return { do: 'paste' };
    case 'KeyF': return { do: 'search' };
    case 'KeyA': return { do: 'all' };
    case 'KeyK': return { send: '\f' };
    case 'Backspace': return { send: '\x15' };
    case 'ArrowLeft': return { send: '\x01' };
    case 'ArrowRight': return { send: '\x05' };
    default: return null;
  }
}

/** @type {{[name: string]: string}} */
const NAMED = { esc: '\x1b', tab: '\t', up: '\x1b[A', down: '\x1b[B', right: '\x1b[C', left: '\x1b[D' };
/** With application cursor keys on, as vim and less have them. @type {{[name: string]: string}} */
const APPLICATION = { up: '\x1bOA', down: '\x1bOB', right: '\x1bOC', left: '\x1bOD' };

/**
 * @param {string} name of a key of the bar
 * @param {{application: boolean, ctrl: boolean}} now whether the program asked for application cursor keys, and whether
 *   the bar's Ctrl is armed
 * @returns {string} what it types
 */
export function barKey(name, { application, ctrl }) {
  if (ctrl && APPLICATION[name]) return `\x1b[1;5${APPLICATION[name].slice(-1)}`;
  return (application && APPLICATION[name]) || NAMED[name] || '';
}

/** That the terminal came into view or left it, and where the mouse is: programs ask for it, nobody types it. */
const REPORT = /^\x1b\[(?:[IO]$|<(?:35|39|43|47|51|55|59|63);)/;

/** @param {string} text from the terminal @returns {boolean} */
export function isReport(text) {
  return REPORT.test(text);
}

/** The same in the encoding that has a byte for each, of which xterm sends by itself. @param {string} text a character for each byte */
export const isOldReport = (text) => text.startsWith('\x1b[M') && ((text.charCodeAt(3) - 32) & 35) === 35;

/** @param {string} text a character for each byte */
export const bytesOf = (text) => Uint8Array.from(text, (char) => char.charCodeAt(0) & 0xff);

/**
 * @param {string} text as typed with the bar's Ctrl armed
 * @returns {string} the control character of its first letter
 */
export function withCtrl(text) {
  const first = text.slice(0, 1).toUpperCase();
  if (first === ' ') return '\0';
  if (first === '?') return '\x7f';
  const code = first.charCodeAt(0);
  return code >= 0x40 && code < 0x60 ? String.fromCharCode(code - 0x40) + text.slice(1) : text;
}
