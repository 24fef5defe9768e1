/**
 * Numbers and times as a person reads them. Pure; times are milliseconds since the epoch, local
 * where they are for reading, UTC where they name a day of the log.
 *
 * @module
 */

// By hand: to make the formatters of Intl takes longer than to draw the first records.
const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];

/** @param {number} n */
const twoDigits = (n) => String(n).padStart(2, '0');

/** @param {number} ms @returns {string} `HH:MM:SS` in local time */
export function clock(ms) {
  if (!isDate(ms)) return '--:--:--';
  const at = new Date(ms);
  return `${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}:${twoDigits(at.getSeconds())}`;
}

/** @param {number} ms @returns {string} the instant in UTC, to the millisecond where it is known */
export function utc(ms) {
  if (!isDate(ms)) return 'no time';
  return new Date(ms).toISOString().replace('T', ' ').replace('.000Z', 'Z').replace('Z', ' UTC');
}

/** @param {number} ms */
function isDate(ms) {
  // The range of Date; toISOString throws outside of it.
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15;
}

/** @param {number} ms @returns {string} the local day, as a title */
export function localDay(ms) {
  if (!isDate(ms)) return 'No date';
  const at = new Date(ms);
  return `${WEEKDAYS[at.getDay()]} ${at.getDate()} ${MONTHS[at.getMonth()]} ${at.getFullYear()}`;
}

/** @param {number} ms @returns {string} the local day in short, and the clock */
export function moment(ms) {
  if (!isDate(ms)) return '';
  const at = new Date(ms);
  return `${at.getDate()} ${MONTHS[at.getMonth()].slice(0, 3)}, ${clock(ms)}`;
}

/** @param {number} ms @returns {string} `YYYY-MM-DD`, the UTC day that names the log's file */
export function utcDay(ms) {
  return new Date(ms).toISOString().slice(0, 10);
}

/** @param {string} day `YYYY-MM-DD` @param {number} by days @returns {string} */
export function shiftDay(day, by) {
  return utcDay(Date.parse(`${day}T00:00:00Z`) + by * 86_400_000);
}

/** @param {number} ms @returns {string} a length of time in its two largest units */
export function duration(ms) {
  if (!Number.isFinite(ms)) return '';
  if (ms < 0) return '0 s';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** @param {number} ms @returns {string} how long ago, in one unit */
export function age(ms) {
  if (!Number.isFinite(ms)) return '';
  const s = Math.floor(ms / 1000);
  if (s < 5) return 'now';
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

/** @param {number} n @returns {string} bytes in binary units */
export function bytes(n) {
  if (!Number.isFinite(n)) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = n;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** @param {number} n @param {string} one @param {string} [many] @returns {string} `1 record`, `2,000 records` */
export function count(n, one, many = `${one}s`) {
  return `${String(n).replace(/\B(?=(?:\d{3})+$)/g, ',')} ${n === 1 ? one : many}`;
}

/**
 * @param {string} id
 * @returns {string} the end of a long id, where generated ids differ
 */
export function shortId(id) {
  return id.length > 14 ? `…${id.slice(-9)}` : id;
}

/** @param {string} path @returns {string} its last two names, which tell it from others */
export const shortPath = (path) => path.replace(/^.*[^/\\]([/\\][^/\\]+[/\\][^/\\]+[/\\]?)$/, '…$1');

/** @param {string} machine `dev@server` @returns {string} the machines on the way there, the next one first */
export const way = (machine) => machine.split('@').reverse().join(' › ');
