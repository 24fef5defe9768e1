/**
 * What a session is called: the name that somebody gave it, and what its program calls itself beside that. Pure.
 *
 * @module
 */

import { oneLine } from './sanitize.js';

/** @typedef {import('./types.js').Session} Session */

const MAX_NAME = 80;

/** @param {Session} session @param {string} [none] where nothing is known of it @returns {string} what heads it everywhere */
export function called(session, none = 'session') {
  return oneLine(session.name || session.title || session.role || session.kind || none, MAX_NAME);
}

/** @param {Session} session @returns {string} what stands beside its name; nothing where it has none, or the same would be said twice */
export function beside(session) {
  if (session.name === '') return '';
  const what = oneLine(session.what || session.title, MAX_NAME);
  return what === called(session) ? '' : what;
}
