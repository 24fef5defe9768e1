/**
 * The terminal of the session in view: live while its program runs, its last picture and its output after that. One at a
 * time; what connects it is `socket`, what draws it `terminal/xterm`.
 *
 * @module
 */

import { sessionOf } from '../routes.js';
import { barKey, bytesOf, isOldReport, isReport, meaning, withCtrl } from '../terminal/keymap.js';
import { bringXterm, fontFor, FONT_SIZE } from '../terminal/xterm.js';
import { byId, setAttribute, setText } from './dom.js';
import { createHanding } from './handing.js';
import { createKeybar } from './keybar.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {NonNullable<Awaited<ReturnType<typeof bringXterm>>>} Xterm */
/** @typedef {typeof import('../socket.js').openTerminal} OpenTerminal */
/** @typedef {ReturnType<OpenTerminal>} Connection */

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const encoder = new TextEncoder();

/**
 * @typedef {object} TerminalActions
 * @property {(text: string, tone?: 'note') => void} warn
 * @property {(url: string) => void} openLink
 * @property {() => void} leave
 * @property {(id: string) => void} seen Somebody looks at it.
 * @property {() => void} refused The daemon may not know this page any more.
 * @property {OpenTerminal} connect
 */

/** @param {TerminalActions} actions */
export function createTerminal(actions) {
  const pane = byId('terminal-pane', HTMLElement);
  const screen = byId('terminal', HTMLDivElement);
  const state = byId('terminal-state', HTMLElement);
  const claim = byId('terminal-claim', HTMLButtonElement);
  const wide = byId('terminal-wide', HTMLElement);
  const finder = byId('terminal-search', HTMLInputElement);
  /** @type {{id: string, run: number, readOnly: boolean, xterm: Xterm | null, connection: Connection | null, own: boolean, live: boolean, next: boolean, over: string} | null} */
  let shown = null;
  const bar = createKeybar({
    press: (key, ctrl) => type(barKey(key, { application: shown?.xterm?.term.modes.applicationCursorKeysMode ?? false, ctrl })),
    paste: () => void handing.paste(),
  });
  const handing = createHanding(pane, { target: () => shown, may, type, warn: actions.warn, mac: MAC });

  /** @param {string} text @param {string} [tone] */
  function say(text, tone = '') {
    setText(state, text);
    state.hidden = text === '';
    state.dataset.tone = tone;
  }

  /** @returns {boolean} whether a person may type; says why not */
  function may() {
    if (!shown?.connection) return false;
    const problem = shown.over || (shown.readOnly ? 'This page may watch and not type.' : '');
    if (problem !== '') actions.warn(problem, 'note');
    return problem === '';
  }

  /** @param {string} text @returns {boolean} whether it was sent */
  function type(text) {
    if (!shown?.connection || text === '') return false;
    const report = isReport(text);
    // What nobody typed must neither take the size over nor be refused aloud.
    if (report && (!shown.own || shown.readOnly || shown.over !== '')) return false;
    if (!report && !may()) return false;
    const typed = !report && bar.armed() ? withCtrl(text) : text;
    if (!report) bar.disarm();
    const sent = shown.connection.type(encoder.encode(typed));
    if (!sent) actions.warn('Not connected: what you typed was not sent.');
    return sent;
  }

  function fit() {
    if (!shown?.xterm || !shown.connection) return;
    const { term } = shown.xterm;
    const natural = naturalSize(shown.xterm);
    if (!natural) return;
    shown.connection.resize(natural);
    if (shown.own) term.resize(natural.cols, natural.rows);
    else shown.xterm.showCursor();
    tellMore();
  }

  /** The size that this page would have by itself, at its own size of letters and without the bar above another one's. @param {Xterm} xterm */
  function naturalSize(xterm) {
    const boxed = pane.hasAttribute('data-boxed');
    pane.removeAttribute('data-boxed');
    const size = fitsAt(xterm, FONT_SIZE);
    pane.toggleAttribute('data-boxed', boxed);
    return size;
  }

  /** @param {Xterm} xterm @param {number} size of letters */
  function fitsAt(xterm, size) {
    const font = xterm.term.options.fontSize ?? FONT_SIZE;
    if (font !== size) xterm.term.options.fontSize = size;
    const fits = xterm.fits();
    if (font !== size && !shown?.own) xterm.term.options.fontSize = font;
    return fits;
  }

  /** Says where there is more of it than its place has room for. */
  function tellMore() {
    const { scrollLeft, scrollWidth, clientWidth } = screen;
    const hidden = pane.hasAttribute('data-boxed') ? scrollWidth - clientWidth : 0;
    wide.hidden = hidden <= 1;
    const sides = [scrollLeft > 1 && 'left', scrollLeft < hidden - 1 && 'right'].filter(Boolean).join(' ');
    setAttribute(screen, 'data-more', hidden > 1 && sides);
  }

  /** @param {{cols: number, rows: number, own: boolean}} size */
  function sized({ cols, rows, own }) {
    if (!shown?.xterm) return;
    const { term } = shown.xterm;
    shown.own = own;
    const natural = naturalSize(shown.xterm);
    const boxed = natural !== null && !own && (natural.cols !== cols || natural.rows !== rows);
    claim.hidden = !boxed || shown.readOnly;
    pane.toggleAttribute('data-boxed', boxed);
    const room = boxed ? fitsAt(shown.xterm, FONT_SIZE) : null;
    term.options.fontSize = room ? fontFor(FONT_SIZE, room, { cols, rows }) : FONT_SIZE;
    if (term.cols !== cols || term.rows !== rows) term.resize(cols, rows);
    shown.xterm.showCursor();
    tellMore();
  }

  /** @param {string} id @param {number} run */
  async function open(id, run, readOnly = false) {
    const mine = { id, run, readOnly, xterm: /** @type {Xterm | null} */ (null), connection: /** @type {Connection | null} */ (null), own: false, live: false, next: false, over: '' };
    close();
    shown = mine;
    say('Connecting…');
    const xterm = await bringXterm(screen, {
      mayAnswer: () => mine.live && mine.own && !mine.readOnly,
      openLink: actions.openLink,
      onMissing: () => say('The terminal could not be loaded; it is tried again. If this stays, reload the page', 'warn'),
    }, () => shown === mine);
    // Another one was opened meanwhile.
    if (!xterm) return;
    say('Connecting…');
    mine.xterm = xterm;
    const { term } = xterm;
    const size = xterm.fits() ?? { cols: 80, rows: 24 };
    term.resize(size.cols, size.rows);
    mine.connection = actions.connect(id, size, {
      onOpen(now) {
        mine.readOnly = now;
        say(now ? 'Read-only' : '');
        actions.seen(id);
      },
      onSnapshot(bytes) {
        // In the order in which the terminal reads: it answers what it reads, some time after it was written.
        mine.next = false;
        term.write('', () => {
          mine.live = false;
          term.reset();
        });
        term.write(bytes, xterm.showCursor);
      },
      onOutput(bytes, live) {
        if (live !== mine.next) term.write('', () => { mine.live = live; });
        mine.next = live;
        term.write(bytes);
      },
      onSize: sized,
      onLost(refused) {
        say('Connection lost; it comes back by itself', 'warn');
        if (refused) actions.refused();
      },
      onEnd(how, exitCode) {
        mine.over = how === 'refused' ? 'This page may not type here.' : 'The session has ended: there is nobody to read what you type. Resume starts it again.';
        // Its last picture has no cursor.
        term.write('\x1b[?25l');
        say(ended(how, exitCode), how === 'exited' && exitCode === 0 ? '' : 'warn');
        claim.hidden = true;
      },
    });
    term.onData(type);
    term.onBinary((text) => {
      if (mine.readOnly || mine.over !== '' || (isOldReport(text) && !mine.own)) return;
      mine.connection?.type(bytesOf(text));
    });
    term.attachCustomKeyEventHandler((event) => keyed(event, xterm));
    focus();
  }

  /** On a touch screen the focus brings the keyboard up, which is the reader's to ask for. */
  function focus() {
    if (!matchMedia('(pointer: coarse)').matches) shown?.xterm?.term.focus();
  }

  /** @param {KeyboardEvent} event @param {Xterm} xterm @returns {boolean} whether the terminal is to take it */
  function keyed(event, { term }) {
    const means = meaning(event, { mac: MAC, selection: term.hasSelection() });
    if (event.type === 'keydown') handing.quote();
    if (means === null) return true;
    // The browser pastes by itself.
    if ('do' in means && means.do === 'paste') return false;
    if ('do' in means && means.do === 'picture') {
      if (event.type === 'keydown') handing.expect();
      return false;
    }
    event.preventDefault();
    if (event.type !== 'keydown') return false;
    if ('send' in means) type(means.send);
    else if (means.do === 'copy') void navigator.clipboard?.writeText(term.getSelection()).then(() => term.clearSelection()).catch(() => {});
    else if (means.do === 'all') term.selectAll();
    else if (means.do === 'search') showFinder(true);
    else actions.leave();
    return false;
  }

  /** @param {boolean} show */
  function showFinder(show) {
    finder.hidden = !show;
    if (show) finder.select();
    else shown?.xterm?.term.focus();
  }

  function close() {
    handing.forget();
    bar.end();
    shown?.connection?.close();
    shown?.xterm?.dispose();
    shown = null;
    screen.replaceChildren();
    showFinder(false);
    claim.hidden = true;
    pane.removeAttribute('data-boxed');
    tellMore();
    say('');
  }

  claim.addEventListener('click', () => {
    const natural = shown?.xterm && naturalSize(shown.xterm);
    if (natural) shown?.connection?.resize(natural, true);
    shown?.xterm?.term.focus();
  });
  finder.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') shown?.xterm?.find(finder.value, event.shiftKey ? 'previous' : 'next');
    if (event.key === 'Escape') showFinder(false);
  });
  new ResizeObserver(fit).observe(screen);
  screen.addEventListener('scroll', tellMore);
  // A phone's keyboard covers the page without the page being told, but for this.
  visualViewport?.addEventListener('resize', () => {
    document.documentElement.style.setProperty('--viewport', `${visualViewport?.height ?? innerHeight}px`);
  });

  return {
    /** @param {State} now */
    render(now) {
      const id = sessionOf(now.place.route);
      const session = now.sessions.find((one) => one.id === id);
      const may = now.access === 'act' || now.access === 'watch';
      const visible = id !== '' && may && session !== undefined && now.view === 'terminal';
      pane.hidden = !visible;
      if (!session || !may) return void (shown && close());
      if (!visible) return;
      // Two runs can begin in one second, which is all that the times tell.
      const run = session.runs;
      if (shown?.id !== id || shown.run !== run) void open(id, run);
    },
    focus,
    wake: () => shown?.connection?.wake(),
  };
}

/** @param {string} how @param {number | null} exitCode */
function ended(how, exitCode) {
  if (how === 'exited') return exitCode === null ? 'Ended' : `Ended with ${exitCode}`;
  return how === 'gone' ? 'This session is no longer there' : 'This page may not open this terminal';
}
