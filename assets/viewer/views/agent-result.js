/**
 * What the built-in agent came to, for people: its last message, what it was blocked by, the files that it changed and the
 * commands that it ran. All of it is a model's text: bounded, and shown as text.
 *
 * @module
 */

import { count } from '../format.js';
import { clip, oneLine } from '../sanitize.js';
import { commandLine, factNode, h } from './dom.js';

/** @typedef {import('../wire.js').AgentResult} AgentResult */

const MAX_LAST = 20_000;
const MAX_LINE = 300;
const MAX_FILES = 100;

/** @param {string} name @param {(Node | string)[]} lines */
const rows = (name, lines) => (lines.length === 0 ? [] : [factNode(name, h('dd', {}, h('ul', { class: 'plain-list' }, ...lines.map((line) => h('li', {}, line)))))]);

/** @param {string} id of the job @param {AgentResult} result @param {boolean} changed whether something came back of a repository */
export function agentResult(id, result, changed) {
  const files = result.changed.slice(0, MAX_FILES).map((file) => oneLine(file, MAX_LINE));
  if (result.changed.length > MAX_FILES) files.push(`and ${result.changed.length - MAX_FILES} more`);
  const checks = result.checks.map(({ command, ok }) => h('span', { class: 'check', data: { ok: String(ok) } }, ok ? '✓ ' : '✗ ', h('code', {}, oneLine(command, MAX_LINE))));
  const cost = [result.model !== '' && `${result.model} at ${result.endpoint}`, result.turns > 0 && [count(result.turns, 'turn'), count(result.calls, 'call'), count(result.tokens, 'token')].join(', ')];
  return h('section', { class: 'agent-result', 'aria-label': 'Result' },
    h('h3', {}, 'Result', h('span', { class: 'note' }, oneLine(cost.filter(Boolean).join(' · '), MAX_LINE))),
    result.last !== '' && h('pre', { class: 'agent-last', tabindex: 0 }, clip(result.last, MAX_LAST)),
    h('dl', { class: 'facts' }, ...rows('Hand it to', result.handOffTo === '' ? [] : [oneLine(result.handOffTo, MAX_LINE)]), ...rows('Files changed', files), ...rows('Commands run', checks)),
    changed && commandLine(`darkmux job diff ${id}`));
}
