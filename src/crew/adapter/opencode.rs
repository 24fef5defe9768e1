//! OpenCode: a plugin of ours, named in `OPENCODE_CONFIG_CONTENT`, which OpenCode merges with the user's
//! configuration.

use std::fmt::Write;

use serde_json::{Value, json};

use super::options::Grammar;
use super::said::{PERMISSION, QUESTION, Said, questions, text};
use super::script::script;
use super::{Command, Facts, Prepared};

/// Our plugin, in the session's folder.
const PLUGIN: &str = "opencode-plugin.js";
/// Its own part.
const OWN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/adapters/opencode.js"));

/// OpenCode's variable for configuration without a file.
const CONTENT: &str = "OPENCODE_CONFIG_CONTENT";

/// How a title begins that OpenCode gave before it knew what the conversation is about.
const NO_TITLE: &[&str] = &["New session - ", "Child session - "];

const GRAMMAR: Grammar = Grammar {
    flags: &[
        "-c",
        "--continue",
        "--fork",
        "--share",
        "--print-logs",
        "--pure",
        "--thinking",
        "-h",
        "--help",
        "-v",
        "--version",
        "--mdns",
        "-i",
        "--interactive",
        "--dangerously-skip-permissions",
        "--auto",
    ],
    many: &["-f", "--file"],
    dropped: &[
        "-c",
        "--continue",
        "-s",
        "--session",
        "--fork",
        "--share",
        "--prompt",
        "--command",
        "--format",
        "-f",
        "--file",
        "--title",
        "--attach",
        "-p",
        "--password",
        "-u",
        "--username",
        "--dir",
        "--variant",
        "--thinking",
        "-i",
        "--interactive",
        "--dangerously-skip-permissions",
        "--auto",
    ],
};

/// The command with our plugin.
pub fn prepare(command: &Command<'_>, facts: &Facts<'_>) -> Prepared {
    let path = facts.folder.join(PLUGIN);
    let Some(path) = path.to_str() else {
        return command
            .without("the session's folder is not UTF-8: opencode is started without darkmux's plugin");
    };
    let Some(content) = content(facts.env.get(CONTENT), path) else {
        let why = format!("{CONTENT} is set and is no plain JSON: opencode won't say what it does");
        return command.without(why);
    };
    Prepared {
        env: vec![(CONTENT.to_owned(), content)],
        files: vec![(PLUGIN.into(), script("opencode", OWN, command.darkmux))],
        ..command.plain()
    }
}

/// The user's configuration with our plugin.
fn content(theirs: Option<&str>, plugin: &str) -> Option<String> {
    let mut config: Value = theirs.map_or_else(|| Some(json!({})), |text| serde_json::from_str(text).ok())?;
    let plugins = config.as_object_mut()?.entry("plugin").or_insert_with(|| json!([])).as_array_mut()?;
    plugins.push(json!(file_url(plugin)));
    Some(config.to_string())
}

/// A path as a URL.
fn file_url(path: &str) -> String {
    let mut url = "file://".to_owned();
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(byte)),
            byte => {
                // Writing to a String cannot fail.
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url
}

/// The arguments that go on with a conversation; `None` for a verb that holds none.
pub fn resume(args: &[String], conversation: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = GRAMMAR.words(args).collect();
    let mut rest = GRAMMAR.kept(args);
    match words.as_slice() {
        [] | ["run", ..] => {}
        // The folder of the project.
        [folder] => rest.push((*folder).to_owned()),
        _ => return None,
    }
    rest.extend(["--session".to_owned(), conversation.to_owned()]);
    Some(rest)
}

/// What an event says, as the plugin passes it on: <https://opencode.ai/docs/plugins#events>.
pub fn said(hook: &Value) -> Said {
    let about = &hook["properties"];
    let said = match text(hook, "type").unwrap_or_default() {
        "session.idle" => Said::done(text(hook, "message").unwrap_or_default()),
        "session.status" => match text(&about["status"], "type") {
            Some("busy") => Said::working("thinking"),
            Some("retry") => Said::working("trying again"),
            Some("idle") => Said::done(text(hook, "message").unwrap_or_default()),
            _ => Said::default(),
        },
        "session.error" => match text(&about["error"], "name") {
            Some("MessageAbortedError") => Said::idle(),
            name => Said::failed(text(&about["error"]["data"], "message").or(name).unwrap_or_default()),
        },
        "permission.asked" => Said::asks(PERMISSION, &permission(about, "permission", "patterns")),
        "permission.updated" => match text(about, "title") {
            Some(title) => Said::asks(PERMISSION, &format!("allow {title}")),
            None => Said::asks(PERMISSION, &permission(about, "type", "pattern")),
        },
        "question.asked" => Said::asks(QUESTION, &questions(about).unwrap_or_default()),
        "permission.replied" | "question.replied" | "question.rejected" => Said::working("thinking"),
        _ => Said::default(),
    };
    let info = &about["info"];
    let title = text(info, "title").filter(|title| !NO_TITLE.iter().any(|none| title.starts_with(none)));
    let conversation = text(hook, "session").or(text(info, "id"));
    said.in_conversation(conversation).titled(title)
}

/// What a permission is about: its command or its patterns.
fn permission(about: &Value, kind: &str, patterns: &str) -> String {
    let kind = text(about, kind).unwrap_or("a tool");
    let listed = match &about[patterns] {
        Value::String(one) => one.clone(),
        Value::Array(many) => many.iter().filter_map(Value::as_str).take(8).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    let known = ["command", "filepath", "filePath", "url"];
    let exact = known.iter().find_map(|key| text(&about["metadata"], key)).map(str::to_owned);
    match exact.unwrap_or(listed) {
        about if about.is_empty() => format!("allow {kind}?"),
        about => format!("allow {kind}: {about}"),
    }
}
