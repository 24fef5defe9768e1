/**
 * Reads the sessions of `/v1` into the viewer's own shape, and says what may be done with one. Pure; what is missing or
 * of another type becomes empty.
 *
 * @module
 */

import { text } from './record.js';
import { commandLine, fields, list, time } from './wire.js';

/** @typedef {import('./types.js').Session} Session */
/** @typedef {import('./types.js').Launcher} Launcher */
/** @typedef {import('./types.js').Access} Access */

/** @param {unknown} value @returns {number} a size, 0 when it is none */
const size = (value) => (Number.isInteger(value) && Number(value) > 0 && Number(value) <= 0xffff ? Number(value) : 0);

/** @param {unknown} value @returns {Session} */
export function readSession(value) {
  const s = fields(value);
  const id = text(s.id);
  const status = fields(s.status);
  const alive = s.alive === true;
  const exitCode = typeof s.exit_code === 'number' ? s.exit_code : null;
  return {
    id,
    role: text(s.role),
    name: text(s.name),
    state: text(s.state) || (alive ? 'running' : 'exited'),
    // Its way: `dev@server` is a machine that only `server` reaches.
    machine: id.includes('@') ? id.slice(id.indexOf('@') + 1) : text(s.peer) || text(s.machine_id),
    created: time(s.created_at),
    started: time(s.started_at),
    ended: time(s.exited_at),
    exitCode,
    signal: text(fields(s.exit).signal),
    reason: s.reason === 'exited' ? '' : text(s.reason),
    cwd: text(s.cwd),
    command: commandLine(s.command),
    title: text(s.title),
    what: text(s.what),
    kind: text(s.kind),
    label: text(status.label),
    working: status.working === true,
    failing: status.error === true,
    needsYou: text(status.needs_you) || text(s.needs_you),
    unread: s.unread === true,
    notice: notice(fields(s.notice)),
    resumable: s.resumable === true,
    disconnected: time(s.disconnected_since),
    runs: Number.isInteger(s.runs) ? Number(s.runs) : 0,
    cols: size(s.terminal_cols),
    rows: size(s.terminal_rows),
  };
}

/** @param {Record<string, unknown>} said @returns {Session['notice']} what its program wants to be seen */
const notice = (said) => ({ text: [text(said.title), text(said.body)].filter(Boolean).join(': '), at: time(said.at) });

/** @param {unknown} body of `/v1/health` @returns {Launcher[]} what can be started here, best first */
export const readLaunchers = (body) => launchers(fields(fields(body).data).launchers);

/** @param {unknown} value @returns {Launcher[]} */
function launchers(value) {
  return list(value)
    .map(fields)
    .filter((one) => one.available !== false)
    .map((one) => ({ id: text(one.id), label: text(one.label) || text(one.id), about: text(one.description) }))
    .filter((one) => one.id !== '');
}

/** @param {unknown} body of `/v1/health` @returns {import('./types.js').Peer[]} the links to other machines */
export function readPeers(body) {
  return list(fields(fields(body).data).peers).map(fields).map((p) => ({
    name: text(p.name), url: text(p.url), status: text(p.status), since: time(p.since), problem: text(p.last_error),
    version: text(p.version), origin: text(p.origin), launchers: launchers(p.launchers), sessions: Number.isInteger(p.session_count) ? Number(p.session_count) : 0,
  })).filter(({ name }) => name !== '');
}

/** @param {unknown} body of `/v1/discovery` @returns {import('./types.js').Found[]} what the user has to do something about */
export function readFound(body) {
  return list(fields(fields(body).data).machines).map(fields).map((m) => ({
    name: text(m.name), url: text(m.url), place: text(m.host) || text(m.folder) || text(m.origin),
    off: m.online === false, todo: text(m.join) || text(m.taken),
  })).filter(({ name, todo }) => name !== '' && todo !== '');
}

/** @param {unknown} body of `/auth/me` @returns {Access} */
export function readAccess(body) {
  const scope = text(fields(body).scope);
  return scope === 'watch' || scope === 'act' ? scope : 'none';
}

/** @param {unknown} body of a refusal @returns {string} what the daemon said, or nothing */
export function readRefusal(body) {
  return text(fields(fields(body).error).message);
}

/**
 * @param {readonly Session[]} sessions
 * @returns {Session[]} those that wait for a person, the one that has been there longest first
 */
export function waiting(sessions) {
  return sessions
    .filter((session) => session.needsYou !== '' && session.state === 'running')
    .sort((a, b) => a.created - b.created);
}

/** @param {readonly Session[]} sessions @returns {Session[]} those whose program wants to be seen, and that ask nothing besides */
export function noticing(sessions) {
  return sessions.filter((session) => session.notice.text !== '' && session.needsYou === '');
}
