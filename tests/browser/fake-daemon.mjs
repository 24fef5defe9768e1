#!/usr/bin/env node
/**
 * A stand-in for darkmux, for developing the viewer and its tests without a build of the daemon:
 * `serve`, `flow note` and `crew dispatch shell` with the same addresses, records and files, as far
 * as the viewer can see them. It is no model of the daemon beyond that.
 */

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

const HOME = process.env.DARKMUX_HOME ?? '';
const FLOWS = path.join(HOME, 'flows');
const SESSIONS = path.join(HOME, 'sessions.json');
const ASSETS = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../assets/viewer');
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const CSP = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
  + "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const fileOf = (day) => path.join(FLOWS, `${day}.jsonl`);
const today = () => new Date().toISOString().slice(0, 10);
const nextDay = (day) => new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
const position = (day, offset) => `${day}:${String(offset).padStart(12, '0')}`;

function uuidV7() {
  const hex = Date.now().toString(16).padStart(12, '0') + randomBytes(10).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function append(record) {
  fs.mkdirSync(FLOWS, { recursive: true });
  const whole = {
    ts: new Date().toISOString().replace(/\.\d+Z/, 'Z'), level: 'info', category: 'work', tier: 'local',
    stage: 'scope', action: 'note', handle: '', machine_id: 'studio', record_id: uuidV7(), ...record,
  };
  fs.appendFileSync(fileOf(today()), `${JSON.stringify(whole)}\n`);
}

function readDay(day, from = 0) {
  let bytes;
  try {
    bytes = fs.readFileSync(fileOf(day)).subarray(from);
  } catch {
    return { records: [], end: from };
  }
  const records = [];
  let at = 0;
  for (let end = bytes.indexOf(10, at); end >= 0; at = end + 1, end = bytes.indexOf(10, at)) {
    try {
      const record = JSON.parse(bytes.subarray(at, end).toString());
      if (record._type !== 'schema') records.push({ record, position: position(day, from + end + 1) });
    } catch {
      // A torn line is skipped, as the daemon does.
    }
  }
  return { records, end: from + at };
}

const readSessions = () => (fs.existsSync(SESSIONS) ? JSON.parse(fs.readFileSync(SESSIONS, 'utf8')) : []);

function json(response, body, headers = {}) {
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(JSON.stringify(body));
}

function page(response, metas) {
  const html = fs.readFileSync(path.join(ASSETS, 'index.html'), 'utf8');
  response.writeHead(200, { 'content-type': TYPES['.html'], 'content-security-policy': CSP, 'x-content-type-options': 'nosniff' });
  response.end(html.replace('<head>', `<head>${metas}`));
}

function asset(response, name) {
  const file = path.join(ASSETS, path.normalize(`/${name}`));
  if (!fs.existsSync(file)) return notFound(response);
  response.writeHead(200, { 'content-type': TYPES[path.extname(file)], 'x-content-type-options': 'nosniff' });
  response.end(fs.readFileSync(file));
}

function notFound(response) {
  response.writeHead(404);
  response.end();
}

function stream(request, response, day, from) {
  let [at, offset] = [day, 0];
  const resume = request.headers['last-event-id'] ?? from;
  if (resume) [at, offset] = [resume.slice(0, 10), Number(resume.slice(11))];
  else offset = readDay(day).end;
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  response.write(':\n\n');
  const timer = setInterval(() => {
    const { records, end } = readDay(at, offset);
    offset = end;
    for (const one of records) response.write(`id: ${one.position}\ndata: ${JSON.stringify(one.record)}\n\n`);
    if (records.length === 0 && at < today()) [at, offset] = [nextDay(at), 0];
  }, 50);
  request.on('close', () => clearInterval(timer));
}

function days() {
  const names = fs.existsSync(FLOWS) ? fs.readdirSync(FLOWS).map((name) => name.slice(0, 10)).sort().reverse() : [];
  return names.map((date) => {
    const { records } = readDay(date);
    const dispatches = records.filter(({ record }) => record.action === 'dispatch start').length;
    return { date, records: records.length, dispatches, bytes: fs.statSync(fileOf(date)).size, bad: 0, missions: [] };
  });
}

const SPECS = {
  cpu_brand: 'Apple M3 Max', darkmux_version: '0.1.0', flow_schema_version: '1.14.0', lms_unreachable: false,
  loaded_models: ['qwen3-coder-30b', 'gpt-oss-20b'], machine_id: 'studio', os: 'macos aarch64',
  ram_free_for_ai_bytes: 41 * 2 ** 30, ram_total_bytes: 64 * 2 ** 30, redis_url_redacted: null, utility_model: null,
};

function route(request, response) {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const now = Date.now();
  const dated = /^\/(flow|play)\/(\d{4}-\d{2}-\d{2})(\/stream)?$/.exec(url.pathname);
  if (url.pathname === '/') return page(response, '<meta name="darkmux-mode" content="live">');
  if (url.pathname.startsWith('/assets/')) return asset(response, url.pathname.slice(8));
  if (url.pathname === '/health') return json(response, { darkmux_version: '0.1.0', flow_schema_version: '1.14.0', ok: true, machine_id: 'studio' });
  if (url.pathname === '/sessions') return json(response, { schema: 1, sessions: readSessions(), generated_at_ms: now });
  if (url.pathname === '/machine/specs') return json(response, { ...SPECS, generated_at_ms: now });
  if (url.pathname === '/flow-days') return json(response, { days: days(), generated_at_ms: now });
  if (!dated) return notFound(response);
  const [, kind, day, streamed] = dated;
  if (kind === 'play') return page(response, `<meta name="darkmux-mode" content="play"><meta name="darkmux-date" content="${day}">`);
  if (streamed) return stream(request, response, day, url.searchParams.get('from'));
  const { records, end } = readDay(day);
  const limit = Number(url.searchParams.get('limit') ?? 10_000);
  return json(response, records.slice(-limit).map((one) => one.record), { 'darkmux-position': position(day, end) });
}

function dispatch(args) {
  const script = args[args.findIndex((arg) => arg === '-m' || arg === '--message') + 1];
  const id = `crew-dispatch-shell-${Date.now()}${String(process.pid).padStart(6, '0')}`;
  const started = new Date().toISOString();
  const bookend = { handle: 'shell', session_id: id, source: 'crew_dispatch', stage: 'dispatch' };
  append({ ...bookend, action: 'dispatch start', payload: { prompt_chars: script.length, runtime: 'command' } });
  const { status } = spawnSync('/bin/sh', ['-c', script]);
  const payload = { exit_code: status, result_class: status ? 'error' : 'ok', runtime: 'command', wall_ms: Date.now() - Date.parse(started) };
  const session = {
    id, role: 'shell', name: null, state: 'exited', machine_id: 'studio', created_at: started, started_at: started,
    ended_at: new Date().toISOString(), exit_code: status, signal: null, reason: null, cwd: process.cwd(), command: ['/bin/sh', '-c', script],
  };
  fs.writeFileSync(SESSIONS, JSON.stringify([session, ...readSessions()]));
  append({ ...bookend, action: status ? 'dispatch error' : 'dispatch complete', level: status ? 'error' : 'info', payload });
  process.stdout.write(`${id}\n`);
}

const [verb, noun, ...rest] = process.argv.slice(2);
if (verb === 'serve') http.createServer(route).listen(Number(rest.at(-1) ?? 8765), '127.0.0.1');
else if (verb === 'flow') append({ tier: 'operator', handle: rest[rest.indexOf('--text') + 1] });
else if (verb === 'crew') dispatch(rest);
else throw new Error(`unknown verb: ${verb} ${noun}`);
