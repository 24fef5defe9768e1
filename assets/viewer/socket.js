/**
 * One terminal's connection: opens the WebSocket, opens it again when it is lost, and goes on at the byte where it was.
 * Knows the daemon's protocol and nothing of the page.
 *
 * Invariant: what is handed on is the session's output without a gap and without anything twice, or a snapshot that
 * replaces all of it.
 *
 * @module
 */

import { backoff } from './api.js';
import { text } from './record.js';
import { fields } from './wire.js';

/** @typedef {{cols: number, rows: number}} Size */

/** Why a terminal is over, by close code. */
const ENDED = new Map([[4000, 'exited'], [4004, 'gone'], [4003, 'refused']]);
/** The token that this browser came with is not valid any more. */
const SIGNED_OUT = 4001;
/** Sizes asked for while one is being dragged are joined. */
const RESIZE_MS = 60;
/** Bytes that wait for the network; a paste beyond it is refused rather than kept. */
const MAX_WAITING = 4 * 1024 * 1024;
/** Bytes of one message; the daemon takes 256 KiB. */
const MAX_MESSAGE = 64 * 1024;

/**
 * @typedef {object} TerminalEvents
 * @property {(bytes: Uint8Array) => void} onSnapshot What is shown now replaces all that was shown.
 * @property {(bytes: Uint8Array, live: boolean) => void} onOutput `live`: nobody has seen it before.
 * @property {(size: Size & {own: boolean}) => void} onSize
 * @property {(readOnly: boolean) => void} onOpen
 * @property {(refused: boolean) => void} onLost It is being opened again. `refused`: it may be that this browser is not signed in any more.
 * @property {(how: string, exitCode: number | null) => void} onEnd exited, gone or refused.
 */

/** @param {string} data @returns {{[key: string]: unknown}} */
function parse(data) {
  try {
    return fields(JSON.parse(data));
  } catch {
    return {};
  }
}

/**
 * @param {string} id
 * @param {Size} size
 * @param {TerminalEvents} events
 * @param {(url: string) => WebSocket} [connect]
 */
export function openTerminal(id, size, events, connect = (url) => new WebSocket(url)) {
  let wanted = size;
  /** Offset of the next byte; -1 before anything came. */
  let position = -1;
  /** Offset up to which output is older than this connection. */
  let old = 0;
  let snapshotDue = false;
  /** The daemon told where this connection begins. One of gmux tells nothing, and begins with a picture. */
  let placed = false;
  let pictured = false;
  /** Offset of the first byte after the picture that is due. */
  let next = 0;
  let attempt = 0;
  let refused = false;
  let over = false;
  /** @type {number | null} */
  let exitCode = null;
  /** @type {WebSocket | null} */
  let socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let retry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let resizing;

  function open() {
    clearTimeout(retry);
    const query = new URLSearchParams({ darkmux: '1', cols: String(wanted.cols), rows: String(wanted.rows) });
    if (position >= 0) query.set('from', String(position));
    const opened = connect(`/ws/${encodeURIComponent(id)}?${query}`);
    opened.binaryType = 'arraybuffer';
    placed = false;
    pictured = false;
    // A browser does not tell why it was not let in.
    refused = attempt > 0;
    socket = opened;
    opened.onopen = () => { refused = false; };
    opened.onmessage = ({ data }) => {
      if (socket !== opened) return;
      if (typeof data === 'string') told(parse(data));
      else received(new Uint8Array(data));
    };
    opened.onclose = ({ code }) => {
      if (socket !== opened || over) return;
      socket = null;
      const how = ENDED.get(code);
      if (how) {
        over = true;
        events.onEnd(how, exitCode);
        return;
      }
      events.onLost(refused || code === SIGNED_OUT);
      retry = setTimeout(open, attempt === 0 ? 100 : backoff(attempt - 1, Math.random()));
      attempt += 1;
    };
  }

  /** @param {{[key: string]: unknown}} message */
  function told(message) {
    if (message.type === 'attached') {
      placed = true;
      attempt = 0;
      snapshotDue = message.snapshot === true;
      next = Number(message.at) || 0;
      // A picture that never comes is no place to go on from.
      position = snapshotDue ? -1 : next;
      old = Number(message.end) || 0;
      events.onOpen(message.read_only === true);
    } else if (message.type === 'terminal_resize') {
      const cols = Number(message.cols);
      const rows = Number(message.rows);
      if (cols > 0 && rows > 0) events.onSize({ cols, rows, own: message.owner !== false });
    } else if (message.type === 'exit') {
      exitCode = typeof message.exit_code === 'number' ? message.exit_code : null;
    }
  }

  /** @param {Uint8Array} bytes */
  function received(bytes) {
    if (!placed) {
      if (pictured) return events.onOutput(bytes, true);
      pictured = true;
      attempt = 0;
      position = -1;
      events.onOpen(false);
      return events.onSnapshot(bytes);
    }
    if (snapshotDue) {
      snapshotDue = false;
      position = next;
      events.onSnapshot(bytes);
      return;
    }
    const known = Math.min(Math.max(old - position, 0), bytes.length);
    position += bytes.length;
    if (known > 0) events.onOutput(bytes.subarray(0, known), false);
    if (known < bytes.length) events.onOutput(bytes.subarray(known), true);
  }

  /** @param {string | Uint8Array<ArrayBuffer>} message @returns {boolean} whether it is on its way */
  function send(message) {
    if (socket?.readyState !== 1 || socket.bufferedAmount > MAX_WAITING) return false;
    socket.send(message);
    return true;
  }

  /** @param {boolean} claim */
  const state = (claim) => send(JSON.stringify({ type: 'resize', ...wanted, claim }));

  open();
  return {
    /** @param {Uint8Array<ArrayBuffer>} bytes @returns {boolean} false: not connected, or too much waits; nothing was sent */
    type(bytes) {
      if (socket?.readyState !== 1 || socket.bufferedAmount + bytes.length > MAX_WAITING) return false;
      for (let at = 0; at < bytes.length; at += MAX_MESSAGE) send(bytes.slice(at, at + MAX_MESSAGE));
      return true;
    },
    /** How big this viewer is. @param {Size} now @param {boolean} [claim] make the terminal as big */
    resize(now, claim = false) {
      wanted = now;
      clearTimeout(resizing);
      if (claim) state(true);
      else resizing = setTimeout(() => state(false), RESIZE_MS);
    },
    /** Opens it anew, for a page that was away: one that looks open can have died unnoticed, and takes what is typed for ever. */
    wake() {
      if (over) return;
      attempt = 0;
      socket?.close();
      open();
    },
    close() {
      over = true;
      clearTimeout(retry);
      clearTimeout(resizing);
      socket?.close(1000);
      socket = null;
    },
    /** @returns {string} where it is, for tests and for the curious */
    where: () => text(position),
  };
}
