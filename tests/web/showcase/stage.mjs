/**
 * The stage of the showcase: real machines (homes with a daemon each) that share a real Redis, and what is done to them.
 * Nothing of it is left running or on disk when `clear` was called.
 *
 * @module
 */

import { execFile, spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const HERE = fileURLToPath(new URL('.', import.meta.url));
const DEADLINE_MS = 30_000;

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** @param {string} what @param {() => Promise<unknown>} condition */
export async function until(what, condition) {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const value = await condition().catch(() => undefined);
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`timed out waiting until ${what}`);
    await sleep(100);
  }
}

/** @returns {Promise<number>} a port that is free now */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

/** The processes that were started with this home, by what the kernel says of them. @param {string} home */
function processesOf(home) {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`DARKMUX_HOME=${home}`);
    } catch {
      return false;
    }
  }).map(Number);
}

/** A Redis whose data outlives it. @param {string} folder */
async function createRedis(folder) {
  const port = await freePort();
  /** @type {import('node:child_process').ChildProcess | null} */
  let process = null;
  const cli = async (/** @type {string[]} */ ...args) => (await run('redis-cli', ['-p', String(port), ...args])).stdout.trim();
  return {
    port,
    cli,
    async start() {
      process = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--appendonly', 'yes', '--save', ''], { stdio: 'ignore' });
      await until('Redis answers', async () => await cli('PING') === 'PONG');
    },
    kill: () => void process?.kill('SIGKILL'),
  };
}

/**
 * @param {string} name @param {string} root @param {string} bin @param {{[name: string]: string}} settings
 */
async function createMachine(name, root, bin, settings) {
  const home = join(root, name);
  const port = await freePort();
  const tools = join(home, '.local/bin');
  mkdirSync(tools, { recursive: true });
  mkdirSync(join(home, '.darkmux'));
  const env = {
    HOME: home, DARKMUX_HOME: join(home, '.darkmux'), DARKMUX_MACHINE_ID: name, PATH: `${tools}:/usr/local/bin:/usr/bin:/bin`,
    SHELL: '/bin/sh', TERM: 'xterm-256color', LANG: 'C.UTF-8', USER: 'you',
    DARKMUX_OLLAMA_URL: 'http://127.0.0.1:9', DARKMUX_LMSTUDIO_URL: 'http://127.0.0.1:9', DOCKER_HOST: `unix://${home}/none`, DARKMUX_TAILSCALE_SOCKET: join(home, 'none'),
    DARKMUX_RUNNER_ACCEPT: '*', DARKMUX_RUNNER_WORKDIRS: home, DARKMUX_QUEUE_LEASE: '6s', DARKMUX_QUEUE_BEAT: '1s', DARKMUX_QUEUE_RECONCILE: '1s', DARKMUX_SESSION_GRACE: '1s', DARKMUX_LOG: 'warn',
    ...settings,
  };
  /** @type {import('node:child_process').ChildProcess | null} */
  let daemon = null;
  let token = '';
  const darkmux = async (/** @type {string[]} */ ...args) => (await run(bin, args, { env, cwd: home, timeout: DEADLINE_MS })).stdout.trim();
  const url = `http://127.0.0.1:${port}`;
  /** @param {string} path @param {RequestInit} [init] */
  const ask = (path, init = {}) => fetch(`${url}${path}`, { ...init, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...init.headers }, signal: init.signal ?? AbortSignal.timeout(8_000) });
  return {
    name, home, port, url, darkmux, ask,
    token: () => token,
    /** Puts a stand-in onto its PATH. @param {string} program */
    install(program) {
      cpSync(join(HERE, `${program}.mjs`), join(tools, program));
      chmodSync(join(tools, program), 0o755);
    },
    /** @param {string} file @param {string} text */
    write(file, text) {
      mkdirSync(join(home, file, '..'), { recursive: true });
      writeFileSync(join(home, file), text, { mode: 0o600 });
    },
    async start() {
      daemon = spawn(bin, ['serve', '--port', String(port)], { env, cwd: home, stdio: process.env.SHOWCASE_LOG ? ['ignore', 'ignore', 'inherit'] : 'ignore' });
      await until(`${name} answers`, async () => (await fetch(`${url}/health`)).ok);
      token = await darkmux('auth', 'show', '--print');
    },
    /** The daemon, every session and all that runs in them, at once: the machine loses its power. */
    die() {
      for (const pid of processesOf(env.DARKMUX_HOME)) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // Ended by itself meanwhile.
        }
      }
      daemon = null;
    },
    stop: () => void daemon?.kill('SIGTERM'),
  };
}

/** @typedef {Awaited<ReturnType<typeof createMachine>>} Machine */

/** @param {string} bin */
export async function createStage(bin) {
  const root = mkdtempSync(join(tmpdir(), 'showcase-'));
  const redis = await createRedis(root);
  /** @type {Machine[]} */
  const machines = [];
  return {
    root,
    redis,
    machines,
    /** @param {string} name @param {{[name: string]: string}} settings */
    async machine(name, settings) {
      const machine = await createMachine(name, root, bin, { DARKMUX_REDIS_URL: `redis://127.0.0.1:${redis.port}`, ...settings });
      machines.push(machine);
      return machine;
    },
    clear() {
      for (const machine of machines) machine.die();
      redis.kill();
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
