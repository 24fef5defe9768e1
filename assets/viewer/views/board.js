/**
 * The page of sessions: all of them, by machine or by project, and several terminals side by side.
 *
 * @module
 */

import { beside, called } from '../called.js';
import { isOpen } from '../commands.js';
import { age, count, way } from '../format.js';
import { MAX_TILES, sessionPath, tilesPath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { besideNode, byId, commandLine, h, MAX_PATH, pathNode, reconcile, replace, setText } from './dom.js';
import { outcome, ranFor, tone } from './sessions.js';
import { createTable } from './table.js';
import { createTile } from './tile.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Session} Session */
/** @typedef {'machine' | 'project' | 'state'} Grouping */

const MAX_ROWS = 300;
const MAX_NAME = 80;

/** @param {Session} session @param {Grouping} by @returns {string} */
export function groupOf(session, by) {
  if (by === 'machine') return oneLine(way(session.machine), MAX_NAME) || 'unknown machine';
  if (by === 'project') return oneLine(session.cwd, MAX_PATH) || 'no folder';
  if (session.needsYou !== '' && session.state === 'running') return 'Needs you';
  return isOpen(session.state) ? 'Running' : 'Ended';
}

/** @param {readonly Session[]} sessions @param {Grouping} by @returns {[string, Session[]][]} groups with what runs first */
export function grouped(sessions, by) {
  /** @type {Map<string, Session[]>} */
  const groups = new Map();
  for (const session of sessions) groups.set(groupOf(session, by), [...(groups.get(groupOf(session, by)) ?? []), session]);
  const open = (/** @type {Session[]} */ all) => all.filter((one) => isOpen(one.state)).length;
  return [...groups].sort(([a, inA], [b, inB]) => open(inB) - open(inA) || a.localeCompare(b));
}

/**
 * @param {(path: string) => void} go
 * @param {import('./tile.js').TileActions} tileActions
 */
export function createBoard(go, tileActions) {
  const page = byId('page-sessions', HTMLElement);
  const total = h('span', { class: 'note' });
  const together = h('button', { type: 'button', disabled: true, title: `Up to ${MAX_TILES} terminals`, on: { click: () => go(tilesPath([...picked])) } }, 'Side by side');
  /** @type {Grouping} */
  let by = 'machine';
  /** @type {[Grouping, string][]} */
  const ways = [['machine', 'Machine'], ['project', 'Project'], ['state', 'State']];
  const tabs = ways.map(([way, name]) => h('button', { type: 'button', 'aria-pressed': String(way === by), on: { click: () => { by = way; for (const [at, tab] of tabs.entries()) tab.setAttribute('aria-pressed', String(ways[at][0] === by)); if (last) render(last); } } }, name));
  const groups = h('div', { class: 'board' });
  const empty = h('div', { class: 'teach' }, h('h3', {}, 'No sessions yet'), h('p', {}, 'Start one:'), commandLine('darkmux session new'));
  const list = h('div', {}, h('div', { class: 'page-head' }, h('h2', {}, 'Sessions'), total, h('span', { class: 'spacer' }),
    h('span', { class: 'tabs', role: 'group', 'aria-label': 'Grouped by' }, ...tabs), together), groups, empty);
  const frame = h('div', { class: 'grid-frame grid' });
  const tiled = h('div', { class: 'grid-frame', hidden: true });
  tiled.append(frame);
  page.append(list, tiled);
  /** @type {Set<string>} */
  const picked = new Set();
  /** @type {Map<string, {element: HTMLElement, title: HTMLElement, table: ReturnType<typeof createTable<Session, State>>}>} */
  let sections = new Map();
  /** @type {Map<string, ReturnType<typeof createTile>>} */
  let tiles = new Map();
  /** @type {State | null} */
  let last = null;

  const changed = () => {
    together.disabled = picked.size < 2;
    setText(together, picked.size > 1 ? `Side by side (${picked.size})` : 'Side by side');
  };

  /** @type {import('./table.js').Column<Session, State>[]} */
  const columns = [
    {
      name: '', said: 'Side by side', kind: 'narrow',
      nodes: (s) => [s.id, () => {
        const box = h('input', { type: 'checkbox', class: 'board-check', 'aria-label': `Show ${called(s)} beside others` });
        box.checked = picked.has(s.id);
        box.addEventListener('change', () => {
          if (!box.checked) picked.delete(s.id);
          else if (picked.size < MAX_TILES) picked.add(s.id);
          else box.checked = false;
          changed();
        });
        return [box];
      }],
    },
    { name: 'Session', nodes: (s) => [`${called(s)}\n${beside(s)}\n${s.id}`, () => [h('a', { href: sessionPath(s.id) }, called(s)), besideNode(s), h('span', { class: 'sub' }, oneLine(s.id, MAX_NAME))]], title: (s) => [beside(s), oneLine(s.command, 300)].filter(Boolean).join(' · ') },
    { name: 'State', nodes: (s) => [`${outcome(s)} ${tone(s)}`, () => [h('span', { class: 'session-outcome', data: { tone: tone(s) } }, outcome(s))]], title: (s) => oneLine(s.needsYou, 300) },
    { name: 'Kind', kind: 'dim wide-only', text: (s) => oneLine(s.role || s.kind, MAX_NAME) },
    { name: 'Folder', kind: 'dim', nodes: (s) => [s.cwd, () => [pathNode(s.cwd)]] },
    { name: 'Ran', kind: 'number dim', text: (s, { now }) => ranFor(s, now) },
    { name: 'Ended', kind: 'dim', text: (s, { now }) => (isOpen(s.state) ? '' : age(now - (s.ended || s.created))) },
  ];

  /** @param {string} id of a session that is shown */
  function close(id) {
    const left = (last?.place.tiles ?? []).filter((one) => one !== id);
    go(left.length > 0 ? tilesPath(left) : '/sessions');
  }

  /** @param {State} state */
  function renderTiles({ place, sessions, access }) {
    const wanted = place.tiles.map((id) => sessions.find((one) => one.id === id)).filter((one) => one !== undefined);
    const next = new Map();
    const may = access === 'act' || access === 'watch';
    for (const session of may ? wanted : []) {
      const key = `${session.id} ${session.runs}`;
      const tile = tiles.get(key) ?? createTile(session, tileActions, () => close(session.id));
      tile.update(session);
      next.set(key, tile);
    }
    for (const [key, tile] of tiles) if (!next.has(key)) tile.dispose();
    tiles = next;
    reconcile(frame, next.size > 0 ? [...next.values()].map(({ element }) => element) : [none]);
    for (const tile of next.values()) tile.open();
  }
  const none = h('p', { class: 'empty' }, 'None of these sessions is here, or this browser is not signed in.');

  /** @param {State} state */
  function render(state) {
    last = state;
    const side = state.place.route.page === 'sessions' && state.place.tiles.length > 0;
    list.hidden = side;
    tiled.hidden = !side;
    page.toggleAttribute('data-tiles', side);
    if (state.place.route.page !== 'sessions' || !side) {
      for (const tile of tiles.values()) tile.dispose();
      tiles = new Map();
      frame.replaceChildren();
    }
    if (state.place.route.page !== 'sessions') {
      last = null;
      return;
    }
    if (side) return renderTiles(state);
    const shown = state.sessions.slice(0, MAX_ROWS);
    const next = new Map();
    for (const [name, members] of grouped(shown, by)) {
      const section = sections.get(name) ?? sectionOf(name);
      section.table.update(members, state);
      replace(section.title, by === 'project' ? pathNode(name) : name, h('span', { class: 'note' }, count(members.length, 'session')));
      next.set(name, section);
    }
    sections = next;
    reconcile(groups, [...next.values()].map(({ element }) => element));
    const open = state.sessions.filter((one) => isOpen(one.state)).length;
    setText(total, [`${open} running`, count(state.sessions.length, 'session'), state.sessions.length > MAX_ROWS && `the newest ${MAX_ROWS} are shown`].filter(Boolean).join(' · '));
    empty.hidden = state.sessions.length > 0 || state.sessionsLoaded === '';
    for (const id of picked) if (!state.sessions.some((one) => one.id === id)) picked.delete(id);
    changed();
  }

  /** @param {string} name */
  function sectionOf(name) {
    const title = h('h3', {});
    const table = createTable(columns, (s) => s.id, (s) => ({ sessionId: s.id, state: s.state }), { id: '', label: `Sessions of ${name}` });
    return { element: h('section', {}, title, table.element), title, table };
  }

  return { render, wake: () => tiles.forEach((tile) => tile.wake()) };
}
