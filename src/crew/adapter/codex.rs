//! Codex: its `notify` program, and its terminal's notifications of what waits for approval, by `-c`. Its hooks
//! run only after the user trusted them, so none are installed; where the user added `darkmux hook codex` to
//! them they are understood.

use serde_json::{Value, json};

use super::options::Grammar;
use super::said::{PERMISSION, QUESTION, Said, text};
use super::{Command, Facts, Prepared, claude};
use crate::crew::files;
use crate::wire::AskingNotice;

/// Largest configuration of the user's that is looked at, in bytes.
const CONFIG_MAX: usize = 1024 * 1024;

/// Its verbs that hold no conversation; any other word is one that does, or a first message.
const OTHER_VERBS: &[&str] = &[
    "login",
    "logout",
    "mcp",
    "mcp-server",
    "app-server",
    "app",
    "completion",
    "sandbox",
    "debug",
    "apply",
    "a",
    "cloud",
    "cloud-tasks",
    "features",
    "plugin",
    "plugins",
    "update",
    "doctor",
    "execpolicy",
    "exec-server",
    "help",
    "remote-control",
];

/// What its terminal tells by OSC 9, which the session's host hears: only what waits.
const NOTICES: &[(&str, &str)] = &[
    ("notifications", r#"["approval-requested","plan-mode-prompt","user-input-requested","async-question"]"#),
    ("notification_method", r#""osc9""#),
    ("notification_condition", r#""always""#),
];

/// How those notices begin, and what they are: `codex-rs/tui/src/chatwidget/notifications.rs` of openai/codex.
const ASKING: &[(&str, &str)] = &[
    ("Approval requested: ", PERMISSION),
    ("Approval requested by ", PERMISSION),
    ("Codex wants to edit ", PERMISSION),
    ("Plan mode prompt: ", QUESTION),
    ("Question requested", QUESTION),
    ("Questions requested: ", QUESTION),
    ("Question: ", QUESTION),
];

const GRAMMAR: Grammar = Grammar {
    flags: &[
        "--oss",
        "--full-auto",
        "--dangerously-bypass-approvals-and-sandbox",
        "--yolo",
        "--search",
        "--no-alt-screen",
        "--skip-git-repo-check",
        "--json",
        "--experimental-json",
        "--last",
        "--all",
        "--strict-config",
        "--ephemeral",
        "--include-non-interactive",
        "--dangerously-bypass-hook-trust",
        "--ignore-user-config",
        "--ignore-rules",
        "--uncommitted",
        "-h",
        "--help",
        "-V",
        "--version",
    ],
    many: &["-i", "--image"],
    dropped: &[
        "-i",
        "--image",
        "--skip-git-repo-check",
        "--json",
        "--experimental-json",
        "--last",
        "--all",
        "--ephemeral",
        "--include-non-interactive",
        "--output-schema",
        "-o",
        "--output-last-message",
        "--color",
        "--uncommitted",
        "--base",
        "--commit",
        "--title",
        "--ignore-user-config",
        "--ignore-rules",
    ],
};

/// The command with our notify program.
pub fn prepare(command: &Command<'_>, facts: &Facts<'_>) -> Prepared {
    let args = command.args;
    let verb = GRAMMAR.words(args).next();
    let asks_about_itself = GRAMMAR.has(args, &["-h", "--help", "-V", "--version"]);
    if asks_about_itself || verb.is_some_and(|verb| OTHER_VERBS.contains(&verb)) {
        return command.plain();
    }
    let config = user_config(facts);
    let mut first = Vec::new();
    let mut notes = Vec::new();
    let mut set = |key: String, value: &str| first.extend(["-c".to_owned(), format!("{key}={value}")]);
    if passes(args, "notify") || sets(&config, "", "notify") {
        notes.push("codex has a `notify` of its own: darkmux is not told when its turn ends".to_owned());
    } else {
        set("notify".to_owned(), &json!([command.darkmux, "hook", "codex"]).to_string());
    }
    let theirs = |key: &str| passes(args, &format!("tui.{key}")) || sets(&config, "tui", key);
    if passes(args, "tui") || NOTICES.iter().any(|(key, _)| theirs(key)) {
        notes.push("codex has `tui` notifications of its own: darkmux hears what they tell".to_owned());
    } else {
        for (key, value) in NOTICES {
            set(format!("tui.{key}"), value);
        }
    }
    Prepared { notes, ..command.with(&first) }
}

/// The user's configuration; empty where there is none.
fn user_config(facts: &Facts<'_>) -> String {
    let own = facts.env.get("CODEX_HOME").map(std::path::PathBuf::from);
    let folder = own.or_else(|| Some(facts.env.home()?.join(".codex")));
    let bytes = folder.and_then(|folder| files::read(&folder.join("config.toml"), CONFIG_MAX).ok().flatten());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Whether `-c key=…` is among the arguments.
fn passes(args: &[String], key: &str) -> bool {
    let before = args.iter().take_while(|arg| *arg != "--");
    let values = before.map(|arg| arg.trim_start_matches("--config=").trim_start_matches("-c"));
    values.filter_map(|value| value.split_once('=')).any(|(name, _)| name.trim() == key)
}

/// Whether a TOML text sets this key of this table (`""`: of none), by its lines. What only looks so inside a
/// text of several lines leaves a setting of ours out, and no setting of theirs.
fn sets(config: &str, table: &str, key: &str) -> bool {
    let dotted = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
    let mut within = String::new();
    for line in config.lines().map(str::trim) {
        if let Some(head) = line.strip_prefix('[') {
            head.split(']').next().unwrap_or_default().trim().clone_into(&mut within);
        } else if let Some((name, _)) = line.split_once('=') {
            let name = name.replace([' ', '"', '\''], "");
            let full = if within.is_empty() { name } else { format!("{within}.{name}") };
            if full == dotted || !table.is_empty() && full == table {
                return true;
            }
        }
    }
    false
}

/// The arguments that go on with a conversation: `codex resume`, whatever began it.
#[allow(clippy::unnecessary_wraps)] // As those of the others.
pub fn resume(args: &[String], conversation: &str) -> Option<Vec<String>> {
    let mut rest = vec!["resume".to_owned()];
    rest.extend(GRAMMAR.kept(args));
    rest.push(conversation.to_owned());
    Some(rest)
}

/// The notices by which it asks, whoever switched them on.
pub fn asking_notices() -> Vec<AskingNotice> {
    let notice = |(begins, label): &(&str, &str)| AskingNotice {
        begins: (*begins).to_owned(),
        label: (*label).to_owned(),
    };
    ASKING.iter().map(notice).collect()
}

/// What `notify` or a hook says: <https://developers.openai.com/codex/config-advanced#notifications> and
/// <https://developers.openai.com/codex/hooks>. The hooks' input is that of Claude Code's.
pub fn said(hook: &Value) -> Said {
    if text(hook, "type") == Some("agent-turn-complete") {
        let message = text(hook, "last-assistant-message").unwrap_or_default();
        return Said::done(message).after_a_turn().in_conversation(text(hook, "thread-id"));
    }
    Said { title: None, ..claude::said(hook) }
}
