import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chosen, MAX_FILE, MAX_FILES, pasteable, tooMuch, unreadable } from '../../assets/viewer/terminal/handed.js';
import { createHold } from '../../assets/viewer/terminal/hold.js';

test('text wins over a picture of it, which is taken where there is no text', () => {
  assert.deepEqual(chosen('A1\tB1', 'picture'), { text: 'A1\tB1', picture: null });
  assert.deepEqual(chosen('', 'picture'), { text: '', picture: 'picture' });
  assert.deepEqual(chosen(' \r\n', 'picture'), { text: '', picture: 'picture' }, 'what has no letter is no text');
  assert.deepEqual(chosen('\n', null), { text: '\n', picture: null });
  assert.equal(chosen('', null), null);
});

test('what is pasted cannot end the pasting by itself', () => {
  assert.equal(pasteable('a\x1b[201~\nrm'), 'a[201~\nrm');
  assert.equal(pasteable('a\x9b201~\nrm'), 'a201~\nrm', 'also not by the short form of its beginning');
  assert.equal(pasteable('\ta é 日 😀\r\nb\n'), '\ta é 日 😀\r\nb\n', 'what is text stays as it is');
  const all = Array.from({ length: 0x100 }, (_, code) => String.fromCharCode(code)).join('');
  const left = [...pasteable(all)].filter((char) => char < ' ' || (char > '~' && char < '\u00a0'));
  assert.deepEqual(left, ['\t', '\n', '\r']);
});

test('what is too large or too many is refused before it is sent', () => {
  assert.equal(tooMuch([{ size: MAX_FILE }]), '');
  assert.match(tooMuch([{ size: MAX_FILE + 1 }]), /10 MiB/);
  assert.match(tooMuch([{ size: 1 }, { size: MAX_FILE + 1 }]), /One of them/);
  assert.match(tooMuch(Array(MAX_FILES + 1).fill({ size: 1 })), /32 files/);
});

test('a clipboard that may not be read says what to do', () => {
  assert.match(unreadable(Object.assign(new Error('no'), { name: 'NotAllowedError' })), /allow it/);
  assert.match(unreadable(new Error('broken')), /broken.*keyboard/);
});

test('a key that is held is typed at once, again after a delay, and until it is let go', ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let typed = '';
  const hold = createHold((key) => (typed += key) !== '');
  hold.begin('x');
  assert.equal(typed, 'x');
  mock.timers.tick(399);
  assert.equal(typed, 'x', 'a touch types it once');
  for (let ms = 0; ms < 1_000; ms += 1) mock.timers.tick(1);
  assert.ok(typed.length >= 15 && typed.length <= 18, `${typed.length - 1} times in a second`);
  hold.end();
  const { length } = typed;
  mock.timers.tick(10_000);
  assert.equal(typed.length, length, 'it goes on after it was let go');
});

test('a held key that is refused is not typed on', ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let left = 2;
  createHold(() => --left > 0).begin('x');
  for (let ms = 0; ms < 2_000; ms += 1) mock.timers.tick(1);
  assert.equal(left, 0);
});
