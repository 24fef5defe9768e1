/** The third-party modules are what their packages hold, and nobody has changed them. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sha256, strip, VENDOR, wanted } from '../vendor.mjs';

test('the folder holds what the packages of package.json hold, and nothing else', () => {
  const files = wanted();
  assert.deepEqual(readdirSync(VENDOR).sort(), files.map(({ path }) => path).sort());
  for (const { path, text } of files) assert.ok(readFileSync(join(VENDOR, path), 'utf8') === text, `${path}: npm --prefix tests run vendor`);
});

test('every module has its hash, its version and a licence that may be shipped', () => {
  const list = JSON.parse(readFileSync(join(VENDOR, 'vendor.json'), 'utf8'));
  for (const { file, version, license, sha256: hash } of list) {
    assert.equal(sha256(readFileSync(join(VENDOR, file), 'utf8')), hash, file);
    assert.match(version, /^\d+\.\d+\.\d+$/);
    assert.ok(['MIT', 'Apache-2.0', 'ISC'].includes(license), license);
  }
});

test('a pointer to a source map goes, a module on one line stays', () => {
  assert.equal(strip('export const a=1;\n//# sourceMappingURL=a.mjs.map\n'), 'export const a=1;\n');
  assert.equal(strip('export const a=1;//# sourceMappingURL=a.mjs.map'), 'export const a=1;\n');
});
