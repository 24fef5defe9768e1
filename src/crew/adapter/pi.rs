//! Pi: an extension of ours, given with `-e`.

use serde_json::Value;

use super::options::Grammar;
use super::said::{QUESTION, Said, text};
use super::script::script;
use super::{Command, Facts, Prepared};

/// Our extension, in the session's folder; pi loads it as it loads TypeScript.
const EXTENSION: &str = "pi-extension.ts";
/// Its own part.
const OWN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/adapters/pi.js"));

/// Longest path that names a conversation, in characters; a longer one might be cut on its way.
const FILE_MAX: usize = 120;

/// Its verbs that start no conversation.
const OTHER_VERBS: &[&str] = &["install", "remove", "uninstall", "update", "list", "config"];

const GRAMMAR: Grammar = Grammar {
    flags: &[
        "-p",
        "--print",
        "-c",
        "--continue",
        "-r",
        "--resume",
        "--no-session",
        "--no-tools",
        "-nt",
        "--no-builtin-tools",
        "-nbt",
        "--no-extensions",
        "-ne",
        "--no-skills",
        "-ns",
        "--no-prompt-templates",
        "-np",
        "--no-themes",
        "--no-context-files",
        "-nc",
        "--verbose",
        "--offline",
        "--approve",
        "-a",
        "--no-approve",
        "-na",
        "-h",
        "--help",
        "-v",
        "--version",
    ],
    many: &[],
    dropped: &[
        "-p",
        "--print",
        "-c",
        "--continue",
        "-r",
        "--resume",
        "--session",
        "--session-id",
        "--fork",
        "--no-session",
        "--mode",
        "--export",
        "--list-models",
    ],
};

/// The command with our extension.
pub fn prepare(command: &Command<'_>, facts: &Facts<'_>) -> Prepared {
    let args = command.args;
    let first = args.first().map(String::as_str);
    let asks_about_itself =
        GRAMMAR.has(args, &["-h", "--help", "-v", "--version", "--export", "--list-models"]);
    if asks_about_itself || first.is_some_and(|verb| OTHER_VERBS.contains(&verb)) {
        return command.plain();
    }
    let path = facts.folder.join(EXTENSION);
    let Some(path) = path.to_str() else {
        return command
            .without("the session's folder is not UTF-8: pi is started without darkmux's extension");
    };
    let files = vec![(EXTENSION.into(), script("pi", OWN, command.darkmux))];
    Prepared { files, ..command.with(&["-e".to_owned(), path.to_owned()]) }
}

/// The arguments that go on with a conversation.
#[allow(clippy::unnecessary_wraps)] // As those of the others.
pub fn resume(args: &[String], conversation: &str) -> Option<Vec<String>> {
    let mut rest = GRAMMAR.kept(args);
    rest.extend(["--session".to_owned(), conversation.to_owned()]);
    Some(rest)
}

/// What an event says, as the extension passes it on: pi's `docs/extensions.md`.
pub fn said(hook: &Value) -> Said {
    let said = match text(hook, "type").unwrap_or_default() {
        "session_start" => Said::idle(),
        "tool_execution_start" => Said::working(text(hook, "tool").unwrap_or("a tool")),
        "agent_end" => match text(hook, "stop") {
            Some("error") => Said::failed(text(hook, "error").unwrap_or_default()),
            Some("aborted") => Said::idle(),
            _ => Said::done(text(hook, "message").unwrap_or_default()),
        },
        "ui_prompt_start" => Said::asks(QUESTION, text(hook, "title").unwrap_or_default()),
        "ui_prompt_end" if hook["idle"] == true => Said::idle(),
        "agent_start" | "ui_prompt_end" => Said::working("thinking"),
        _ => Said::default(),
    };
    // Its file names a conversation for every version; the older ones know no other name.
    let file = text(hook, "session").filter(|file| file.chars().count() <= FILE_MAX);
    said.in_conversation(file.or(text(hook, "session_id"))).titled(text(hook, "title_of_session"))
}
