/**
 * All that the viewer does to sessions, and what only somebody who is signed in may see.
 *
 * @module
 */

import { readAccess, readFound, readLaunchers, readPeers, readRefusal, readSession } from './v1.js';
import { fields, list, readAgent, readJudgement, readOutput } from './wire.js';
import { text } from './record.js';

/** @typedef {import('./types.js').Access} Access */
/** @typedef {import('./types.js').Session} Session */

const TIMEOUT_MS = 10_000;
/** A restart ends the process first, which may take its grace. */
const SLOW_MS = 40_000;
/** A picture over a slow link. */
const UPLOAD_MS = 60_000;

/** The daemon, or the way to it, refused; the message is for the reader. */
export class Refused extends Error {
  /** @param {number} status 0 when there was no answer @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{json?: unknown, raw?: BodyInit, type?: string, timeout?: number}} [what]
 * @returns {Promise<unknown>} the body, undefined when there is none
 */
async function ask(method, path, { json, raw, type = 'application/json', timeout = TIMEOUT_MS } = {}) {
  const body = raw ?? (method === 'GET' ? undefined : JSON.stringify(json ?? {}));
  const headers = body === undefined ? undefined : { 'content-type': type };
  let response;
  try {
    response = await fetch(path, { method, headers, body, cache: 'no-store', signal: AbortSignal.timeout(timeout) });
  } catch {
    throw new Refused(0, 'The daemon does not answer.');
  }
  const answer = await response.json().catch(() => undefined);
  if (!response.ok) throw new Refused(response.status, readRefusal(answer) || `The daemon refused (${response.status}).`);
  return answer;
}

/** @returns {Promise<Access>} */
export async function askAccess() {
  try {
    return readAccess(await ask('GET', '/auth/me'));
  } catch (error) {
    if (error instanceof Refused && error.status !== 0 && error.status < 500) return 'none';
    throw error;
  }
}

export const signOut = () => ask('POST', '/auth/logout');

/** @returns {Promise<Session[]>} every session, titles and all */
export async function listSessions() {
  return list(fields(await ask('GET', '/v1/sessions')).data).map(readSession).filter(({ id }) => id !== '');
}

/** What can be started here, and the links to other machines. */
export async function askHealth() {
  const body = await ask('GET', '/v1/health');
  return { launchers: readLaunchers(body), peers: readPeers(body) };
}

/** @returns {Promise<import('./types.js').Found[]>} machines that were found, and are no peers */
export async function askFound() {
  return readFound(await ask('GET', '/v1/discovery'));
}

/** @typedef {{peer?: string, launcher?: string, command?: string[], cwd?: string, name?: string, key: string}} Launch asked for again with the same key it is the same session */

/** What one intention is known by, however often it is asked for. */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** @param {Launch} launch @returns {Promise<string>} the new session's id */
export async function launch({ peer, launcher, command, cwd, name, key }) {
  const json = { peer, launcher_id: launcher, command, cwd, name, key };
  return text(fields(fields(await ask('POST', '/v1/launch', { json, timeout: SLOW_MS })).data).session_id);
}

/** @param {string} id */
const at = (id) => `/v1/sessions/${encodeURIComponent(id)}`;

/** @typedef {'kill' | 'restart' | 'resume' | 'dismiss' | 'read'} SessionAction */

/** @param {string} id @param {SessionAction} action */
export const sessionAction = (id, action) => ask('POST', `${at(id)}/${action}`, { timeout: SLOW_MS });

/** @param {string} id @returns {Promise<import('./wire.js').AgentResult | null>} what the built-in agent came to, where it left that */
export const sessionResult = (id) => ask('GET', `${at(id)}/result`).then((answer) => readAgent(fields(answer).data), () => null);

/** @param {string} id @param {string} name */
export const rename = (id, name) => ask('POST', `${at(id)}/rename`, { json: { name } });

/** Types a line into a session. @param {string} id @param {string} line */
export const answer = (id, line) => ask('POST', `${at(id)}/input?submit=1`, {
  raw: new TextEncoder().encode(line), type: 'application/octet-stream',
});

/** @param {string} id @param {Blob} file @returns {Promise<string>} where it is on the session's machine */
export async function uploadFile(id, file) {
  const type = file.type.startsWith('image/') ? file.type : 'application/octet-stream';
  const body = await ask('POST', `${at(id)}/clipboard`, { raw: file, type, timeout: UPLOAD_MS });
  return text(fields(fields(body).data).path);
}

/** What is asked of the queue as a whole. @param {'pause' | 'resume'} what */
export const queueAction = (what) => ask('POST', `/v1/queue/${what}`);

/** @param {string} machine @param {'drain' | 'undrain'} what */
export const machineAction = (machine, what) => ask('POST', `/v1/machines/${encodeURIComponent(machine)}/${what}`);

/** @param {string} entry @param {'requeue' | 'drop'} what */
export const letterAction = (entry, what) => ask('POST', `/v1/dead/${encodeURIComponent(entry)}/${what}`);

/** @param {string} id @param {'cancel' | 'retry'} what */
export const jobAction = (id, what) => ask('POST', `/v1/jobs/${encodeURIComponent(id)}/${what}`);

/** @param {string} id */
export const explainJob = async (id) => readJudgement(await ask('GET', `/v1/jobs/${encodeURIComponent(id)}/explain`));

/** @param {string} id @param {string} after the `next` of the answer before, or nothing */
export async function jobOutput(id, after) {
  const query = after === '' ? '' : `?after=${encodeURIComponent(after)}`;
  return readOutput(await ask('GET', `/v1/jobs/${encodeURIComponent(id)}/output${query}`, { timeout: UPLOAD_MS }));
}

/**
 * @typedef {object} Dispatch
 * @property {string} role
 * @property {string} message
 * @property {string} [name]
 * @property {string} [machine]
 * @property {string} [pin]
 * @property {string[]} [require]
 * @property {string} [priority]
 * @property {number} [retries]
 * @property {string} [workdir]
 * @property {string} [key]
 */

/** @param {Dispatch} what @returns {Promise<import('./types.js').Judgement[]>} which machines could run it */
export async function tryDispatch(what) {
  return readJudgement(await ask('POST', '/v1/dispatch', { json: { ...what, dry_run: true } })).machines;
}

/** @param {Dispatch} what @returns {Promise<string>} the job's id */
export const dispatch = async (what) => text(fields(fields(await ask('POST', '/v1/dispatch', { json: what })).data).job);
