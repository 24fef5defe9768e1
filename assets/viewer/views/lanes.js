/**
 * The flow as swim lanes: a lane for each session, by machine, with its dispatches as bars and its other records as
 * ticks. A bounded number of lanes, the newest.
 *
 * @module
 */

import { clock, count, duration, shortId, utc } from '../format.js';
import { sessionPath } from '../routes.js';
import { oneLine } from '../sanitize.js';
import { lanesOf, ticks } from '../spans.js';
import { byId, h, replace, setAttribute, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../spans.js').Lane} Lane */

const MAX_LANES = 150;
const MAX_NAME = 60;
const REDRAW_MS = 1_000;
/** @type {[string, number][]} */
const WINDOWS = [['15 min', 900_000], ['1 h', 3_600_000], ['6 h', 21_600_000], ['All', Infinity]];

/** @param {(record: string) => void} openRecord */
export function createLanes(openRecord) {
  const frame = byId('lanes', HTMLElement);
  const body = h('div', { class: 'lanes-body' });
  const note = h('p', { class: 'note lanes-note' });
  let span = 3_600_000;
  const buttons = WINDOWS.map(([name, ms]) => h('button', { type: 'button', on: { click: () => { span = ms; draw(); } } }, name));
  frame.append(h('div', { class: 'lanes-head' }, h('span', { class: 'tabs', role: 'group', 'aria-label': 'How much time is shown' }, ...buttons), note), body);
  body.addEventListener('click', ({ target }) => {
    const key = target instanceof HTMLElement ? target.dataset.record : undefined;
    if (key) openRecord(key);
  });
  /** @type {State | null} */
  let last = null;
  /** @type {{matches: unknown, lanes: Lane[]}} */
  let kept = { matches: null, lanes: [] };
  /** When it was drawn, by the clock of who looks: that of a replay can stand still. */
  let drawn = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pending;

  function draw() {
    clearTimeout(pending);
    pending = undefined;
    if (!last) return;
    drawn = performance.now();
    const { matches, now, mode, playback } = last;
    if (kept.matches !== matches) kept = { matches, lanes: lanesOf(matches.newest(matches.total)) };
    const newest = Math.max(...kept.lanes.map(({ last: at }) => at), -Infinity);
    const to = mode.kind === 'live' || playback ? Math.max(now, newest) : newest + 1_000;
    const oldest = Math.min(...kept.lanes.map(({ first }) => first), to - 60_000);
    const from = Math.max(oldest, to - span);
    for (const [index, button] of buttons.entries()) setAttribute(button, 'aria-pressed', String(WINDOWS[index][1] === span));
    const seen = kept.lanes.filter((lane) => lane.last >= from || lane.spans.some(({ end }) => Number.isNaN(end)));
    const shown = seen.length > MAX_LANES ? [...seen].sort((a, b) => b.last - a.last).slice(0, MAX_LANES) : seen;
    const order = new Set(shown);
    const hidden = seen.length - shown.length;
    const about = [`${clock(from)} – ${clock(to)}`, count(shown.length, 'lane'), hidden > 0 && `${hidden} older ones are not shown`].filter(Boolean).join(' · ');
    setText(note, about);
    setAttribute(note, 'title', about);
    if (seen.length === 0) return replace(body, h('p', { class: 'empty' }, 'Nothing happened in this time with these filters.'));
    const place = (/** @type {number} */ at) => `${(Math.max(0, Math.min(1, (at - from) / (to - from))) * 100).toFixed(3)}%`;
    const rows = [];
    let machine = '\n';
    for (const lane of seen) {
      if (!order.has(lane)) continue;
      if (lane.machine !== machine) rows.push(h('h2', { class: 'lane-machine' }, oneLine(lane.machine, MAX_NAME) || 'no machine'));
      machine = lane.machine;
      rows.push(row(lane, { from, to, now, place }));
    }
    replace(body, h('div', { class: 'lane-axis', 'aria-hidden': 'true' }, ...ticks(from, to).filter((at) => (to - at) / (to - from) > 0.03).map((at) => {
      const tick = h('span', {}, clock(at).slice(0, to - from < 600_000 ? 8 : 5));
      tick.style.insetInlineStart = place(at);
      return tick;
    })), ...rows);
  }

  return {
    /** @param {State} state */
    render(state) {
      const shown = state.place.route.page === 'flow' && state.place.lens === 'lanes';
      frame.hidden = !shown;
      if (!shown) {
        last = null;
        return;
      }
      // What somebody chooses is shown at once.
      const chosen = last?.filters !== state.filters || state.playback?.playing === false;
      last = state;
      // Bars of what runs grow; a burst of records is not drawn for each of them.
      const soon = drawn + REDRAW_MS - performance.now();
      if (chosen || soon <= 0) draw();
      else pending ??= setTimeout(draw, soon);
    },
  };
}

/** @param {Lane} lane @param {{from: number, to: number, now: number, place: (at: number) => string}} view */
function row(lane, { from, now, place }) {
  const name = lane.spans.at(-1)?.role || lane.role;
  const label = lane.session === ''
    ? h('span', { class: 'lane-name' }, lane.machine === '' ? 'records' : 'the machine')
    : h('a', { class: 'lane-name', href: sessionPath(lane.session), title: [oneLine(name, MAX_NAME), oneLine(lane.session, 200)].filter(Boolean).join(' · ') },
      h('span', { class: 'lane-role' }, oneLine(name, MAX_NAME) || 'session'), h('span', { class: 'lane-id' }, shortId(oneLine(lane.session, MAX_NAME))));
  const track = h('div', { class: 'lane-track' });
  for (const one of lane.spans) {
    const end = Number.isNaN(one.end) ? now : one.end;
    if (end < from) continue;
    const about = [oneLine(one.role, MAX_NAME), `${one.cut ? 'at least ' : ''}${duration(end - one.start)}`, one.how === 'running' ? 'running' : one.how === 'bad' ? 'failed' : 'done', `from ${utc(one.start)}`].filter(Boolean).join(' · ');
    const bar = h('span', { class: 'lane-bar', title: about, data: { how: one.how, tier: one.tier } });
    bar.style.insetInlineStart = place(one.start);
    bar.style.inlineSize = `calc(${place(end)} - ${place(one.start)})`;
    track.append(bar);
  }
  for (const mark of lane.marks) {
    if (mark.at < from) continue;
    const tick = h('span', { class: 'lane-mark', title: `${clock(mark.at)} ${oneLine(mark.action, MAX_NAME)} ${oneLine(mark.handle, 120)}`, data: { level: mark.level, record: mark.key } });
    tick.style.insetInlineStart = place(mark.at);
    track.append(tick);
  }
  return h('div', { class: 'lane' }, label, track);
}
