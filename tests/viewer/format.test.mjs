import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as format from '../../assets/viewer/format.js';

test('durations use at most two units', () => {
  const cases = [
    [0, '0 ms'], [999, '999 ms'], [1000, '1.0 s'], [9_999, '9.9 s'], [10_000, '10 s'], [59_999, '59 s'], [60_000, '1 min 0 s'],
    [3_599_999, '59 min 59 s'], [3_600_000, '1 h 0 min'], [86_400_000, '1 d 0 h'], [-5, '0 s'], [NaN, ''], [Infinity, ''],
  ];
  for (const [ms, text] of cases) assert.equal(format.duration(ms), text, String(ms));
});

test('of a folder the end is kept', () => {
  const cases = [
    ['/home/you/site', '…/you/site'], ['/site', '/site'], ['~', '~'], ['~/a/b/', '…/a/b/'], ['/', '/'], ['', ''], ['/srv/x', '/srv/x'], ['C:\\work\\api', '…\\work\\api'],
    ['~/.darkmux/worktrees/shell-1', '…/worktrees/shell-1'],
  ];
  for (const [path, short] of cases) assert.equal(format.shortPath(path), short);
});

test('ages use one unit', () => {
  const cases = [[-1000, 'now'], [0, 'now'], [5_000, '5 s ago'], [60_000, '1 min ago'], [3_600_000, '1 h ago'], [172_800_000, '2 d ago'], [NaN, '']];
  for (const [ms, text] of cases) assert.equal(format.age(ms), text, String(ms));
});

test('bytes are binary', () => {
  const cases = [[0, '0 B'], [1023, '1023 B'], [1024, '1.0 KiB'], [64 * 2 ** 30, '64 GiB'], [2 ** 60, '1024 PiB'], [NaN, '']];
  for (const [n, text] of cases) assert.equal(format.bytes(n), text, String(n));
});

test('counts group digits and know the plural', () => {
  assert.equal(format.count(1, 'record'), '1 record');
  assert.equal(format.count(0, 'record'), '0 records');
  assert.equal(format.count(12_345, 'new', 'new'), '12,345 new');
});

test('days of the log are UTC and cross months and years', () => {
  assert.equal(format.utcDay(Date.UTC(2026, 10, 22, 23, 59, 59, 999)), '2026-11-22');
  assert.equal(format.shiftDay('2026-03-01', -1), '2026-02-28');
  assert.equal(format.shiftDay('2026-12-31', 1), '2027-01-01');
});

test('an instant in UTC shows milliseconds only where they are known', () => {
  assert.equal(format.utc(Date.UTC(2026, 0, 2, 3, 4, 5)), '2026-01-02 03:04:05 UTC');
  assert.equal(format.utc(Date.UTC(2026, 0, 2, 3, 4, 5, 6)), '2026-01-02 03:04:05.006 UTC');
});

test('times that are none, or beyond any calendar, are said to be none', () => {
  for (const ms of [NaN, Infinity, -Infinity, 9e15]) {
    assert.equal(format.clock(ms), '--:--:--');
    assert.equal(format.utc(ms), 'no time');
    assert.equal(format.localDay(ms), 'No date');
    assert.equal(format.moment(ms), '');
  }
});

test('local times are those of the formatters that the browser has', () => {
  const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const day = new Intl.DateTimeFormat('en-GB', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
  const grouped = new Intl.NumberFormat('en-US');
  for (let month = 0; month < 12; month += 1) {
    const ms = new Date(2026, month, 3 + month, month, 59 - month, 7 * (month % 8)).getTime();
    assert.equal(format.clock(ms), clock.format(ms));
    assert.equal(format.localDay(ms), day.format(ms).replace(',', ''));
    assert.match(format.moment(ms), new RegExp(`^${3 + month} [A-Z][a-z]{2}, ${clock.format(ms)}$`));
  }
  for (const n of [0, 999, 1_000, 123_456, 1_234_567, 9_007_199_254_740_991]) assert.equal(format.count(n, '', ''), `${grouped.format(n)} `);
});

test('short ids keep the end, where generated ids differ', () => {
  assert.equal(format.shortId('short'), 'short');
  assert.equal(format.shortId('crew-dispatch-coder-1795304087798530-0'), '…7798530-0');
});
