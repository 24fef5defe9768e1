/**
 * Which session an address names, by the rule of the command line: people put into an address what they would type after
 * `darkmux session attach`. Pure.
 *
 * @module
 */

import { isOpen } from './commands.js';

/** @typedef {import('./types.js').Session} Session */

/** What most ids begin with; people leave it out. */
const PREFIX = 'sess-';
/** Fewest characters by which the end of an id names it. */
const ENDING_MIN = 4;

/** @param {string} id @returns {string} where a session of another machine is: `@desk` of `x@desk`, else nothing */
const placeOf = (id) => (id.includes('@') ? id.slice(id.indexOf('@')) : '');

/** @param {string} id @param {string} text @returns {boolean} whether the text is a beginning or an end of the id */
function isLike(id, text) {
  const place = placeOf(id);
  // Machines are written in full.
  if (!text.endsWith(place)) return false;
  const [own, part] = [id, text].map((one) => one.slice(0, one.length - place.length));
  if (part === '') return false;
  return own.startsWith(part) || own.startsWith(`${PREFIX}${part}`) || (part.length >= ENDING_MIN && own.endsWith(part));
}

/**
 * The session that a text names: an id; else a name, of one that runs before those that ended; else the only one whose id
 * begins so, with or without `sess-`, or ends so. One of another machine is named with its machine.
 *
 * @param {readonly Session[]} sessions @param {string} text
 * @returns {Session | 'none' | 'several'}
 */
export function findSession(sessions, text) {
  const exact = sessions.find(({ id }) => id === text);
  if (exact) return exact;
  const named = sessions.filter(({ id, name }) => name !== '' && `${name}${placeOf(id)}` === text);
  const running = named.filter(({ state }) => isOpen(state));
  const fits = [running, named, sessions.filter(({ id }) => isLike(id, text))].find((all) => all.length > 0) ?? [];
  return fits.length > 1 ? 'several' : fits[0] ?? 'none';
}

/**
 * Before all sessions are known, none is the only one that fits, and none is missing.
 *
 * @param {import('./types.js').State} state
 */
export const knowsSessions = ({ mode, access, sessionsLoaded }) => (
  // Who is signed in sees more sessions than anybody does, and those come by events.
  mode.kind === 'demo' || sessionsLoaded === 'all' || (sessionsLoaded === 'some' && access === 'none'));
