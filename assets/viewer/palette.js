/**
 * What the command palette offers, and in which order for what is typed. Pure.
 *
 * @module
 */

import { beside, called } from './called.js';
import { isOpen } from './commands.js';
import { way } from './format.js';
import { flowPath } from './mode.js';
import { jobPath, machinePath, sessionPath } from './routes.js';
import { oneLine } from './sanitize.js';

/** @typedef {import('./types.js').State} State */

/**
 * @typedef {object} Offer
 * @property {string} key
 * @property {string} kind What it is, as shown beside it.
 * @property {string} title
 * @property {string} hint
 * @property {string} [keys] The key that does it without the palette.
 * @property {string} [path] Where it leads.
 * @property {string} [does] The action, where it is one.
 */

const MAX_TITLE = 80;
/** Of each kind; the rest is found by typing more. */
const MAX_KIND = 2_000;
const MAX_SHOWN = 60;

/** @type {Offer[]} */
const PAGES = [
  { key: 'go:fleet', kind: 'Page', title: 'Fleet', hint: 'machines and what links them', path: '/fleet', keys: 'g f' },
  { key: 'go:flow', kind: 'Page', title: 'Flow', hint: 'what happens, live', path: '/', keys: 'g l' },
  { key: 'go:queue', kind: 'Page', title: 'Queue', hint: 'jobs, waiting and running', path: '/queue', keys: 'g q' },
  { key: 'go:sessions', kind: 'Page', title: 'Sessions', hint: 'every terminal', path: '/sessions', keys: 'g s' },
  { key: 'go:inbox', kind: 'Page', title: 'Inbox', hint: 'what waits for you', path: '/inbox', keys: 'g i' },
];

/** @param {State} state @returns {Offer[]} what can be done now */
function actions({ access, queue, follow, place, mode }) {
  const isDemo = mode.kind === 'demo';
  const may = access === 'act' && !isDemo;
  /** @type {(Offer | false)[]} */
  const all = [
    may && { key: 'launch', kind: 'Action', title: 'Start a session…', hint: '', does: 'launch', keys: 'n' },
    may && queue !== null && { key: 'dispatch', kind: 'Action', title: 'Dispatch a job…', hint: '', does: 'dispatch', keys: 'd' },
    may && queue !== null && (queue.paused
      ? { key: 'resume', kind: 'Action', title: 'Hand out jobs again', hint: 'the queue is paused', does: 'resume' }
      : { key: 'pause', kind: 'Action', title: 'Pause the queue…', hint: 'no more jobs are handed out', does: 'pause' }),
    place.route.page === 'flow' && { key: 'follow', kind: 'Action', title: follow ? 'Stop following' : 'Follow the newest records', hint: '', does: 'follow', keys: 'f' },
    { key: 'lanes', kind: 'Action', title: 'Show the flow as lanes', hint: '', path: `${flowPath(mode)}?view=lanes` },
    { key: 'raw', kind: 'Action', title: 'Show the flow as raw records', hint: '', path: `${flowPath(mode)}?view=raw` },
    { key: 'export', kind: 'Action', title: 'Export the records shown', hint: 'a file of JSON lines', does: 'export' },
    { key: 'theme', kind: 'Action', title: 'Change the theme', hint: 'auto, light, dark', does: 'theme' },
    !isDemo && { key: 'account', kind: 'Action', title: may || access === 'watch' ? 'Sign out…' : 'Sign in…', hint: '', does: 'account' },
    place.route.page !== 'flow' && mode.kind === 'play' ? false : mode.kind !== 'live' && { key: 'play', kind: 'Action', title: 'Play or pause the replay', hint: '', does: 'play', keys: 'Space' },
    { key: 'help', kind: 'Action', title: 'Keyboard help', hint: '', does: 'help', keys: '?' },
  ];
  return all.filter((one) => one !== false);
}

/** @param {State} state @returns {Offer[]} */
export function offers(state) {
  const session = state.sessions.slice(0, MAX_KIND).map((one) => ({
    key: `session:${one.id}`,
    kind: 'Session',
    title: called(one, one.id),
    // Each for itself: what is cut off is not found.
    hint: [beside(one), isOpen(one.state) ? 'running' : one.state, way(one.machine), one.id].map((part) => oneLine(part, MAX_TITLE)).filter(Boolean).join(' · '),
    path: sessionPath(one.id),
  }));
  const job = state.jobs.slice(0, MAX_KIND).map((one) => ({
    key: `job:${one.id}`,
    kind: 'Job',
    title: oneLine(one.name || one.id, MAX_TITLE),
    hint: oneLine([one.state, one.role, one.machine, one.name && one.id].filter(Boolean).join(' · '), MAX_TITLE),
    path: jobPath(one.id),
  }));
  const machine = state.fleet.slice(0, MAX_KIND).map((one) => ({
    key: `machine:${one.uid}`, kind: 'Machine', title: oneLine(one.name, MAX_TITLE), hint: oneLine(one.system, MAX_TITLE), path: machinePath(one.name),
  }));
  const known = new Set(state.fleet.map((one) => one.name));
  const peer = state.peers.filter((one) => !known.has(one.name)).slice(0, MAX_KIND).map((one) => ({
    key: `peer:${one.name}`, kind: 'Machine', title: oneLine(one.name, MAX_TITLE), hint: oneLine(one.status, MAX_TITLE), path: machinePath(one.name),
  }));
  return [...PAGES, ...actions(state), ...machine, ...peer, ...session, ...job];
}

/** @param {string} text @param {string} word @returns {number} how well it fits; 0 when it does not */
function fits(text, word) {
  const at = text.indexOf(word);
  if (at === 0) return 4;
  if (at > 0) return /[^a-z0-9]/.test(text[at - 1]) ? 3 : 2;
  let from = 0;
  for (const char of word) {
    from = text.indexOf(char, from) + 1;
    if (from === 0) return 0;
  }
  // Letters far apart are a match by chance.
  return word.length > 1 && from <= word.length * 4 ? 1 : 0;
}

/** @param {readonly Offer[]} all @param {string} typed @returns {Offer[]} those that fit, best first */
export function ranked(all, typed) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return all.slice(0, MAX_SHOWN);
  const scored = [];
  for (const [place, offer] of all.entries()) {
    const title = offer.title.toLowerCase();
    const rest = `${offer.kind} ${offer.hint}`.toLowerCase();
    let score = 0;
    for (const word of words) {
      const found = Math.max(fits(title, word) * 2, rest.includes(word) ? 3 : 0);
      if (found === 0) {
        score = 0;
        break;
      }
      score += found;
    }
    if (score > 0) scored.push({ offer, score, place });
  }
  return scored.sort((a, b) => b.score - a.score || a.place - b.place).slice(0, MAX_SHOWN).map(({ offer }) => offer);
}
