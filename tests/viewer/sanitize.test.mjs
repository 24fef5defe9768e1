import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clip, oneLine, sanitize, sanitizeJson } from '../../assets/viewer/sanitize.js';

const UNSAFE_RANGES = [
  [0x00, 0x08], [0x0b, 0x1f], [0x7f, 0x9f], [0x200b, 0x200f], [0x202a, 0x202e], [0x2066, 0x2069], [0xfeff, 0xfeff],
];
const isUnsafe = (code) => UNSAFE_RANGES.some(([from, to]) => code >= from && code <= to);

test('every character of the plane is kept, or shown when it is unsafe', () => {
  for (let code = 0; code <= 0xffff; code += 1) {
    const char = String.fromCharCode(code);
    assert.equal(sanitize(char), isUnsafe(code) ? `\\u{${code.toString(16)}}` : char, `U+${code.toString(16)}`);
  }
});

test('newline and tab stay, a carriage return is shown', () => {
  assert.equal(sanitize('a\n\tb\r\n'), 'a\n\tb\\u{d}\n');
});

test('sanitizing twice is sanitizing once', () => {
  const once = sanitize('\x1b[31m \u202e \\u{1b} <b>&amp;</b>');
  assert.equal(sanitize(once), once);
  assert.equal(once, '\\u{1b}[31m \\u{202e} \\u{1b} <b>&amp;</b>');
});

test('JSON with every character visible is still the same JSON', () => {
  const record = { handle: '\x1b[0m \u202e \u0085 \ufeff "quoted" \\', payload: { '\u200b': 1 } };
  const shown = sanitizeJson(JSON.stringify(record));
  assert.ok([...shown].every((char) => !isUnsafe(char.charCodeAt(0))));
  assert.deepEqual(JSON.parse(shown), record);
});

test('clip never cuts a surrogate pair', () => {
  assert.equal(clip('ab', 2), 'ab');
  assert.equal(clip('abc', 2), 'ab…');
  assert.equal(clip('a😀b', 2), 'a…');
  assert.equal(clip('a😀b', 3), 'a😀…');
});

test('one line: white space collapses, invisible characters do not vanish', () => {
  assert.equal(oneLine('  a \n\t b  ', 100), 'a b');
  assert.equal(oneLine('a\ufeffb\rc', 100), 'a\ufeffb\rc');
  assert.equal(oneLine('x'.repeat(300_000), 10), `${'x'.repeat(10)}…`);
});
