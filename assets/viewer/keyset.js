/**
 * A set of many keys that a new one is made of without copying all of it: generations of a bounded size, of which only the
 * newest is copied. So many of one size become one, because a key that is not there is looked for in each. Pure.
 *
 * @module
 */

/** @typedef {readonly ReadonlySet<string>[]} KeySet */

const GENERATION = 2_048;
const MERGED = 8;

/** @param {KeySet} keys @param {string} key */
export const hasKey = (keys, key) => keys.some((generation) => generation.has(key));

/** @param {KeySet} keys */
export const sizeOf = (keys) => keys.reduce((sum, { size }) => sum + size, 0);

/** @param {KeySet} keys @param {number} n @returns {KeySet} without the `n` that came first */
export function withoutOldest(keys, n) {
  const at = keys.findIndex(({ size }) => {
    if (n < size) return true;
    n -= size;
    return false;
  });
  return at < 0 ? [] : [new Set([...keys[at]].slice(n)), ...keys.slice(at + 1)];
}

/** @param {KeySet} keys @param {Iterable<string>} fresh none of which is in it @returns {KeySet} */
export function withKeys(keys, fresh) {
  let out = keys.slice(0, -1);
  let newest = new Set(keys.at(-1) ?? []);
  for (const key of fresh) {
    if (newest.size >= GENERATION) {
      out.push(newest);
      newest = new Set();
      const small = out.slice(-MERGED);
      if (small.length === MERGED && small.every(({ size }) => size === GENERATION)) {
        out = [...out.slice(0, -MERGED), new Set(small.flatMap((generation) => [...generation]))];
      }
    }
    newest.add(key);
  }
  return [...out, newest];
}
