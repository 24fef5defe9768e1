/**
 * A model server on the stage of the showcase: it speaks as OpenAI-compatible servers do, slowly, and has a script for
 * each task that it is given.
 *
 * @module
 */

import { createServer } from 'node:http';

/** @typedef {{say?: string, call?: [string, object]}} Turn */

/** By a word of the task. @type {[RegExp, Turn[]][]} */
const SCRIPTS = [
  [/CRLF/, [
    { say: 'I look at what is there first.', call: ['bash', { command: 'ls -a; date +%A' }] },
    { say: 'Nothing yet, so I write the function and its test.', call: ['write', { path: 'lines.sh', content: '# Ends every line with LF, whether it came with CRLF or LF.\nsed \'s/\\r$//\'\n' }] },
    { call: ['write', { path: 'test.sh', content: 'test "$(printf \'a\\r\\nb\\nc\\r\\n\' | sh lines.sh | od -An -c | tr -d \' \\n\')" = \'a\\nb\\nc\\n\' && echo ok\n' }] },
    { say: 'Now the test.', call: ['bash', { command: 'sh test.sh' }] },
    { say: 'The lexer splits at LF and CRLF alike, keeps a lone CR, and has a test for the three.' },
  ]],
  [/allocates/, [
    { say: 'I count before I answer.', call: ['bash', { command: 'for i in 1 2 3; do echo "module $i: $((i * i * 13)) allocations"; done' }] },
    { say: 'Module 3 allocates most: 117 times in this run, against 52 and 13. Each comes from joining strings in a loop; one buffer would do.' },
  ]],
];

/** @param {import('node:http').ServerResponse} response @param {Turn} turn */
async function stream(response, turn) {
  const event = (/** @type {unknown} */ body) => response.write(`data: ${JSON.stringify(body)}\n\n`);
  const delta = (/** @type {object} */ one) => event({ id: 'c', choices: [{ index: 0, delta: one, finish_reason: null }] });
  const pause = (/** @type {number} */ ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  await pause(700);
  for (const word of (turn.say ?? '').split(/(?<= )/)) {
    if (word !== '') delta({ content: word });
    await pause(60);
  }
  if (turn.call) {
    const [name, given] = turn.call;
    delta({ tool_calls: [{ index: 0, id: `call_${Date.now()}`, type: 'function', function: { name, arguments: JSON.stringify(given) } }] });
    await pause(500);
  }
  event({ choices: [{ index: 0, delta: {}, finish_reason: turn.call ? 'tool_calls' : 'stop' }] });
  event({ choices: [], usage: { prompt_tokens: 1_840, completion_tokens: 96, total_tokens: 1_936 } });
  response.end('data: [DONE]\n\n');
}

/** @param {string} model @returns {Promise<{port: number, close: () => void}>} */
export function startModel(model) {
  const server = createServer(async (request, response) => {
    if (request.url === '/v1/models') {
      response.writeHead(200, { 'content-type': 'application/json' });
      return response.end(JSON.stringify({ data: [{ id: model, max_model_len: 65_536 }] }));
    }
    if (request.method !== 'POST' || request.url !== '/v1/chat/completions') return response.writeHead(404).end();
    let body = '';
    for await (const part of request) body += part;
    /** @type {{role: string}[]} */
    const messages = JSON.parse(body).messages ?? [];
    const script = SCRIPTS.find(([word]) => word.test(body))?.[1] ?? [{ say: 'Done.' }];
    const turn = Math.min(messages.filter(({ role }) => role === 'assistant').length, script.length - 1);
    await stream(response, script[turn]);
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      resolve({ port, close: () => server.closeAllConnections() ?? server.close() });
    });
  });
}
