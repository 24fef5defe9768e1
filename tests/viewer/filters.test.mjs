import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anyFilter, matcher, noFilters, parseFilters, toQuery, choicesOf, valuesIn } from '../../assets/viewer/filters.js';
import { toEntry } from '../../assets/viewer/record.js';

const entry = (raw) => toEntry({ action: 'note', level: 'info', category: 'work', machine_id: 'studio', session_id: 's1', ...raw }, 'k');
const matches = (filters, raw) => matcher({ ...noFilters(), ...filters })(entry(raw));

test('no filter lets everything pass', () => {
  assert.ok(matches({}, {}));
  assert.ok(!anyFilter(noFilters()));
});

test('a level shows itself and what is more severe', () => {
  const passing = (level) => ['trace', 'debug', 'info', 'warn', 'error'].filter((one) => matches({ level }, { level: one }));
  assert.deepEqual(passing('warn'), ['warn', 'error']);
  assert.deepEqual(passing('error'), ['error']);
  assert.deepEqual(passing('debug'), ['debug', 'info', 'warn', 'error']);
  assert.ok(matches({ level: 'error' }, { level: 'fatal' }), 'a level that is not known is not hidden');
});

test('category, machine, session and action are exact, and combine', () => {
  assert.ok(matches({ category: 'work', machine: 'studio', session: 's1', action: 'note' }, {}));
  assert.ok(!matches({ category: 'work', machine: 'laptop' }, {}));
  assert.ok(!matches({ session: 's' }, {}));
  assert.ok(matches({ action: 'dispatch start' }, { action: 'dispatch.start' }));
});

test('the search wants every word, anywhere in the record, in any case', () => {
  const raw = { handle: 'Fix the Outbox', payload: { path: 'C:\\temp', says: 'a "quote"' } };
  assert.ok(matches({ q: 'outbox FIX' }, raw));
  assert.ok(!matches({ q: 'outbox missing' }, raw));
  assert.ok(matches({ q: 'c:\\temp' }, raw), 'a backslash is found as it is typed');
  assert.ok(matches({ q: '"quote"' }, raw), 'a quote is found as it is typed');
  assert.ok(matches({ q: 'dispatch start' }, { action: 'dispatch.start' }));
});

test('filters survive the address, whatever they hold', () => {
  const filters = { q: 'a b&c=d#e', level: 'warn', category: 'work', machine: 'ä', role: 'coder', session: "x'; rm -rf", action: 'dispatch start' };
  assert.deepEqual(parseFilters(`#${toQuery(filters)}`), filters);
  assert.equal(toQuery(noFilters()), '');
  assert.deepEqual(parseFilters('#level=loud&unknown=1&q=%'), { ...noFilters(), q: '%' });
});

const choicesIn = (records, field) => choicesOf(valuesIn(records, field), field);

test('choices are the values that occur', () => {
  const records = [entry({}), entry({ machine_id: 'laptop' }), entry({ machine_id: undefined })];
  assert.deepEqual(choicesIn(records, 'machine'), ['laptop', 'studio']);
  const sessions = ['s2', 's9', 's1', 's2'].map((session_id) => entry({ session_id }));
  assert.deepEqual(choicesIn(sessions, 'session'), ['s1', 's9', 's2'], 'those that came up last come first');
});
