/**
 * What the page shows, from its metas and its address: the daemon's present, a day of the past, or a recording. Pure.
 *
 * @module
 */

import { utcDay } from './format.js';
import { parseRoute } from './routes.js';

/** @typedef {'live' | 'play' | 'demo'} ModeKind */

/**
 * @typedef {object} Mode What the page shows, fixed for the life of the page.
 * @property {ModeKind} kind
 * @property {string} label Date or file name of a replay; empty when live.
 * @property {string} src Date of a played day, address of a recording; empty when live.
 * @property {string} query What stays in the address of every page of a recording.
 * @property {number} at Seconds into the replay that the address asks for; NaN when it does not.
 */

/** Names of recordings that an address may ask for: files beside the viewer's own. */
const NAME = /^[a-z0-9-]{1,40}$/;

/** The words for what cannot be done in a recording. */
export const FROZEN = 'This is a replay: nothing can be changed in it.';

/** @param {string} src an address from a meta, or nothing @param {string} path @param {string} query @param {number} now @returns {Mode} */
export function modeOf(src, path, query, now) {
  const at = Number(new URLSearchParams(query).get('at') ?? NaN);
  const moment = at >= 0 ? at : NaN;
  if (src) return { kind: 'demo', label: (src.split('/').pop() || src).replace(/\.json$/, ''), src, query: '', at: moment };
  const name = new URLSearchParams(query).get('replay') ?? '';
  if (NAME.test(name)) return { kind: 'demo', label: name, src: `/assets/${name}.json`, query: `replay=${name}`, at: moment };
  const { day } = parseRoute(path);
  if (day && day !== utcDay(now)) return { kind: 'play', label: day, src: day, query: '', at: moment };
  return { kind: 'live', label: '', src: '', query: '', at: NaN };
}

/** @param {Mode} mode @returns {string} where the flow of this page is: a day's page shows no other */
export const flowPath = (mode) => (mode.kind === 'play' ? `/flow/${mode.src}` : '/');

/** @param {Mode} mode @param {string} day of an address, empty for the present @param {number} now @returns {boolean} whether this page can show it */
export const showsDay = (mode, day, now) => mode.kind === 'demo' || day === mode.src || (mode.kind === 'live' && day === utcDay(now));

/** @param {string} path of this viewer @returns {string} without what the address of a replay has more */
export function withoutReplay(path) {
  const [page, query = ''] = path.split('?');
  const params = query.split('&').filter((one) => one !== '' && !/^(?:replay|at)=/.test(one));
  return params.length > 0 ? `${page}?${params.join('&')}` : page;
}

/** @param {string} path of this viewer @param {string} query what is to stay in the address @returns {string} */
export const withQuery = (path, query) => (query === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${query}`);
