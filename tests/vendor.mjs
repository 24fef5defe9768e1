/**
 * Copies the third-party modules of the viewer from the installed packages into `assets/viewer/vendor`, with their
 * licences and a list of what they are: `npm --prefix tests run vendor`. The versions are those of `package.json`.
 *
 * @module
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
export const VENDOR = join(HERE, '../assets/viewer/vendor');

/** Files by package. */
export const FILES = {
  '@xterm/xterm': ['lib/xterm.mjs', 'css/xterm.css'],
  '@xterm/addon-fit': ['lib/addon-fit.mjs'],
  '@xterm/addon-search': ['lib/addon-search.mjs'],
  '@xterm/addon-unicode11': ['lib/addon-unicode11.mjs'],
  '@xterm/addon-web-links': ['lib/addon-web-links.mjs'],
  '@xterm/addon-webgl': ['lib/addon-webgl.mjs'],
};

/** @param {string} text @returns {string} without the pointer to a source map, which is not shipped */
export function strip(text) {
  return text.replace(/\n?\/\/# sourceMappingURL=\S+\s*$/, '\n');
}

/** @param {string} text */
export function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}

/** @returns {{path: string, text: string}[]} what the folder is to hold, from the installed packages */
export function wanted() {
  const list = [];
  const files = [];
  for (const [name, sources] of Object.entries(FILES)) {
    const at = join(HERE, 'node_modules', name);
    const { version, license } = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8'));
    const short = name.split('/')[1];
    files.push({ path: `LICENSE.${short}.txt`, text: readFileSync(join(at, 'LICENSE'), 'utf8') });
    for (const source of sources) {
      const path = source.split('/')[1];
      const text = strip(readFileSync(join(at, source), 'utf8'));
      files.push({ path, text });
      list.push({ file: path, package: name, version, license, sha256: sha256(text) });
    }
  }
  return [...files, { path: 'vendor.json', text: `${JSON.stringify(list, null, 2)}\n` }];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  rmSync(VENDOR, { recursive: true, force: true });
  mkdirSync(VENDOR, { recursive: true });
  for (const { path, text } of wanted()) writeFileSync(join(VENDOR, path), text);
}
