/**
 * The bar of a replay: play and pause, how fast, the moment, and what happens at it.
 *
 * @module
 */

import { clock, duration, utc } from '../format.js';
import { oneLine } from '../sanitize.js';
import { byId, h, replace, setAttribute, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */

const MAX_CHAPTER = 160;
const MAX_CHAPTERS = 50;
const STEPS = 2_000;

/** @param {{toggle: () => void, faster: () => void, seek: (to: number, settled: boolean) => void}} playback */
export function createPlaybar({ toggle, faster, seek }) {
  const bar = byId('playbar', HTMLElement);
  const play = h('button', { type: 'button', class: 'play', on: { click: toggle } }, h('span', { class: 'play-icon', 'aria-hidden': 'true' }));
  const speed = h('button', { type: 'button', class: 'mini', id: 'play-speed', on: { click: faster } });
  const scrubber = h('input', { type: 'range', class: 'scrubber', id: 'play-moment', min: 0, max: STEPS, step: 1, 'aria-label': 'Moment of the replay' });
  const marks = h('div', { class: 'play-marks' });
  const time = h('span', { class: 'play-time' });
  const chapter = h('p', { class: 'play-chapter', role: 'status' });
  bar.append(play, speed, h('div', { class: 'play-track' }, marks, scrubber), time, chapter);
  let from = 0;
  let length = 1;
  /** @type {unknown} */
  let drawn;

  const moment = () => from + (Number(scrubber.value) / STEPS) * length;
  scrubber.addEventListener('input', () => seek(moment(), false));
  scrubber.addEventListener('change', () => seek(moment(), true));

  /** @param {{at: number, text: string}[]} chapters */
  function drawMarks(chapters) {
    replace(marks, ...chapters.slice(0, MAX_CHAPTERS).map((one) => {
      const mark = h('button', { type: 'button', class: 'play-mark', tabindex: -1, title: oneLine(one.text, MAX_CHAPTER), 'aria-hidden': 'true', on: { click: () => seek(one.at, true) } });
      mark.style.insetInlineStart = `${Math.max(0, Math.min(1, (one.at - from) / length)) * 100}%`;
      return mark;
    }));
  }

  return {
    /** @param {State} state */
    render({ playback, mode, place }) {
      bar.hidden = playback === null || !(playback.to > playback.from) || (mode.kind === 'play' && place.route.page !== 'flow');
      if (bar.hidden || playback === null) return;
      from = playback.from;
      length = playback.to - playback.from;
      if (drawn !== playback.chapters) {
        drawn = playback.chapters;
        drawMarks(playback.chapters);
      }
      setAttribute(play, 'data-playing', playback.playing);
      setAttribute(play, 'aria-label', playback.playing ? 'Pause' : 'Play');
      setAttribute(play, 'title', playback.playing ? 'Pause (Space)' : 'Play (Space)');
      setText(speed, `${playback.rate}×`);
      setAttribute(speed, 'aria-label', `Speed: ${playback.rate} times`);
      scrubber.value = String(Math.round(((playback.at - from) / length) * STEPS));
      const passed = `${duration(playback.at - from)} of ${duration(length)}`;
      setAttribute(scrubber, 'aria-valuetext', passed);
      setText(time, clock(playback.at));
      setAttribute(time, 'title', `${passed} · ${utc(Math.round(playback.at))}`);
      setText(chapter, oneLine(playback.chapter, MAX_CHAPTER));
      chapter.hidden = playback.chapters.length === 0;
    },
  };
}
