/**
 * A year of days as columns of weeks, each day with how much happened. Pure.
 *
 * @module
 */

import { shiftDay } from './format.js';

/** @typedef {import('./types.js').Day} Day */
/** @typedef {{date: string, level: 0 | 1 | 2 | 3 | 4, day: Day | undefined}} Cell */

export const WEEKS = 53;

/** @param {string} date @returns {number} 0 for Monday */
export const weekday = (date) => (new Date(`${date}T00:00:00Z`).getUTCDay() + 6) % 7;

/**
 * @param {readonly Day[]} days
 * @param {string} today
 * @returns {(Cell | null)[][]} weeks of seven days, Monday first; null for days that are to come
 */
export function year(days, today) {
  const byDate = new Map(days.map((day) => [day.date, day]));
  const bounds = quartiles(days.map(({ records }) => records).filter((records) => records > 0));
  const first = shiftDay(today, -weekday(today) - (WEEKS - 1) * 7);
  const weeks = [];
  for (let week = 0; week < WEEKS; week += 1) {
    const cells = [];
    for (let at = 0; at < 7; at += 1) {
      const date = shiftDay(first, week * 7 + at);
      const day = byDate.get(date);
      cells.push(date > today ? null : { date, day, level: level(day, bounds) });
    }
    weeks.push(cells);
  }
  return weeks;
}

/** @param {number[]} counts @returns {number[]} what parts them into four */
function quartiles(counts) {
  const sorted = [...counts].sort((a, b) => a - b);
  return [0.25, 0.5, 0.75].map((part) => sorted[Math.floor(sorted.length * part)] ?? 0);
}

/** @param {Day | undefined} day @param {number[]} bounds @returns {Cell['level']} */
function level(day, bounds) {
  const records = day?.records ?? 0;
  if (records === 0) return day?.fleet ? 1 : 0;
  return /** @type {Cell['level']} */ (1 + bounds.filter((bound) => records >= bound).length);
}
