/**
 * The shell commands that the viewer offers to copy. Pure. A command is built only from an id that
 * needs no quoting in any shell, because an id can come from another machine and the reader will
 * paste the line without looking.
 *
 * @module
 */

/** @typedef {import('./types.js').Session} Session */
/** @typedef {{label: string, line: string}} Command */

/** What to run to see something happen. */
export const FIRST_DISPATCH = "darkmux crew dispatch shell --message 'echo hi'";

// Ids of darkmux, of 1.9 (`mission:<id>`) and with a machine (`id@machine`); no leading dash, which would be a flag.
const PLAIN_ID = /^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$/;

/** @param {string} id */
export function isPlainId(id) {
  return PLAIN_ID.test(id);
}

/** @param {string} state */
export function isOpen(state) {
  return state === 'running' || state === 'starting';
}

/**
 * @param {Session} session
 * @returns {Command[]} none when the id is not one to put into a shell
 */
export function sessionCommands(session) {
  if (!isPlainId(session.id)) return [];
  const commands = [
    { label: isOpen(session.state) ? 'Type into it' : 'Look at its screen', line: `darkmux session attach ${session.id}` },
    { label: isOpen(session.state) ? 'Follow its output' : 'Read its output', line: `darkmux session tail -f ${session.id}` },
  ];
  if (isOpen(session.state)) commands.push({ label: 'End it', line: `darkmux session kill ${session.id}` });
  return commands;
}

/**
 * @param {string} line words as a shell would read them: spaces part, quotes and backslashes join
 * @returns {string[] | null} null when a quote is not closed
 */
export function splitCommand(line) {
  const words = [];
  let word = '';
  let begun = false;
  let quote = '';
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at];
    if (quote === '' && /\s/.test(char)) {
      if (begun) words.push(word);
      word = '';
      begun = false;
    } else if (quote === '' && (char === '"' || char === "'")) {
      quote = char;
      begun = true;
    } else if (char === quote) {
      quote = '';
    } else if (char === '\\' && quote !== "'" && at + 1 < line.length) {
      at += 1;
      word += line[at];
      begun = true;
    } else {
      word += char;
      begun = true;
    }
  }
  if (quote !== '') return null;
  return begun ? [...words, word] : words;
}
