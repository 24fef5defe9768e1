/**
 * Makes the showcase that `darkmux demo` plays: runs a morning of three machines for real, records what the page of one
 * of them was told, takes out what tells of this computer, and writes `assets/viewer/showcase.json`. About four minutes:
 *
 *     DARKMUX_TEST_BIN=target/debug/darkmux node --experimental-websocket tests/web/showcase/record.mjs
 *
 * Needs redis-server and redis-cli. See docs/TESTING.md.
 *
 * @module
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { startModel } from './model.mjs';
import { BEGAN, renamed, shifted, traces } from './scrub.mjs';
import { createStage, sleep, until } from './stage.mjs';
import { createWatch } from './watch.mjs';
import * as scripts from './scripts.mjs';

const TARGET = fileURLToPath(new URL('../../../assets/viewer/showcase.json', import.meta.url));
const MAX_GZIP = 150 * 1024;
/** How long the first look at everything may take. */
const BEFORE_MS = 1_500;
const bin = process.env.DARKMUX_TEST_BIN;
if (!bin) throw new Error('DARKMUX_TEST_BIN is not set');

const stage = await createStage(bin);
const model = await startModel('qwen3-coder-30b');
/** @type {{at: number, text: string}[]} */
const chapters = [];
const chapter = (/** @type {string} */ text) => {
  chapters.push({ at: Date.now(), text });
  console.log(text);
};

