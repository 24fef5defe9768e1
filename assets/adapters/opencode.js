// A plugin for OpenCode that tells darkmux what it does. darkmux wrote it into the folder of one session; it
// sends events to the session's host, changes nothing, and fails without a word.
import { spawn } from "node:child_process";

const PROGRAM = "@DARKMUX@";
const WAITING_MAX = 64;
const LIMIT_MS = 2000;
const TEXT_MAX = 8000;

const TOLD = new Set([
  "session.idle", "session.status", "session.error", "permission.asked", "permission.updated",
  "permission.replied", "question.asked", "question.replied", "question.rejected",
]);

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
      child = spawn(PROGRAM, ["hook", "opencode"], { stdio: ["pipe", "ignore", "ignore"] });
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

export const DarkmuxPlugin = async () => {
  if (!process.env.DARKMUX_SOCKET) return {};
  const tell = teller();
  // Conversations of subagents: what they ask counts, what they finish does not.
  const children = new Set();
  // The last message of the agent: its id, and its text by the ids of its parts.
  let message = { id: "", parts: new Map() };
  let title = "";

  const handle = ({ type, properties }) => {
    let about = properties ?? {};
    // Told twice, by the newer name and by the older one.
    if (type === "session.status" && about.status?.type === "idle") {
      type = "session.idle";
      about = { sessionID: about.sessionID };
    }
    const info = about.info ?? {};
    if (type === "session.created" || type === "session.updated") {
      if (info.parentID) {
        children.add(info.id);
      } else if (type === "session.created" || info.title !== title) {
        title = info.title;
        tell({ type, properties: { info: { id: info.id, title: info.title } } });
      }
      return;
    }
    if (type === "message.updated" && info.role === "assistant" && !children.has(info.sessionID)) {
      if (info.id !== message.id) message = { id: info.id, parts: new Map() };
      return;
    }
    if (type === "message.part.updated" && about.part?.type === "text" && about.part.messageID === message.id) {
      message.parts.set(about.part.id, String(about.part.text ?? "").slice(-TEXT_MAX));
      return;
    }
    if (!TOLD.has(type)) return;
    const ofChild = children.has(about.sessionID);
    if (ofChild && type.startsWith("session.")) return;
    const text = type === "session.idle" ? [...message.parts.values()].join("\n").slice(-TEXT_MAX) : undefined;
    tell({ type, properties: about, session: ofChild ? undefined : about.sessionID, message: text });
  };

  return {
    event: async ({ event }) => {
      try {
        handle(event);
      } catch {
        // The agent goes on.
      }
    },
  };
};
