#!/usr/bin/env node
/**
 * A stand-in for Claude Code on the stage of the showcase: it draws as an agent does and calls the hooks that darkmux
 * gave it, with JSON on standard input. `--print` works on the prompt and ends; else it talks, and asks once.
 *
 * @module
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const args = process.argv.slice(2);
const after = (/** @type {string} */ name) => (args.includes(name) ? args[args.indexOf(name) + 1] : '');
const settings = after('--settings') ? JSON.parse(readFileSync(after('--settings'), 'utf8')) : { hooks: {} };
const id = after('--session-id') || after('--resume') || 'none';
const sleep = (/** @type {number} */ ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const DIM = '\x1b[2m';
const BOLD = '\x1b[1m';
const GREEN = '\x1b[32m';
const RED = '\x1b[31m';
const ORANGE = '\x1b[38;5;173m';
const OFF = '\x1b[0m';

/** @param {string} event @param {object} [more] */
function hook(event, more = {}) {
  const input = JSON.stringify({ session_id: id, transcript_path: '/nowhere', cwd: process.cwd(), permission_mode: 'default', hook_event_name: event, ...more });
  for (const { command } of (settings.hooks?.[event] ?? []).flatMap((/** @type {{hooks: object[]}} */ group) => group.hooks)) spawnSync('/bin/sh', ['-c', command], { input });
}

/** @param {string} text */
async function say(text) {
  process.stdout.write(`${ORANGE}●${OFF} `);
  for (const word of text.split(' ')) {
    process.stdout.write(`${word} `);
    await sleep(45);
  }
  process.stdout.write('\n\n');
}

/** @param {string} name @param {string} what @param {string[]} lines @param {number} ms */
async function tool(name, what, lines, ms) {
  hook('PreToolUse', { tool_name: name, tool_input: {}, tool_use_id: 't' });
  process.stdout.write(`${GREEN}●${OFF} ${BOLD}${name}${OFF}(${what})\n`);
  await sleep(ms);
  for (const [at, line] of lines.entries()) process.stdout.write(`  ${at === 0 ? '└ ' : '  '} ${line}\n`);
  process.stdout.write('\n');
  hook('PostToolUse', { tool_name: name, tool_response: {}, tool_use_id: 't' });
}

async function review() {
  await say('I will read the change and what calls it.');
  await tool('Read', 'src/api/paging.ts', [`${DIM}Read 184 lines${OFF}`], 1200);
  await tool('Grep', '"nextCursor"', [`${DIM}Found 11 matches in 4 files${OFF}`], 1500);
  await say('Two things stand out.');
  process.stdout.write(`  1. ${BOLD}paging.ts:71${OFF} The cursor is decoded before its signature is checked.\n`);
  await sleep(700);
  process.stdout.write(`     ${RED}- const at = decode(cursor);${OFF}\n     ${GREEN}+ const at = decode(verified(cursor));${OFF}\n\n`);
  await sleep(900);
  process.stdout.write(`  2. ${BOLD}paging.test.ts${OFF} An empty last page has no test.\n\n`);
  await say('Otherwise it is ready: no query without a limit, and errors keep their codes.');
}

async function talk() {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  process.stdout.write(`${ORANGE}╭──────────────────────────────────────────────╮\n│ ✻ ${OFF}${BOLD}Claude Code${OFF} ${DIM}(a stand-in for the showcase)${OFF}${ORANGE} │\n╰──────────────────────────────────────────────╯${OFF}\n\n`);
  process.stdout.write(`\x1b]0;Refactor the lexer\x07${DIM}>${OFF} Refactor the lexer so that it borrows its input\n\n`);
  hook('UserPromptSubmit', { prompt: 'Refactor the lexer so that it borrows its input' });
  await say('The lexer copies each token. I will let tokens be slices of the source.');
  await tool('Read', 'src/lexer.rs', [`${DIM}Read 412 lines${OFF}`], 2500);
  await tool('Edit', 'src/lexer.rs', [`${DIM}Updated with 38 additions and 61 removals${OFF}`, `${RED}- pub struct Token { text: String, at: usize }${OFF}`, `${GREEN}+ pub struct Token<'a> { text: &'a str, at: usize }${OFF}`], 6000);
  await tool('Edit', 'src/parser.rs', [`${DIM}Updated with 12 additions and 12 removals${OFF}`], 9000);
  hook('PreToolUse', { tool_name: 'Bash', tool_input: { command: 'cargo test --workspace' }, tool_use_id: 't2' });
  hook('PermissionRequest', { tool_name: 'Bash', tool_input: { command: 'cargo test --workspace', description: 'Run all tests' }, permission_suggestions: [] });
  hook('Notification', { message: 'Claude needs your permission to use Bash: cargo test --workspace', title: 'Claude Code', notification_type: 'permission_prompt' });
  process.stdout.write(`${BOLD}Bash command${OFF}\n\n  cargo test --workspace\n  ${DIM}Run all tests${OFF}\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n\n`);
  await lines.next();
  hook('PostToolUse', { tool_name: 'Bash', tool_response: {}, tool_use_id: 't2' });
  await tool('Bash', 'cargo test --workspace', [`${GREEN}test result: ok.${OFF} 148 passed; 0 failed; finished in 3.02s`], 4000);
  await say('All tests pass, and the lexer no longer allocates for a token.');
  hook('Stop', { stop_hook_active: false, last_assistant_message: 'All tests pass, and the lexer no longer allocates for a token.' });
  await lines.next();
}

hook('SessionStart', { source: 'startup', model: 'm' });
if (args.includes('--print')) await review();
else await talk();
hook('SessionEnd', { reason: 'other' });
