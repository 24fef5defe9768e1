
// An extension for pi.

// After the end of a run pi may start another by itself; newer versions say when it does not.
const SETTLE_MS = 1500;

function lastMessage(messages) {
  const last = (messages ?? []).filter((message) => message?.role === "assistant").pop() ?? {};
  const parts = Array.isArray(last.content) ? last.content : [];
  const text = parts.filter((part) => part?.type === "text").map((part) => part.text).join("\n");
  return { message: text.slice(-TEXT_MAX), stop: last.stopReason, error: last.errorMessage };
}

export default function (pi) {
  if (!process.env.DARKMUX_SOCKET) return;
  const tell = teller();
  let settling;
  let ended;

  const on = (name, handle) => {
    pi.on(name, (event, ctx) => {
      try {
        handle(event, ctx);
      } catch {
        // The agent goes on.
      }
    });
  };
  // The file names the conversation for every version; one that is not kept has none.
  const about = (ctx) => ({
    session: ctx?.sessionManager?.getSessionFile?.(),
    session_id: ctx?.sessionManager?.getSessionFile?.() ? ctx.sessionManager.getSessionId?.() : undefined,
    title_of_session: pi.getSessionName?.(),
  });
  const settle = () => {
    clearTimeout(settling);
    if (ended) tell(ended);
    ended = undefined;
  };

  on("session_start", (_event, ctx) => tell({ type: "session_start", ...about(ctx) }));
  on("session_info_changed", (event, ctx) => {
    tell({ type: "session_info_changed", ...about(ctx), title_of_session: event?.name });
  });
  on("agent_start", (_event, ctx) => {
    clearTimeout(settling);
    ended = undefined;
    tell({ type: "agent_start", ...about(ctx) });
  });
  on("tool_execution_start", (event) => tell({ type: "tool_execution_start", tool: event?.toolName }));
  on("agent_end", (event, ctx) => {
    ended = { type: "agent_end", ...about(ctx), ...lastMessage(event?.messages) };
    clearTimeout(settling);
    settling = setTimeout(settle, SETTLE_MS);
    settling.unref?.();
  });
  on("agent_settled", settle);
  on("ui_prompt_start", (event) => tell({ type: "ui_prompt_start", title: event?.title }));
  on("ui_prompt_end", (_event, ctx) => tell({ type: "ui_prompt_end", idle: ctx?.isIdle?.() === true }));
  on("session_shutdown", settle);
}
