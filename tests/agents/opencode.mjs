// A stand-in for OpenCode: it loads the plugins of OPENCODE_CONFIG_CONTENT and gives them its events.
import { copyFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { line } from "./line.mjs";

const hooks = [];
for (const url of JSON.parse(process.env.OPENCODE_CONFIG_CONTENT).plugin) {
  // What OpenCode's own runtime takes for a module by its text, this one takes by its name.
  const copy = `${process.env.HOME}/plugin.mjs`;
  copyFileSync(fileURLToPath(url), copy);
  for (const plugin of Object.values(await import(copy))) {
    hooks.push(await plugin({ project: {}, client: {}, directory: process.cwd(), worktree: "/" }));
  }
}
const emit = async (type, properties) => {
  for (const hook of hooks) await hook.event?.({ event: { type, properties } });
};

const [root, child] = ["ses_1", "ses_2"];
await emit("session.created", { info: { id: root, title: "New session - 2026-01-01T00:00:00.000Z" } });
await emit("session.status", { sessionID: root, status: { type: "busy" } });
await emit("session.updated", { info: { id: root, title: "Clean the build" } });
await emit("session.created", { info: { id: child, parentID: root, title: "Child session" } });
await emit("session.idle", { sessionID: child });
await emit("permission.asked", {
  id: "per_1", sessionID: root, permission: "bash", patterns: ["rm -r build"], metadata: {}, always: ["rm *"],
});
console.log(`answered: ${await line()}`);
await emit("permission.replied", { sessionID: root, requestID: "per_1", reply: "once" });
console.log(`went on: ${await line()}`);
await emit("message.updated", { info: { id: "msg_1", sessionID: root, role: "assistant" } });
await emit("message.part.updated", { part: { id: "prt_1", messageID: "msg_1", type: "text", text: "Shall I push it?" } });
await emit("session.status", { sessionID: root, status: { type: "idle" } });
await emit("session.idle", { sessionID: root });
console.log(`told: ${await line()}`);
await emit("session.status", { sessionID: root, status: { type: "busy" } });
await emit("session.error", { sessionID: root, error: { name: "APIError", data: { message: "rate limited" } } });
await emit("session.status", { sessionID: root, status: { type: "idle" } });
await emit("session.idle", { sessionID: root });
console.log(`told: ${await line()}`);
await emit("session.status", { sessionID: root, status: { type: "busy" } });
await emit("message.updated", { info: { id: "msg_2", sessionID: root, role: "assistant" } });
await emit("session.idle", { sessionID: root });
console.log(`told: ${await line()}`);
process.exit(0);
