// A stand-in for Claude Code: it calls the hooks of `--settings` as the real one does (a shell, JSON on standard
// input, one after the other), and fails where a hook would have disturbed it.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { line } from "./line.mjs";

const args = process.argv.slice(2);
const after = (name) => args[args.indexOf(name) + 1];
const settings = JSON.parse(readFileSync(after("--settings"), "utf8"));
const id = after(args.includes("--resume") ? "--resume" : "--session-id");

function hook(event, more = {}) {
  for (const { command } of (settings.hooks[event] ?? []).flatMap((group) => group.hooks)) {
    const input = JSON.stringify({
      session_id: id, transcript_path: "/nowhere/transcript.jsonl", cwd: process.cwd(), permission_mode: "default",
      hook_event_name: event, ...more,
    });
    const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", command], { input });
    if (status !== 0 || stdout.length > 0 || stderr.length > 0) {
      console.log(`${event} disturbed: ${status} ${stdout} ${stderr}`);
      process.exit(3);
    }
  }
}

const bash = { tool_name: "Bash", tool_input: { command: "rm -r build", description: "Clean" } };
hook("SessionStart", { source: args.includes("--resume") ? "resume" : "startup", model: "m" });
hook("UserPromptSubmit", { prompt: args.at(-1) });
hook("PreToolUse", { ...bash, tool_use_id: "toolu_1" });
hook("PermissionRequest", { ...bash, permission_suggestions: [] });
hook("Notification", {
  message: "Claude needs your permission to use Bash", title: "Claude Code", notification_type: "permission_prompt",
});
console.log(`answered: ${await line()}`);
hook("PostToolUse", { ...bash, tool_response: { stdout: "x".repeat(2 * 1024 * 1024) }, tool_use_id: "toolu_1" });
console.log(`went on: ${await line()}`);
hook("Stop", { stop_hook_active: false, last_assistant_message: "It is clean.\n\nShall I push it?" });
console.log(`told: ${await line()}`);
hook("SessionEnd", { reason: "prompt_input_exit" });
process.exit(0);
