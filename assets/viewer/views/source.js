/**
 * Where the records come from, in one word, and the truth behind it: which link is down since when, and what was missed.
 *
 * @module
 */

import { age, clock, count, duration, moment, utc } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, commandLine, h, replace, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */

const MAX_TEXT = 200;

/** @type {{[source: string]: string}} */
const MEANING = {
  connecting: 'The stream of records is being opened.',
  live: 'Records are shown as they are written.',
  reconnecting: 'The stream was lost and is being opened again; what is written meanwhile follows.',
  'no daemon': 'No daemon answers here; the page goes on by itself when one does.',
  replay: 'Records of the past; nothing new arrives.',
};

/** @param {State} state @returns {string} what the pill's title says */
export const meaning = (state) => MEANING[state.source] ?? '';

export function createSource() {
  const pill = byId('source', HTMLButtonElement);
  const panel = byId('source-truth', HTMLElement);
  let shown = '';

  return {
    /** @param {State} state */
    render(state) {
      setText(pill, state.source === 'replay' ? `replay (${oneLine(state.mode.label, 64)})` : state.source);
      pill.dataset.source = state.source;
      pill.title = meaning(state);
      document.body.dataset.source = state.source;
      if (!panel.matches(':popover-open')) {
        shown = '';
        return;
      }
      const now = JSON.stringify([state.source, state.playback?.from, state.since, state.fleetProblem, state.queueProblem, state.peers, state.missed, state.dropped, state.machine?.redis, Math.floor(state.now / 1000)]);
      if (now === shown) return;
      shown = now;
      replace(panel, h('p', {}, meaning(state)), h('dl', { class: 'facts' }, ...links(state)), ...advice(state));
    },
    panel,
  };
}

/** @param {State} state */
function links(state) {
  if (state.source === 'replay') return replayed(state);
  const url = state.machine?.redis ?? null;
  const redis = oneLine(url ?? '', MAX_TEXT);
  const newest = state.records.at(-1);
  const down = state.fleetProblem !== '' || state.queueProblem !== '';
  return [
    ...row('Daemon', `${state.source === 'no daemon' ? 'no answer' : state.source} since ${clock(state.since)} (${duration(state.now - state.since)})`, utc(state.since)),
    ...(url === null ? [] : row('Records', redis === '' ? 'this machine alone' : 'the whole fleet, by Redis')),
    ...(url === null ? [] : row('Redis', redis === '' ? 'none: this machine works alone' : `${redis}${down ? ', which does not answer' : ''}`)),
    ...state.peers.filter(({ status }) => status !== 'connected').slice(0, 20)
      .flatMap((peer) => row(oneLine(peer.name, 64), `${oneLine(peer.status, 40)} since ${clock(peer.since)}${peer.problem === '' ? '' : `: ${oneLine(peer.problem, MAX_TEXT)}`}`, utc(peer.since))),
    ...row('Newest', newest ? age(Math.max(0, state.now - newest.at)) : 'none', newest ? utc(newest.at) : ''),
    ...row('Missed', state.missed > 0 ? `${count(state.missed, 'record')} left the log unread` : 'nothing'),
    ...row('Kept here', `${count(state.records.length, 'record')}${state.dropped > 0 ? `; ${count(state.dropped, 'older one')} let go` : ''}`),
  ];
}

/** @param {State} state */
function replayed({ playback, records, mode, machine }) {
  return [
    ...(mode.kind === 'demo' && machine ? row('Page of', oneLine(machine.id, 64)) : []),
    ...(playback ? row('From', moment(playback.from), utc(playback.from)) : []),
    ...(playback ? row('To', moment(playback.to), utc(playback.to)) : []),
    ...row('Records', count(records.length, 'record')),
  ];
}

/** @param {string} name @param {string} value @param {string} [title] */
const row = (name, value, title = '') => [h('dt', {}, name), h('dd', { title: title !== '' && title }, value)];

/** @param {State} state */
function advice(state) {
  // Not within this page: it is another one.
  if (state.mode.query !== '') return [h('p', {}, h('a', { href: '/', target: '_self' }, 'Leave the replay'))];
  if (state.source === 'no daemon') return [commandLine('darkmux serve')];
  return state.fleetProblem !== '' || state.queueProblem !== '' ? [commandLine('darkmux doctor')] : [];
}
