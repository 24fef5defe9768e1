/**
 * Which page an address shows, and the address of a page. Pure. Every thing that the viewer shows has an address of its
 * own: a session, a job, a machine, a day with its filters.
 *
 * @module
 */

import { parseFilters, toQuery } from './filters.js';

/** @typedef {import('./types.js').Route} Route */
/** @typedef {import('./types.js').Place} Place */

/** @type {readonly import('./types.js').Lens[]} */
export const LENSES = ['list', 'lanes', 'raw'];

/** Ids of sessions, jobs and machines are shorter; an address is from anywhere. */
const MAX_ID = 300;
/** Terminals side by side. */
export const MAX_TILES = 6;

/** Half a character, which text from anywhere can hold and no address: to encode it throws. @param {string} part */
const encoded = (part) => encodeURIComponent(part.replace(/\p{Surrogate}/gu, '\ufffd'));

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part).slice(0, MAX_ID);
  } catch {
    return '';
  }
}

/** @param {string} path @returns {Route} the flow for any address that is none of ours */
export function parseRoute(path) {
  const [, first = '', second = '', ...rest] = path.split('/');
  const id = decoded(second);
  const one = rest.length === 0 && id !== '';
  switch (first) {
    case 'fleet': case 'queue': case 'sessions': case 'inbox': return { page: first, id: '', day: '' };
    case 'session': case 'job': case 'machine': if (one) return { page: first, id, day: '' }; break;
    case 'flow': case 'play': if (/^\d{4}-\d{2}-\d{2}$/.test(id)) return { page: 'flow', id: '', day: id }; break;
  }
  return { page: 'flow', id: '', day: '' };
}

/** @param {Route} route */
export function routePath({ page, id, day }) {
  if (page === 'flow') return day === '' ? '/' : `/flow/${day}`;
  return id === '' ? `/${page}` : `/${page}/${encoded(id)}`;
}

/** @param {string} session */
export const sessionPath = (session) => routePath({ page: 'session', id: session, day: '' });
/** @param {string} job */
export const jobPath = (job) => routePath({ page: 'job', id: job, day: '' });
/** @param {string} machine */
export const machinePath = (machine) => routePath({ page: 'machine', id: machine, day: '' });

/** @param {string[]} sessions the path that shows these side by side */
export const tilesPath = (sessions) => `/sessions?show=${sessions.slice(0, MAX_TILES).map(encoded).join(',')}`;

/** @param {Route} route @returns {'fleet' | 'flow' | 'queue' | 'sessions' | 'inbox'} where the rail says one is */
export function sectionOf({ page }) {
  if (page === 'machine') return 'fleet';
  if (page === 'job') return 'queue';
  return page === 'session' ? 'sessions' : page;
}

/** @param {string} session @returns {string} what its own machine calls it, which is what records and jobs say: `x` of `x@desk` */
export const ownId = (session) => session.split('@')[0];

/** @param {Route} route @returns {string} the session whose terminal is shown, or nothing */
export const sessionOf = ({ page, id }) => (page === 'session' ? id : '');

/**
 * @param {string} path @param {string} query
 * @returns {Place} where an address leads
 */
export function parsePlace(path, query) {
  const route = parseRoute(path);
  const params = new URLSearchParams(query);
  const lens = LENSES.find((one) => one === params.get('view')) ?? 'list';
  const at = Number(params.get('t') ?? NaN);
  const filters = parseFilters(query);
  // What is shown of a session or a job are its records.
  if (route.page === 'session' || route.page === 'job') filters.session = ownId(route.id);
  const tiles = (params.get('show') ?? '').split(',').filter(Boolean).slice(0, MAX_TILES);
  return { route, filters, lens, at: at >= 0 ? at : NaN, tiles, record: params.get('record') ?? '' };
}

/** @param {string} record @param {string} day @returns {string} the address of one record of a day */
export const recordPath = (record, day) => `/flow/${day}?record=${encoded(record)}`;

/** @param {Place} place @returns {string} its address */
export function placePath({ route, filters, lens, at, tiles, record }) {
  if (route.page === 'sessions' && tiles.length > 0) return tilesPath(tiles);
  const own = route.page === 'session' || route.page === 'job';
  const params = new URLSearchParams(route.page === 'flow' || own ? toQuery(own ? { ...filters, session: '' } : filters) : '');
  if (route.page === 'flow' && lens !== 'list') params.set('view', lens);
  if (route.page === 'flow' && record !== '') params.set('record', record);
  if (route.page === 'job' && at >= 0) params.set('t', String(Math.round(at)));
  const query = params.toString();
  return `${routePath(route)}${query ? `?${query}` : ''}`;
}
