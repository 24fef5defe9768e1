/**
 * xterm.js as this viewer uses it: loaded when the first terminal is opened, drawn by the graphics card where that works,
 * in the page's colours, and silent: it answers a program's questions only when it is told that it may. Whatever is pasted
 * comes through `paste`, what the browser pastes as well.
 *
 * @module
 */

import { untilMade } from '../api.js';
import { pasteable } from './handed.js';

/** @typedef {import('@xterm/xterm').Terminal} Terminal */

const FONT = 'ui-monospace, "SF Mono", SFMono-Regular, "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';
export const FONT_SIZE = 13;
const SCROLLBACK = 10_000;
/** Absolute: the script that asks for it is served from elsewhere than this file. */
const VENDOR = '/assets/vendor';

/** The sixteen colours, readable on both grounds. */
const PALETTE = {
  light: {
    background: '#ffffff', foreground: '#1b1f1e', cursor: '#0f6e60', cursorAccent: '#ffffff', selectionBackground: '#bfe0d9', overviewRulerBorder: '#00000000',
    black: '#1b1f1e', red: '#b3261e', green: '#2b6b3f', yellow: '#8a5a00', blue: '#2457a8', magenta: '#8a3f97', cyan: '#0f6e60', white: '#6b7371',
    brightBlack: '#5f6663', brightRed: '#c8372d', brightGreen: '#357f4c', brightYellow: '#9c6a0c', brightBlue: '#2f6bc7', brightMagenta: '#a04eae', brightCyan: '#15806f', brightWhite: '#3a403e',
  },
  dark: {
    background: '#101312', foreground: '#e4e8e6', cursor: '#7fd1c0', cursorAccent: '#101312', selectionBackground: '#2f4f49', overviewRulerBorder: '#00000000',
    black: '#2a302e', red: '#ff9188', green: '#86c99a', yellow: '#e3b55e', blue: '#8ab4f8', magenta: '#d7a6e2', cyan: '#7fd1c0', white: '#d5dad8',
    brightBlack: '#7d8683', brightRed: '#ffb0a9', brightGreen: '#a4dcb5', brightYellow: '#f0cb85', brightBlue: '#adcbfb', brightMagenta: '#e5c3ed', brightCyan: '#a4e3d6', brightWhite: '#ffffff',
  },
};

/** Smaller letters nobody reads; a terminal of another one's size is scrolled before its letters are smaller on a phone. */
const leastFont = () => (matchMedia('(max-width: 860px), (pointer: coarse)').matches ? 11 : 6);

/** @typedef {{cols: number, rows: number}} Size */

/**
 * @param {number} font the usual size of letters
 * @param {Size} fits at that size
 * @param {Size} size what is to be shown
 * @param {number} [least]
 * @returns {number} the size of letters at which all of it fits, as far as they can be read
 */
export function fontFor(font, fits, size, least = leastFont()) {
  return Math.max(Math.min(font, least), Math.floor(font * Math.min(1, fits.cols / size.cols, fits.rows / size.rows)));
}

/** @returns {'light' | 'dark'} what the page shows now */
function scheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

/** @param {string} name @returns {Promise<any>} */
const vendor = (name) => import(`${VENDOR}/${name}.mjs`);

/** @param {string} url @returns {boolean} whether a link may be offered at all */
export function isWebLink(url) {
  try {
    return ['http:', 'https:'].includes(new URL(url).protocol);
  } catch {
    return false;
  }
}

/**
 * A program's question to its terminal is answered by one terminal only, and only when it was asked just now.
 *
 * @param {Terminal} term
 * @param {() => boolean} mayAnswer
 */
function answerOnlyWhen(term, mayAnswer) {
  const swallow = () => !mayAnswer();
  for (const id of [
    { final: 'c' }, { prefix: '>', final: 'c' }, { prefix: '=', final: 'c' }, { final: 'n' }, { prefix: '?', final: 'n' },
    { intermediates: '$', final: 'p' }, { prefix: '?', intermediates: '$', final: 'p' }, { prefix: '>', final: 'q' },
  ]) term.parser.registerCsiHandler(id, swallow);
  term.parser.registerDcsHandler({ intermediates: '$', final: 'q' }, swallow);
  for (const code of [4, 10, 11, 12]) term.parser.registerOscHandler(code, (data) => data.includes('?') && !mayAnswer());
}

