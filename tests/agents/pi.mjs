// A stand-in for pi: it loads the extension of `-e` and gives it its events.
import { copyFileSync } from "node:fs";
import { line } from "./line.mjs";

const args = process.argv.slice(2);
const copy = `${process.env.HOME}/extension.mjs`;
copyFileSync(args[args.indexOf("-e") + 1], copy);
const handlers = new Map();
const { default: extension } = await import(copy);
await extension({
  on: (name, handler) => handlers.set(name, [...(handlers.get(name) ?? []), handler]),
  getSessionName: () => undefined,
});
const ctx = { sessionManager: { getSessionFile: () => "/nowhere/pi session.jsonl" }, isIdle: () => false };
const emit = async (name, event = {}) => {
  for (const handler of handlers.get(name) ?? []) {
    const answer = await handler({ type: name, ...event }, ctx);
    if (answer !== undefined) {
      console.log(`${name} disturbed: ${JSON.stringify(answer)}`);
      process.exit(3);
    }
  }
};

await emit("session_start", { reason: "startup" });
await emit("agent_start");
await emit("session_info_changed", { name: "Clean the build" });
await emit("tool_execution_start", { toolCallId: "1", toolName: "bash", args: {} });
await emit("ui_prompt_start", { reason: "ui_prompt", kind: "confirm", title: "Allow rm -r build?" });
console.log(`answered: ${await line()}`);
await emit("ui_prompt_end");
console.log(`went on: ${await line()}`);
const content = [{ type: "text", text: "Shall I push it?" }];
await emit("agent_end", { messages: [{ role: "assistant", content, stopReason: "stop" }] });
await emit("agent_settled");
console.log(`told: ${await line()}`);
await emit("session_shutdown", { reason: "quit" });
process.exit(0);
