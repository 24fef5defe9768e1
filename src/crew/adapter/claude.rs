//! Claude Code: hooks by a settings file of ours, given with `--settings`; the conversation's name by
//! `--session-id`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::options::Grammar;
use super::said::{PERMISSION, QUESTION, Said, text, tool_question};
use super::{Command, Facts, Prepared};
use crate::crew::files;

/// Our settings, in the session's folder.
const SETTINGS: &str = "claude-settings.json";

/// Largest settings file of the user's that is merged, in bytes.
const SETTINGS_MAX: usize = 1024 * 1024;

/// The events we hear of: only those that Claude Code has had since hooks can tell of permissions, as it
/// refuses settings with names that it does not know.
const EVENTS: &[&str] = &[
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PermissionRequest",
    "PostToolUse",
    "Notification",
    "Stop",
    "SessionEnd",
];

/// How long Claude Code waits for our hook, in seconds; it is done within one.
const HOOK_TIMEOUT_S: u32 = 5;

/// Its verbs that start no conversation.
const OTHER_VERBS: &[&str] = &[
    "agents",
    "auth",
    "config",
    "doctor",
    "install",
    "mcp",
    "migrate-installer",
    "plugin",
    "plugins",
    "remote-control",
    "setup-token",
    "update",
    "upgrade",
];

/// Options that choose the conversation.
const CONVERSATION: &[&str] =
    &["--session-id", "--resume", "-r", "--continue", "-c", "--from-pr", "--teleport", "--fork-session"];

const GRAMMAR: Grammar = Grammar {
    flags: &[
        "-p",
        "--print",
        "-c",
        "--continue",
        "--verbose",
        "--dangerously-skip-permissions",
        "--allow-dangerously-skip-permissions",
        "--fork-session",
        "--ide",
        "--chrome",
        "--no-chrome",
        "--strict-mcp-config",
        "--disable-slash-commands",
        "--include-partial-messages",
        "--include-hook-events",
        "--replay-user-messages",
        "--no-session-persistence",
        "--bare",
        "--safe-mode",
        "-h",
        "--help",
        "-v",
        "--version",
    ],
    many: &[
        "--allowedTools",
        "--allowed-tools",
        "--disallowedTools",
        "--disallowed-tools",
        "--tools",
        "--add-dir",
        "--mcp-config",
        "--betas",
        "--file",
    ],
    dropped: &[
        "-p",
        "--print",
        "-c",
        "--continue",
        "-r",
        "--resume",
        "--session-id",
        "--from-pr",
        "--teleport",
        "--fork-session",
        "--no-session-persistence",
        "--output-format",
        "--input-format",
        "--json-schema",
        "--include-partial-messages",
        "--replay-user-messages",
        "--max-turns",
        "--max-budget-usd",
    ],
};

/// The command with our hooks.
pub fn prepare(command: &Command<'_>, facts: &Facts<'_>) -> Prepared {
    let args = command.args;
    let verb = GRAMMAR.words(args).next();
    let asks_about_itself = GRAMMAR.has(args, &["-h", "--help", "-v", "--version"]);
    if asks_about_itself || verb.is_some_and(|verb| OTHER_VERBS.contains(&verb)) {
        return command.plain();
    }
    let path = facts.folder.join(SETTINGS);
    let Some(path) = path.to_str() else {
        return command
            .without("the session's folder is not UTF-8: claude is started without darkmux's hooks");
    };
    let given = GRAMMAR.value(args, &["--settings"]);
    let theirs = match given.map(|(value, ..)| read_settings(value, facts.cwd)) {
        None => Map::new(),
        Some(Some(settings)) => settings,
        Some(None) => {
            let why =
                "--settings is given and can't be merged with darkmux's hooks: claude won't say what it does";
            return command.without(why);
        }
    };
    let Some(settings) = merged(theirs, command.darkmux) else {
        return command.without("the hooks of --settings are no object: claude is started without darkmux's");
    };
    let mut first = vec!["--settings".to_owned(), path.to_owned()];
    if !GRAMMAR.has(args, CONVERSATION) {
        first.extend(["--session-id".to_owned(), uuid::Uuid::new_v4().to_string()]);
    }
    let mut rest = args.to_vec();
    if let Some((_, at, len)) = given {
        rest.drain(at..at + len);
    }
    let text = serde_json::to_vec_pretty(&settings).unwrap_or_default();
    Prepared {
        argv: [command.before, &first, &rest].concat(),
        files: vec![(SETTINGS.into(), text)],
        ..Prepared::default()
    }
}

