import assert from 'node:assert/strict';
import { test } from 'node:test';
import { barKey, bytesOf, isOldReport, isReport, meaning, withCtrl } from '../../assets/viewer/terminal/keymap.js';
import { fontFor } from '../../assets/viewer/terminal/xterm.js';

const press = (code, held = '', key = '') => ({
  key, code, ctrlKey: held.includes('c'), metaKey: held.includes('m'), altKey: held.includes('a'), shiftKey: held.includes('s'),
});
const plain = { application: false, ctrl: false };
const PC = { mac: false, selection: false };
const MAC = { mac: true, selection: false };

test('what is not the viewer\'s is the terminal\'s', () => {
  for (const event of [press('KeyC', 'c'), press('Enter', '', 'Enter'), press('Escape'), press('KeyV', 'ca'), press('KeyK', 'm'), press('KeyX', 'cs')]) {
    assert.equal(meaning(event, PC), null, event.code);
  }
  assert.equal(meaning(press('KeyC', 'c'), { ...MAC, selection: true }), null, 'on a Mac Ctrl+C interrupts');
  assert.equal(meaning(press('KeyV', 'c'), MAC), null, 'on a Mac Ctrl+V is typed');
});

test('copying needs a selection where the key also interrupts', () => {
  assert.deepEqual(meaning(press('KeyC', 'c'), { ...PC, selection: true }), { do: 'copy' });
  assert.deepEqual(meaning(press('KeyC', 'cs'), PC), { do: 'copy' });
  assert.deepEqual(meaning(press('KeyC', 'm'), { ...MAC, selection: true }), { do: 'copy' });
});

test('pasting is text with Shift, and a picture without', () => {
  assert.deepEqual(meaning(press('KeyV', 'cs'), PC), { do: 'paste' });
  assert.deepEqual(meaning(press('KeyV', 'c'), PC), { do: 'picture' });
  assert.deepEqual(meaning(press('KeyV', 'm'), MAC), { do: 'paste' });
});

test('keys that type something else', () => {
  assert.deepEqual(meaning(press('Enter', 's', 'Enter'), PC), { send: '\n' });
  assert.deepEqual(meaning(press('Backspace', 'm'), MAC), { send: '\x15' });
  assert.deepEqual(meaning(press('KeyL', 'cs'), PC), { do: 'leave' });
});

test('the bar of a phone types arrows as the program wants them, and control characters', () => {
  assert.equal(barKey('up', plain), '\x1b[A');
  assert.equal(barKey('up', { application: true, ctrl: false }), '\x1bOA');
  assert.equal(barKey('esc', { application: true, ctrl: true }), '\x1b');
  assert.equal(barKey('nonsense', plain), '');
  assert.equal(withCtrl('c'), '\x03');
  assert.equal(withCtrl('[A'), '\x1bA');
  assert.equal(withCtrl(' '), '\0');
  assert.equal(withCtrl('é'), 'é');
});

test('with Ctrl armed an arrow goes by words', () => {
  assert.equal(barKey('left', { application: true, ctrl: true }), '\x1b[1;5D');
  assert.equal(barKey('up', { application: false, ctrl: true }), '\x1b[1;5A');
});

test('reports are told from what somebody does', () => {
  for (const report of ['\x1b[I', '\x1b[O', '\x1b[<35;4;5M', '\x1b[<39;1;1M']) assert.ok(isReport(report), JSON.stringify(report));
  for (const typed of ['\x1b', '\x1b[A', '\x1b[<0;4;5M', '\x1b[<32;4;5M', '\x1b[<36;4;5M', '\x1b[<64;4;5M', '\x1bOA', 'I', '\x1b[Ix']) assert.ok(!isReport(typed), JSON.stringify(typed));
});

test('the mouse that only moves is a report in the old encoding, too; a click, a drag and the wheel are typed', () => {
  const old = (button) => `\x1b[M${String.fromCharCode(32 + button)}!!`;
  for (const hover of [35, 39, 43, 51]) assert.ok(isOldReport(old(hover)), String(hover));
  for (const typed of [0, 1, 2, 3, 32, 33, 34, 64, 65]) assert.ok(!isOldReport(old(typed)), String(typed));
  for (const text of ['', '\x1b[M', '\x1b[C', 'C']) assert.ok(!isOldReport(text), JSON.stringify(text));
  assert.deepEqual([...bytesOf('\x1b[M\xff')], [27, 91, 77, 255]);
});

test("a terminal of another one's size is shown as large as fits, and never too small to be read", () => {
  const laptop = { cols: 100, rows: 40 };
  assert.equal(fontFor(13, laptop, { cols: 80, rows: 24 }, 6), 13);
  assert.equal(fontFor(13, laptop, { cols: 200, rows: 24 }, 6), 6);
  assert.equal(fontFor(13, laptop, { cols: 120, rows: 50 }, 6), 10);
  assert.equal(fontFor(13, { cols: 46, rows: 40 }, { cols: 80, rows: 24 }, 11), 11);
  assert.equal(fontFor(10, laptop, { cols: 80, rows: 24 }, 11), 10);
});
