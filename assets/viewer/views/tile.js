/**
 * One of several terminals side by side: what its session shows, and what is typed into it. The page of the session has
 * the rest: search, pictures, the bar of keys.
 *
 * @module
 */

import { beside, called } from '../called.js';
import { sessionPath } from '../routes.js';
import { bytesOf, isOldReport, isReport } from '../terminal/keymap.js';
import { bringXterm, fontFor } from '../terminal/xterm.js';
import { h, setText } from './dom.js';
import { outcome, tone } from './sessions.js';

/** @typedef {import('../types.js').Session} Session */

/**
 * @typedef {object} TileActions
 * @property {(text: string, tone?: 'note') => void} warn
 * @property {(url: string) => void} openLink
 * @property {() => void} refused The daemon may not know this page any more.
 * @property {typeof import('../socket.js').openTerminal} connect
 */

const FONT = 11;
/** As large as on a session's page where a tile has the room for it. */
const ROOMY_FONT = 13;
const ROOMY_PX = 900;
const encoder = new TextEncoder();

/** @param {Session} session @param {TileActions} actions @param {(() => void) | null} close what its button does; null for none */
export function createTile(session, { warn, openLink, refused, connect }, close) {
  const screen = h('div', { class: 'grid-screen' });
  const title = h('a', { href: sessionPath(session.id) });
  const what = h('span', { class: 'beside' });
  const state = h('span', { class: 'session-outcome' });
  const element = h('article', { class: 'grid-tile', data: { sessionId: session.id } },
    h('div', { class: 'grid-head' }, title, what, state, h('span', { class: 'spacer' }),
      close && h('button', { type: 'button', class: 'icon-button', 'aria-label': `Close ${called(session)}`, on: { click: close } }, '✕')), screen);
  /** @type {Awaited<ReturnType<typeof bringXterm>>} */
  let xterm = null;
  /** @type {ReturnType<typeof connect> | null} */
  let connection = null;
  /** @type {ResizeObserver | null} */
  let resizing = null;
  let own = false;
  let live = false;
  let next = false;
  let readOnly = false;
  let begun = false;
  let over = false;

  const font = () => (screen.clientWidth > ROOMY_PX ? ROOMY_FONT : FONT);

  async function open() {
    if (begun) return;
    begun = true;
    const missing = h('p', { class: 'note' }, 'The terminal could not be loaded; it is tried again. If this stays, reload the page.');
    const made = await bringXterm(screen, { mayAnswer: () => own && live && !readOnly, openLink, onMissing: () => screen.replaceChildren(missing) }, () => !over);
    missing.remove();
    if (!made) return;
    xterm = made;
    const { term } = made;
    term.options.fontSize = font();
    const size = made.fits() ?? { cols: 80, rows: 24 };
    term.resize(size.cols, size.rows);
    connection = connect(session.id, size, {
      onOpen: (now) => { readOnly = now; },
      onSnapshot(bytes) {
        next = false;
        term.write('', () => {
          live = false;
          term.reset();
        });
        term.write(bytes, made.showCursor);
      },
      onOutput(bytes, fresh) {
        if (fresh !== next) term.write('', () => { live = fresh; });
        next = fresh;
        term.write(bytes);
      },
      onSize(now) {
        own = now.own;
        // Another one's size is made to fit, as far as it can be read.
        term.options.fontSize = font();
        const fit = made.fits();
        if (!own && fit) term.options.fontSize = fontFor(font(), fit, now);
        if (term.cols !== now.cols || term.rows !== now.rows) term.resize(now.cols, now.rows);
        made.showCursor();
      },
      onLost: (maybe) => void (maybe && refused()),
      onEnd: () => term.write('\x1b[?25l'),
    });
    term.onData((text) => {
      const report = isReport(text);
      if (report && (!own || readOnly)) return;
      if (readOnly) return warn('This page may watch and not type.', 'note');
      if (!connection?.type(encoder.encode(text)) && !report) warn('Not connected: what you typed was not sent.');
    });
    term.onBinary((text) => void (!readOnly && (own || !isOldReport(text)) && connection?.type(bytesOf(text))));
    resizing = new ResizeObserver(() => {
      const fit = made.fits();
      if (!fit) return;
      connection?.resize(fit);
      if (own) term.resize(fit.cols, fit.rows);
      else made.showCursor();
    });
    resizing.observe(screen);
  }

  return {
    element,
    open: () => void open(),
    wake: () => connection?.wake(),
    /** @param {Session} now */
    update(now) {
      setText(title, called(now));
      setText(what, beside(now));
      setText(state, outcome(now));
      state.dataset.tone = tone(now);
    },
    dispose() {
      over = true;
      resizing?.disconnect();
      connection?.close();
      xterm?.dispose();
    },
  };
}
