/**
 * Takes out of a recording what tells of the computer that it was made on, and moves its times to a made-up morning. Pure.
 *
 * @module
 */

/** When every showcase begins: a Monday. */
export const BEGAN = Date.parse('2026-03-02T09:00:00Z');

const DAY_MS = 86_400_000;
const UUID_V7 = /\b([0-9a-f]{8})-([0-9a-f]{4})(-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\b/g;
const RFC3339 = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d+))?(Z|\+00:00)/g;
/** Of darkmux' own version. */
const COMMIT = /\b(\d+\.\d+\.\d+) \([0-9a-f]{10}\)/g;
const UNIX_MS = /\b1\d{12}\b/g;

/**
 * @param {string} text JSON @param {number} from the moment that becomes `BEGAN`
 * @returns {string} with all times of that day moved, also those in ids, and without the commit of the build
 */
export function shifted(text, from) {
  const by = BEGAN - from;
  const near = (/** @type {number} */ ms) => Math.abs(ms - from) < DAY_MS;
  return text
    .replace(UUID_V7, (id, high, low, rest) => {
      const ms = Number.parseInt(high + low, 16);
      if (!near(ms)) return id;
      const moved = (ms + by).toString(16).padStart(12, '0');
      return `${moved.slice(0, 8)}-${moved.slice(8)}${rest}`;
    })
    .replace(RFC3339, (time, fraction, zone) => {
      const ms = Date.parse(time);
      if (!near(ms)) return time;
      const moved = new Date(ms + by).toISOString();
      return fraction === undefined ? moved.replace(/\.\d+Z$/, zone) : moved.replace(/\.\d+Z$/, `.${fraction}${zone}`);
    })
    .replace(COMMIT, '$1')
    .replace(UNIX_MS, (digits) => (near(Number(digits)) ? String(Number(digits) + by) : digits));
}

/**
 * @param {string} text @param {[string, string][]} names what stands for what; longer ones first
 * @returns {string}
 */
export function renamed(text, names) {
  return [...names].sort(([a], [b]) => b.length - a.length).filter(([name]) => name !== '')
    .reduce((now, [name, instead]) => now.replaceAll(name, instead), text);
}

/** What must not be in a recording, and why. @type {[RegExp, string][]} */
const TRACES = [
  [/\/tmp\/|\/root\b|\/work\/|\/var\/|\/Users\//, 'a path of the computer'],
  [/127\.0\.0\.1|localhost:\d|\[::1\]/, 'an address of the computer'],
  [/"(?:cpu_brand|redis_url|hostname|token|authorization)":/, 'a fact of the computer'],
  [/Bearer |[0-9a-f]{64}/, 'a secret'],
];

/** @param {string} text @param {string[]} words of the computer itself, such as its name @returns {string[]} what is left of it */
export function traces(text, words = []) {
  const found = TRACES.flatMap(([pattern, what]) => {
    const match = pattern.exec(text);
    return match ? [`${what}: …${text.slice(Math.max(0, match.index - 60), match.index + 60)}…`] : [];
  });
  return [...found, ...words.filter((word) => word.length > 2 && text.includes(word)).map((word) => `the word ${word}`)];
}
