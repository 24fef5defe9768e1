/** Rules for the viewer's sources that no type checker knows. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const VIEWER = fileURLToPath(new URL('../../assets/viewer/', import.meta.url));
const MAX_LINES = 300;
const PAGES = ['/', '/fleet', '/queue', '/sessions', '/inbox'];

const sources = readdirSync(VIEWER, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !relative(VIEWER, entry.parentPath ?? entry.path).startsWith('vendor'))
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
  .map((path) => ({ name: relative(VIEWER, path), text: readFileSync(path, 'utf8') }));
const modules = sources.filter(({ name }) => name.endsWith('.js'));
const index = sources.find(({ name }) => name === 'index.html');

test('files are short', () => {
  for (const { name, text } of sources) assert.ok(text.split('\n').length <= MAX_LINES, `${name} has more than ${MAX_LINES} lines`);
});

test('nothing is parsed as HTML or run from text', () => {
  const banned = /\b(innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|setHTMLUnsafe|DOMParser|document\.write|srcdoc|eval|Function)\b\s*[(=]|\bnew Function\b|\.(innerHTML|outerHTML)\b/;
  for (const { name, text } of modules) assert.ok(!banned.test(text), `${name} uses ${banned.exec(text)?.[0]}`);
});

test('only api.js, act.js and socket.js talk to the daemon', () => {
  for (const { name, text } of modules) {
    // Signing in has a page of its own, which loads nothing of the viewer.
    if (!['api.js', 'act.js', 'socket.js', 'login/signin.js'].includes(name)) assert.ok(!/\bfetch\(|\bEventSource\b|XMLHttpRequest|\bWebSocket\b/.test(text), `${name} talks to the daemon`);
  }
});

test('only terminal/xterm.js pastes, which takes out what is no text', () => {
  for (const { name, text } of modules) assert.ok(name === 'terminal/xterm.js' || !/\bterm\.paste\(/.test(text), `${name} pastes past it`);
});

test('pure modules know neither the page nor the network nor the clock', () => {
  for (const name of ['store.js', 'matching.js', 'drawing.js', 'records.js', 'record.js', 'routes.js', 'palette.js', 'spans.js', 'heat.js', 'topology.js', 'gone.js', 'keyset.js', 'replay.js', 'recording.js', 'mode.js', 'views/jobs.js', 'filters.js', 'find.js', 'called.js', 'format.js', 'summary.js', 'commands.js', 'sanitize.js', 'wire.js', 'v1.js', 'terminal/keymap.js', 'terminal/handed.js']) {
    const { text } = modules.find((module) => module.name === name);
    assert.ok(!/\b(document|window|location|localStorage|Date\.now|setTimeout|Math\.random)\b/.test(text), `${name} is not pure`);
  }
});

test('every module opens with what it is', () => {
  for (const { name, text } of modules) assert.match(text, /^\/\*\*\n \* \S[^]*?@module\n \*\/\n/, `${name} has no module comment`);
});

test('the page has no inline script or handler, loads only its own files, and has one place for the metas', () => {
  assert.ok(index);
  assert.equal(index.text.split('<head>').length, 2, 'the server inserts after the only <head>');
  assert.ok(!/<script(?![^>]*\bsrc=)/.test(index.text), 'inline script');
  assert.ok(!/\son[a-z]+\s*=/i.test(index.text), 'inline handler');
  const links = [...index.text.matchAll(/\b(?:src|href)="([^"#][^"]*)"/g)].map((match) => match[1]);
  assert.ok(links.length > 0);
  for (const link of links) {
    if (PAGES.includes(link)) continue;
    assert.ok(link.startsWith('/assets/'), link);
    assert.ok(existsSync(join(VIEWER, link.slice('/assets/'.length))), `${link} is no file`);
  }
});
