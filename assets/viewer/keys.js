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
 */

/** @param {KeyActions} actions */
export function startKeys(actions) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    // An open dialog handles its own keys.
    if (document.querySelector('dialog[open]')) return;
    const typing = isField(event.target);
    // A terminal takes every key; Ctrl+Shift+L leaves it.
    if (event.target instanceof HTMLTextAreaElement) return;
    if (typing && event.key !== 'Escape') return;
    if (handle(event.key, actions)) event.preventDefault();
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
    case 't': actions.switchView(); return true;
    case ']': actions.nextSession(1); return true;
    case '[': actions.nextSession(-1); return true;
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