/// The user's own settings: a file, or JSON as it is.
fn read_settings(given: &str, cwd: &Path) -> Option<Map<String, Value>> {
    let text = if given.trim_start().starts_with('{') {
        given.as_bytes().to_vec()
    } else {
        files::read(&cwd.join(given), SETTINGS_MAX).ok()??
    };
    serde_json::from_slice(&text).ok()
}

/// The settings with our hooks beside those that are there.
fn merged(mut settings: Map<String, Value>, darkmux: &str) -> Option<Value> {
    let hooks = settings.entry("hooks").or_insert_with(|| json!({})).as_object_mut()?;
    for event in EVENTS {
        let command = format!("{} hook claude {event}", shell_words::quote(darkmux));
        let ours = json!({ "hooks": [{ "type": "command", "command": command, "timeout": HOOK_TIMEOUT_S }] });
        hooks.entry(*event).or_insert_with(|| json!([])).as_array_mut()?.push(ours);
    }
    Some(Value::Object(settings))
}

/// The name that the command itself gives the conversation, or that it goes on with because we said so.
pub fn conversation_in(args: &[String]) -> Option<String> {
    if let [resume, name, ..] = args
        && resume == "--resume"
    {
        return Some(name.clone());
    }
    GRAMMAR.value(args, &["--session-id"]).map(|(value, ..)| value.to_owned())
}

/// The arguments that go on with a conversation.
#[allow(clippy::unnecessary_wraps)] // As those of the others.
pub fn resume(args: &[String], conversation: &str) -> Option<Vec<String>> {
    let mut rest = vec!["--resume".to_owned(), conversation.to_owned()];
    rest.extend(GRAMMAR.kept(args));
    Some(rest)
}

/// The arguments for another start: our name of the conversation is taken.
pub fn again(args: &[String]) -> Vec<String> {
    let mut args = args.to_vec();
    if let [settings, path, name, id, ..] = args.as_mut_slice()
        && settings == "--settings"
        && path.ends_with(SETTINGS)
        && name == "--session-id"
    {
        *id = uuid::Uuid::new_v4().to_string();
    }
    args
}

/// What a hook says. Its input: <https://code.claude.com/docs/en/hooks>.
pub fn said(hook: &Value) -> Said {
    let tool = text(hook, "tool_name").unwrap_or("a tool");
    let said = match text(hook, "hook_event_name").unwrap_or_default() {
        // In the middle of a turn when it made room.
        "SessionStart" if text(hook, "source") == Some("compact") => Said::default(),
        "SessionStart" | "SessionEnd" => Said::idle(),
        "UserPromptSubmit" | "PostToolUse" => Said::working("thinking"),
        "PreToolUse" if tool == "AskUserQuestion" => {
            Said::asks(QUESTION, &tool_question(tool, &hook["tool_input"]))
        }
        "PreToolUse" => Said::working(tool),
        "PermissionRequest" => {
            let label = if tool == "AskUserQuestion" { QUESTION } else { PERMISSION };
            Said::asks(label, &tool_question(tool, &hook["tool_input"]))
        }
        "Notification" => notification(hook),
        "Stop" => Said::done(text(hook, "last_assistant_message").unwrap_or_default()),
        _ => Said::default(),
    };
    said.in_conversation(text(hook, "session_id")).titled(text(hook, "session_title"))
}

/// A notification repeats, in general words, what a permission asked in exact ones. That nobody typed for a minute
/// is no question, and all that is heard of a turn that was interrupted.
fn notification(hook: &Value) -> Said {
    let message = text(hook, "message").unwrap_or_default();
    match text(hook, "notification_type") {
        Some("permission_prompt") => Said::asks(PERMISSION, message).unless_asked(),
        Some("elicitation_dialog") => Said::asks(QUESTION, message),
        None if message.contains("permission") => Said::asks(PERMISSION, message).unless_asked(),
        Some("idle_prompt") => Said::idle().unless_asked(),
        None if message.contains("waiting for your input") => Said::idle().unless_asked(),
        _ => Said::default(),
    }
}
