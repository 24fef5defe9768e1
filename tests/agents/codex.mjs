// A stand-in for Codex: it calls the program of `-c notify=[…]` with JSON as its last argument and no input, and
// tells by OSC 9 what waits for approval where its configuration asks for that.
import { spawn } from "node:child_process";
import { line } from "./line.mjs";

const config = new Map();
const args = process.argv.slice(2);
args.forEach((arg, at) => {
  if (arg !== "-c") return;
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(args[at + 1]);
  config.set(key, JSON.parse(value));
});

const [program, ...given] = config.get("notify");
const turnComplete = (id, message) => new Promise((resolve) => {
  const turn = {
    type: "agent-turn-complete", "thread-id": "0199a213-81c0-7800-8aa1-bbab2a035a53", "turn-id": id,
    cwd: process.cwd(), client: "codex-tui", "input-messages": [args.at(-1)], "last-assistant-message": message,
  };
  const child = spawn(program, [...given, JSON.stringify(turn)], { stdio: "ignore" });
  child.on("close", resolve);
});
const notices = config.get("tui.notifications");
const approval = (command) => {
  if (config.get("tui.notification_method") === "osc9" && config.get("tui.notification_condition") === "always"
    && notices.includes("approval-requested")) {
    process.stdout.write(`\x1b]9;Approval requested: ${command}\x07`);
  }
};

console.log(`notify ended: ${await turnComplete("1", "Two tests fail.\n\nShall I fix them?")}`);
console.log(`answered: ${await line()}`);
console.log(`told: ${await line()}`);
approval("git push");
console.log(`allowed: ${await line()}`);
console.log(`told: ${await line()}`);
console.log(`notify ended: ${await turnComplete("2", "All is pushed.")}`);
console.log(`told: ${await line()}`);
console.log(`notify ended: ${await turnComplete("3", "Nothing is left.")}`);
console.log(`told: ${await line()}`);
process.exit(0);
