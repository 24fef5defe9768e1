/**
 * The keyboard. The focus is the cursor: j and k move it from record to record, and what has the
 * focus answers Enter as any button does.
 *
 * @module
 */

/**
 * @typedef {object} KeyActions
 * @property {() => void} search
 * @property {() => void} help
 * @property {() => void} toggleFollow
 * @property {(key: string) => void} toggleRecord
 * @property {() => void} closeSession
 * @property {() => void} launch
 * @property {() => void} switchView
 * @property {(by: 1 | -1) => void} nextSession
 * @property {() => void} palette
 * @property {() => boolean} play whether there is something to play or to pause
 * @property {() => void} dispatch
 * @property {(path: string) => void} go
 */

/** Where the letter after `g` leads. @type {{[key: string]: string}} */
const PAGES = { f: '/fleet', l: '/', q: '/queue', s: '/sessions', i: '/inbox' };
/** The second letter comes soon, or it is one of its own. */
const PAIR_MS = 1_000;

/** @param {KeyActions} actions */
export function startKeys(actions) {
  let paired = -Infinity;
  // Before the browser's own meaning of it, and before a terminal's, which has Ctrl+Shift+L to be left.
  document.addEventListener('keydown', (event) => {
    const palette = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === 'k';
    if (!palette || (event.target instanceof HTMLTextAreaElement && event.target.classList.contains('xterm-helper-textarea'))) return;
    event.preventDefault();
    actions.palette();
  });
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    // An open dialog handles its own keys, and Escape closes what has popped up.
    if (document.querySelector('dialog[open], :popover-open')) return;
    const typing = isField(event.target);
    // A terminal takes every key; Ctrl+Shift+L leaves it.
    if (event.target instanceof HTMLTextAreaElement) return;
    if (typing && event.key !== 'Escape') return;
    const page = event.timeStamp - paired < PAIR_MS ? PAGES[event.key] : undefined;
    paired = event.key === 'g' ? event.timeStamp : -Infinity;
    if (page) actions.go(page);
    if (page || handle(event.key, actions)) event.preventDefault();
  });
}

/** @param {string} key @param {KeyActions} actions @returns {boolean} whether the key meant something */
function handle(key, actions) {
  switch (key) {
    case '/': actions.search(); return true;
    case '?': actions.help(); return true;
    case 'f': actions.toggleFollow(); return true;
    case 'j': move(1); return true;
    case 'k': move(-1); return true;
    case 'n': actions.launch(); return true;
    case 'd': actions.dispatch(); return true;
    case 't': actions.switchView(); return true;
    case ']': actions.nextSession(1); return true;
    case '[': actions.nextSession(-1); return true;
    // Of a button it is the click.
    case ' ': return !(document.activeElement instanceof HTMLElement && document.activeElement.matches('button, a, summary')) && actions.play();
    case 'Escape': escape(actions); return true;
    default: return false;
  }
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
}

/** @returns {HTMLElement | null} the record that has the focus */
function current() {
  return document.activeElement?.closest('li.record') ?? null;
}

/** @param {1 | -1} by */
function move(by) {
  const all = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('#records > li.record')]);
  const from = current();
  // With no cursor yet, begin where the eye is: at the newest record.
  const at = from ? all.indexOf(from) + by : all.length - 1;
  const toggle = all[at]?.querySelector('.record-toggle');
  if (!(toggle instanceof HTMLElement)) return;
  toggle.focus({ preventScroll: true });
  all[at].scrollIntoView({ block: 'nearest' });
}

/** @param {KeyActions} actions */
function escape(actions) {
  const active = document.activeElement;
  if (isField(active) && active instanceof HTMLElement) {
    active.blur();
    return;
  }
  const record = current();
  if (record?.querySelector('.record-detail')) actions.toggleRecord(record.dataset.key ?? '');
  else actions.closeSession();
}
