
// A plugin for OpenCode.
const TOLD = new Set([
  "session.idle", "session.status", "session.error", "permission.asked", "permission.updated",
  "permission.replied", "question.asked", "question.replied", "question.rejected",
]);

export const DarkmuxPlugin = async () => {
  if (!process.env.DARKMUX_SOCKET) return {};
  const tell = teller();
  // Conversations of subagents: what they ask counts, what they finish does not.
  const children = new Set();
  // The last message of the agent: its id, and its text by the ids of its parts.
  let message = { id: "", parts: new Map() };
  let title = "";
  // The turn ended with an error, which is told until the next one begins.
  let failed = false;

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
    if (type === "message.updated" && !children.has(info.sessionID)) {
      if (info.role === "user") failed = false;
      if (info.role === "assistant" && info.id !== message.id) message = { id: info.id, parts: new Map() };
      return;
    }
    if (type === "message.part.updated" && about.part?.type === "text" && about.part.messageID === message.id) {
      message.parts.set(about.part.id, String(about.part.text ?? "").slice(-TEXT_MAX));
      return;
    }
    if (!TOLD.has(type)) return;
    const ofChild = children.has(about.sessionID);
    if (ofChild && type.startsWith("session.")) return;
    if (type === "session.idle" && failed) return;
    if (type === "session.status") failed = false;
    if (type === "session.error") failed = about.error?.name !== "MessageAbortedError";
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
