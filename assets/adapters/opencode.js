
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
