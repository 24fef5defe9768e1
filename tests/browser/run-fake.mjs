#!/usr/bin/env node
/**
 * Runs the browser tests against the stand-in daemon; a development aid, the real harness runs them
 * against darkmux. `node run-fake.mjs [name…]`, for example `node run-fake.mjs live resume`.
 */

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const BIN = join(HERE, 'fake-daemon.mjs');
const names = process.argv.slice(2);

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

async function serve(home, port) {
  const daemon = spawn(process.execPath, [BIN, 'serve', '--port', String(port)], { env: { ...process.env, DARKMUX_HOME: home }, stdio: 'inherit' });
  for (;;) {
    const up = await fetch(`http://127.0.0.1:${port}/health`).then((response) => response.ok, () => false);
    if (up) return daemon;
  }
}

async function runTest(name) {
  const home = mkdtempSync(join(tmpdir(), 'darkmux-fake-'));
  const port = await freePort();
  let daemon = await serve(home, port);
  let appended = 0;
  const append = (count) => {
    for (let n = 0; n < count; n += 1) {
      appended += 1;
      spawnSync(process.execPath, [BIN, 'flow', 'note', '--text', `kept-${appended}`], { env: { ...process.env, DARKMUX_HOME: home } });
    }
  };
  const env = { ...process.env, DARKMUX_TEST_URL: `http://127.0.0.1:${port}/`, DARKMUX_TEST_BIN: BIN, DARKMUX_TEST_HOME: home };
  const test = spawn(process.execPath, [join(HERE, `${name}.mjs`)], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  createInterface({ input: test.stdout }).on('line', async (line) => {
    if (line === 'PHASE live') {
      append(8);
      daemon.kill('SIGKILL');
      append(8);
    }
    if (line === 'PHASE down') {
      append(4);
      daemon = await serve(home, port);
      append(8);
      test.stdin.write(`expect kept ${appended}\n`);
    }
  });
  const status = await new Promise((resolve) => test.on('exit', resolve));
  daemon.kill();
  rmSync(home, { recursive: true });
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name}`);
  if (status !== 0) process.exitCode = 1;
}

for (const name of names.length > 0 ? names : ['live', 'hostile', 'sessions', 'resume']) await runTest(name);