/**
 * What the browser pastes, by the keyboard, a menu or the middle button, before xterm.js gets it.
 *
 * @param {HTMLElement} parent @param {(text: string) => void} paste @returns {() => void} ends it
 */
function takePastes(parent, paste) {
  const taken = (/** @type {ClipboardEvent} */ event) => {
    event.preventDefault();
    event.stopPropagation();
    paste(event.clipboardData?.getData('text/plain') ?? '');
  };
  parent.addEventListener('paste', taken, { capture: true });
  return () => parent.removeEventListener('paste', taken, { capture: true });
}

/**
 * @param {HTMLElement} parent
 * @param {{mayAnswer: () => boolean, openLink: (url: string) => void}} hooks
 */
export async function createXterm(parent, { mayAnswer, openLink }) {
  const [core, fit, unicode, search, links] = await Promise.all(
    ['xterm', 'addon-fit', 'addon-unicode11', 'addon-search', 'addon-web-links'].map(vendor),
  );
  /** @param {unknown} _event @param {string} url */
  const follow = (_event, url) => isWebLink(url) && openLink(url);
  /** @type {Terminal} */
  const term = new core.Terminal({
    allowProposedApi: true,
    fontFamily: FONT,
    fontSize: FONT_SIZE,
    scrollback: SCROLLBACK,
    overviewRuler: { width: 8 },
    theme: PALETTE[scheme()],
    minimumContrastRatio: 4.5,
    macOptionIsMeta: true,
    rightClickSelectsWord: true,
    screenReaderMode: false,
    linkHandler: { activate: follow, allowNonHttpProtocols: false },
  });
  const fitting = new fit.FitAddon();
  const searching = new search.SearchAddon();
  for (const addon of [fitting, searching, new unicode.Unicode11Addon(), new links.WebLinksAddon(follow)]) term.loadAddon(addon);
  term.unicode.activeVersion = '11';
  answerOnlyWhen(term, mayAnswer);
  term.open(parent);
  await drawFast(term);
  const colours = () => {
    term.options.theme = PALETTE[scheme()];
  };
  const themes = new MutationObserver(colours);
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  const system = matchMedia('(prefers-color-scheme: dark)');
  system.addEventListener('change', colours);
  /** @param {string} text */
  const paste = (text) => {
    const safe = pasteable(text);
    if (safe !== '') term.paste(safe);
  };
  const leavePastes = takePastes(parent, paste);
  return {
    term,
    paste,
    /** @returns {{cols: number, rows: number} | null} what fits, null while it is not shown */
    fits() {
      const size = fitting.proposeDimensions();
      return size && size.cols > 1 && size.rows > 0 ? { cols: Math.min(size.cols, 1_000), rows: Math.min(size.rows, 500) } : null;
    },
    /** Where it is larger than its place: scrolls to what is written. */
    showCursor() {
      const height = (term.element?.querySelector('.xterm-screen')?.clientHeight ?? 0) / term.rows;
      parent.scrollTop = Math.max(0, (term.buffer.active.cursorY + 1) * height - parent.clientHeight);
    },
    /** @param {string} text @param {'next' | 'previous'} where @returns {boolean} whether it is there */
    find(text, where) {
      return where === 'next' ? searching.findNext(text) : searching.findPrevious(text);
    },
    dispose() {
      themes.disconnect();
      system.removeEventListener('change', colours);
      leavePastes();
      term.dispose();
    },
  };
}

/**
 * As `createXterm`, however often its program must be asked for: a daemon that restarts, or a network that is away, is none
 * of the page's life.
 *
 * @param {HTMLElement} parent
 * @param {Parameters<typeof createXterm>[1] & {onMissing?: () => void}} hooks `onMissing`: it could not be loaded, and is asked for again
 * @param {() => boolean} wanted whether it still is
 * @returns {Promise<Awaited<ReturnType<typeof createXterm>> | null>} null when it is wanted no more
 */
export async function bringXterm(parent, hooks, wanted) {
  const made = await untilMade(() => createXterm(parent, hooks), wanted, hooks.onMissing);
  if (made && !wanted()) made.dispose();
  return made && wanted() ? made : null;
}

/** Without a graphics card, or when it lets go, the terminal draws itself with elements. @param {Terminal} term */
async function drawFast(term) {
  try {
    const { WebglAddon } = await vendor('addon-webgl');
    const drawing = new WebglAddon();
    drawing.onContextLoss(() => drawing.dispose());
    term.loadAddon(drawing);
  } catch {
    // The terminal's own drawing is slower, and the same.
  }
}
