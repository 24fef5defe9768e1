// Tells darkmux what an agent does: a script for that agent follows. darkmux wrote both into the folder of one
// session; they send events to the session's host, change nothing, and fail without a word.
import { spawn } from "node:child_process";

const PROGRAM = "@DARKMUX@";
const AGENT = "@AGENT@";
const WAITING_MAX = 64;
const LIMIT_MS = 2000;
const TEXT_MAX = 8000;

/** Tells one event after the other; one that says what the one before it said is left out. */
function teller() {
  const waiting = [];
  let busy = false;
  let last = "";
  const next = () => {
    const text = waiting.shift();
    busy = text !== undefined;
    if (!busy) return;
    let done = false;
    const end = () => {
      if (done) return;
      done = true;
      clearTimeout(limit);
      next();
    };
    let child;
    const limit = setTimeout(() => {
      child?.kill("SIGKILL");
      end();
    }, LIMIT_MS);
    limit.unref?.();
    try {
      child = spawn(PROGRAM, ["hook", AGENT], { stdio: ["pipe", "ignore", "ignore"] });
      child.on("error", end);
      child.on("close", end);
      child.stdin.on("error", () => {});
      child.stdin.end(text);
      child.unref();
    } catch {
      end();
    }
  };
  return (event) => {
    const text = JSON.stringify(event);
    if (text === last) return;
    last = text;
    if (waiting.length >= WAITING_MAX) waiting.shift();
    waiting.push(text);
    if (!busy) next();
  };
}