try {
  await stage.redis.start();
  const laptop = await stage.machine('laptop', { DARKMUX_CREW_AGENTS: 'claude', DARKMUX_RUNNER_LABELS: 'battery' });
  const rack = await stage.machine('rack', { DARKMUX_LMSTUDIO_URL: `http://127.0.0.1:${model.port}`, DARKMUX_CREW_AGENTS: 'agent', DARKMUX_RUNNER_LABELS: 'model', DARKMUX_RUNNER_SLOTS: '3' });
  const studio = await stage.machine('studio', { DARKMUX_CREW_AGENTS: 'claude' });
  studio.install('claude');
  for (const machine of [laptop, rack]) await machine.start();
  studio.write('.darkmux/host.toml', [laptop, rack].map(({ name, url, token }) => `[[peers]]\nname = "${name}"\nurl = "${url}"\ntoken = "${token()}"\n`).join('\n'));
  for (const folder of ['projects/api', 'projects/lexer', 'site']) for (const machine of stage.machines) machine.write(`${folder}/README.md`, `# ${folder}\n`);
  await studio.start();

  const watch = createWatch(studio);
  const launch = async (/** @type {object} */ what) => (await (await studio.ask('/v1/launch', { method: 'POST', body: JSON.stringify(what) })).json()).data.session_id;
  const size = { cols: 80, rows: 24 };
  const monitor = await launch({ peer: 'rack', command: ['/bin/sh', '-c', scripts.monitor], name: 'gpu' });
  const tests = await launch({ peer: 'laptop', command: ['/bin/sh', '-c', scripts.watchTests], name: 'tests, watching', cwd: '~/projects/lexer' });
  const server = await launch({ command: ['/bin/sh', '-c', scripts.devServer], name: 'dev server', cwd: '~/projects/api' });
  await until('all three machines are known', async () => (await (await studio.ask('/fleet/machines/live')).json()).length === 3);
  await until('both peers are linked', async () => (await (await studio.ask('/v1/health')).json()).data.peers.every((/** @type {any} */ peer) => peer.status === 'connected'));
  for (const id of [monitor, tests, server]) watch.watchTerminal(id, size);

  const from = Math.floor(Date.now() / 1000) * 1000;
  watch.start();
  const dispatch = (/** @type {string[]} */ ...args) => studio.darkmux('crew', 'dispatch', '--no-wait', ...(args.includes('--workdir') ? [] : ['--no-repo']), ...args);
  const shell = (/** @type {string} */ name, /** @type {string} */ script, /** @type {string[]} */ ...flags) => dispatch('shell', '--fleet', '--name', name, '-m', script, ...flags);

  chapter('Three machines share one Redis: a studio, a laptop, and a rack with a model');
  await studio.darkmux('flow', 'note', '--text', 'Today: CRLF in the lexer, paging in the API, the site');
  await sleep(4_000);
  await studio.darkmux('flow', 'tier-decision', '--decision', 'local', '--role-chosen', 'coder', '--reasoning', 'small and well tested: the model on the rack can do it');
  await dispatch('coder', '--pin', 'rack', '--name', 'lexer: CRLF', '-m', 'Let the lexer take CRLF as one line end, with a test');
  chapter('A role is named, and the machine that can do it takes the job');
  await sleep(3_000);
  await studio.darkmux('flow', 'tier-decision', '--decision', 'frontier', '--role-chosen', 'claude', '--reasoning', 'a review wants the larger model');
  await dispatch('claude', '--pin', 'studio', '--name', 'api: review of paging', '-m', 'Review the paging of the API');
  await shell('unit tests', scripts.unitTests, '--pin', 'laptop');
  await sleep(6_000);
  const agent = await launch({ launcher_id: 'claude', cwd: '~/projects/lexer', name: 'lexer' });
  watch.watchTerminal(agent, size);
  await shell('train: adapter', 'train --epochs 3', '--require', 'gpu=h100');
  await shell('backup', 'backup --all', '--delay', '25m', '--priority', 'low');
  chapter('One job wants what no machine has, one waits for its hour: both say why');
  await sleep(10_000);
  await shell('lint', scripts.lint);
  await shell('bench: parser', scripts.bench, '--machine', 'laptop');
  await shell('publish the site', scripts.publish, '--pin', 'laptop', '--workdir', `${laptop.home}/site`);
  await sleep(9_500);
  chapter('An agent asks before it runs the tests, and waits in the inbox');
  await sleep(6_000);
  laptop.die();
  chapter('The laptop dies in the middle of two jobs');
  await sleep(22_000);
  chapter('The bench goes on elsewhere as a second attempt; the site must not be published twice, and waits for you');
  await shell('integration', scripts.flaky, '--retries', '1', '--pin', 'rack');
  await stage.redis.cli('XADD', 'darkmux:work', '*', 'job', '{"half a job"');
  await sleep(12_000);
  await laptop.start();
  chapter('The laptop is back, and takes its place by itself');
  await dispatch('analyst', '--pin', 'rack', '--name', 'which module allocates most?', '-m', 'Which module allocates most?');
  await shell('index: embeddings', scripts.index, '--pin', 'rack');
  await sleep(12_000);
  stage.redis.kill();
  chapter('Redis is gone: jobs go on, and the page says what it does not know');
  await sleep(14_000);
  await stage.redis.start();
  chapter('Redis is back: what was missed is told, nothing is lost');
  await sleep(12_000);
  await studio.ask(`/v1/sessions/${agent}/input?submit=1`, { method: 'POST', body: '1', headers: { 'content-type': 'application/octet-stream' } });
  chapter('The agent gets its answer from the inbox, and goes on');
  await studio.darkmux('flow', 'note', '--text', 'Looked at the site by hand: the upload had ended, nothing to publish again');
  await shell('docs: links', scripts.links);
  await sleep(9_000);
  await shell('fmt', scripts.fmt, '--machine', 'laptop');
  await sleep(9_000);
  chapter('All that happened is in the flow, and every terminal can be played again');
  await sleep(4_000);
  const alive = new Set((await (await studio.ask('/v1/sessions')).json()).data.filter((/** @type {any} */ one) => one.alive).map((/** @type {any} */ one) => one.id));
  for (const id of [monitor, server, agent]) if (!alive.has(id)) throw new Error(`${id} was ended by something else on this computer: record again`);
  const outputs = await watch.outputs();
  const to = Date.now();
  const machine = { ...await watch.specs(), redis_url_redacted: `redis://rack:6379`, cpu_brand: null };
  const launchers = await watch.launchers();
  watch.stop();
  const recording = {
    format: 1, name: 'showcase', from, to, machine, launchers, chapters,
    // What was so before counts from the first moment.
    frames: watch.frames.filter(({ at }) => at <= to).map((frame) => (frame.at < from + BEFORE_MS ? { ...frame, at: from } : frame)),
    records: watch.records.map(([at, raw]) => [Math.max(at, from), raw]), outputs, terminals: watch.terminals,
  };
  /** @type {[string, string][]} */
  const names = stage.machines.flatMap(({ name, home, port }) => [[home, '/home/you'], [`127.0.0.1:${port}`, `${name}:8765`], [`localhost:${port}`, `${name}:8765`]]);
  names.push([`127.0.0.1:${stage.redis.port}`, 'rack:6379'], [`http://127.0.0.1:${model.port}`, 'http://rack:1234'], [bin, '/usr/bin/darkmux'], [hostname(), 'studio'], ['"cpu_brand":null,', ''], [',"cpu_brand":null', '']);
  const text = renamed(shifted(JSON.stringify(recording), from), names).replace(/\],"(frames|records|outputs|terminals|chapters)"/g, '],\n"$1"').replaceAll('},"terminals"', '},\n"terminals"');
  const left = traces(text, [hostname(), userInfo().username].filter((word) => word !== 'root'));
  if (left.length > 0) throw new Error(`the recording tells of this computer:\n${left.join('\n')}`);
  const packed = gzipSync(text, { level: 9 }).length;
  if (packed > MAX_GZIP) throw new Error(`the recording takes ${packed} bytes packed; ${MAX_GZIP} is the end`);
  mkdirSync(fileURLToPath(new URL('.', `file://${TARGET}`)), { recursive: true });
  writeFileSync(process.env.SHOWCASE_TO ?? TARGET, `${text}\n`);
  console.log(`${Math.round((to - from) / 1000)} s from ${new Date(BEGAN).toISOString()}: ${text.length} bytes, ${packed} packed, ${recording.records.length} records, ${recording.frames.length} frames`);
} finally {
  stage.clear();
  model.close();
}
process.exit(0);
