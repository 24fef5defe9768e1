//! What an agent says of itself, bounded and cleaned.

use serde_json::Value;

use crate::util::visible_line;
use crate::wire::SessionReport;

/// Longest question, in characters. With every bound below, a report stays under the 4096 bytes of a request.
const QUESTION_MAX: usize = 500;
/// Longest label, in characters.
const LABEL_MAX: usize = 40;
/// Longest title, in characters.
const TITLE_MAX: usize = 120;
/// Longest text that is looked at for a question at its end, in bytes.
const MESSAGE_MAX: usize = 16 * 1024;

/// The label of an agent that waits to be allowed something.
pub const PERMISSION: &str = "permission";
/// The label of an agent that waits for an answer.
pub const QUESTION: &str = "question";

/// What one call of a hook says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// What it does now; `None` says nothing about it.
    pub report: Option<SessionReport>,
    /// Whether a question that is asked already stays: this one says less.
    pub keeps_question: bool,
    /// The name of its conversation, by which it can be resumed.
    pub conversation: Option<String>,
    /// What it calls its conversation.
    pub title: Option<String>,
}

impl Said {
    /// At work.
    pub fn working(label: &str) -> Self {
        Self::of(SessionReport { label: clean(label, LABEL_MAX), working: true, ..SessionReport::default() })
    }

    /// Done, or not begun.
    pub fn idle() -> Self {
        Self::of(SessionReport { label: "idle".to_owned(), ..SessionReport::default() })
    }

    /// Done with this last message, which may end with a question.
    pub fn done(message: &str) -> Self {
        question_in(message).map_or_else(Self::idle, |question| Self::asks(QUESTION, &question))
    }

    /// Stopped by an error.
    pub fn failed(what: &str) -> Self {
        let label = if what.trim().is_empty() { "error" } else { what };
        Self::of(SessionReport { label: clean(label, LABEL_MAX), error: true, ..SessionReport::default() })
    }

    /// Waiting for somebody to answer.
    pub fn asks(label: &str, question: &str) -> Self {
        let question = clean(question, QUESTION_MAX);
        let needs_you = Some(if question.is_empty() { "it waits for you".to_owned() } else { question });
        Self::of(SessionReport { label: clean(label, LABEL_MAX), needs_you, ..SessionReport::default() })
    }

    /// In this conversation.
    #[must_use]
    pub fn in_conversation(mut self, name: Option<&str>) -> Self {
        self.conversation = name.filter(|name| super::is_conversation(name)).map(str::to_owned);
        self
    }

    /// Under this title.
    #[must_use]
    pub fn titled(mut self, title: Option<&str>) -> Self {
        self.title = title.map(|title| clean(title, TITLE_MAX)).filter(|title| !title.is_empty());
        self
    }

    /// Saying less than a question that is asked already.
    #[must_use]
    pub fn unless_asked(mut self) -> Self {
        self.keeps_question = true;
        self
    }

    /// At the end of a turn, of which nothing was said before.
    #[must_use]
    pub fn after_a_turn(mut self) -> Self {
        if let Some(report) = &mut self.report {
            report.turn_ended = true;
        }
        self
    }

    fn of(report: SessionReport) -> Self {
        Self { report: Some(report), ..Self::default() }
    }
}

/// A text of an object, by its key.
pub fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// The text on one line, its blanks as one each, what a terminal would obey made visible, and cut.
pub fn clean(text: &str, most: usize) -> String {
    // No more is looked at than can be shown.
    let text: String = text.chars().take(most * 4).collect();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = visible_line(&words);
    if shown.chars().count() <= most {
        return shown.into_owned();
    }
    shown.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The question of a tool that waits to be allowed, or that asks by itself.
pub fn tool_question(tool: &str, input: &Value) -> String {
    if let Some(questions) = questions(input) {
        return questions;
    }
    if tool == "ExitPlanMode" {
        return "approve its plan?".to_owned();
    }
    let about = ["command", "file_path", "path", "notebook_path", "url", "query", "pattern", "description"]
        .iter()
        .find_map(|key| text(input, key));
    let words = input["command"]
        .as_array()
        .map(|words| words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    match words.as_deref().or(about) {
        Some(about) => format!("allow {tool}: {about}"),
        None => format!("allow {tool}?"),
    }
}

/// The questions of a list `questions`, each with its answers.
pub fn questions(input: &Value) -> Option<String> {
    let asked = input.get("questions")?.as_array()?.iter().take(4).filter_map(|question| {
        let words = text(question, "question")?;
        let options = question["options"].as_array().into_iter().flatten().take(8);
        let labels: Vec<&str> = options.filter_map(|option| text(option, "label")).collect();
        Some(if labels.is_empty() { words.to_owned() } else { format!("{words} ({})", labels.join(" / ")) })
    });
    let asked: Vec<String> = asked.collect();
    (!asked.is_empty()).then(|| asked.join(" "))
}

/// The question with which a message ends, or why it says that it cannot go on (`BLOCKED:`, as roles are told).
pub fn question_in(message: &str) -> Option<String> {
    let begin = message.char_indices().rev().nth(MESSAGE_MAX).map_or(0, |(at, _)| at);
    let last = message[begin..].lines().map(str::trim).rfind(|line| !line.is_empty())?;
    if last.trim_end_matches(['*', '_', '"', '”', ')', '`']).ends_with(['?', '？']) {
        return Some(last.to_owned());
    }
    blocked_in(message).map(|why| format!("BLOCKED: {why}"))
}

/// Why a message says that it cannot go on: its first line begins with `BLOCKED:`, as roles are told, however it is marked
/// up.
pub fn blocked_in(message: &str) -> Option<String> {
    let first = message.lines().map(str::trim).find(|line| !line.is_empty())?;
    let why = first.trim_start_matches(['*', '#', '_', ' ', '`']).strip_prefix("BLOCKED:")?;
    Some(clean(why.trim_matches(['*', '_', ' ', '`']), QUESTION_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_message_that_ends_with_a_question_asks_it() {
        let question = |text: &str| Said::done(text).report.unwrap().needs_you;
        assert_eq!(question("Done.\n\nShall I **push** it?**\n").as_deref(), Some("Shall I **push** it?**"));
        assert_eq!(question("Why? Because.\nAll is done."), None);
        assert_eq!(question("BLOCKED: no network\nI tried.").as_deref(), Some("BLOCKED: no network"));
        assert_eq!(question("**BLOCKED: no network**\n\nI tried.").as_deref(), Some("BLOCKED: no network"));
        assert_eq!(question(""), None);
    }

    #[test]
    fn a_blocked_message_is_known_by_its_first_line() {
        assert_eq!(blocked_in("\n**BLOCKED: no network**\nI tried").as_deref(), Some("no network"));
        assert_eq!(blocked_in("BLOCKED: a\u{1b}b").as_deref(), Some("a\\u{1b}b"));
        assert_eq!(blocked_in("Done.\nBLOCKED: x"), None);
    }

    #[test]
    fn tools_say_what_they_are_about() {
        assert_eq!(
            tool_question("Bash", &json!({"command": "rm -r x", "description": "d"})),
            "allow Bash: rm -r x"
        );
        assert_eq!(tool_question("shell", &json!({"command": ["ls", "-l"]})), "allow shell: ls -l");
        assert_eq!(tool_question("Edit", &json!({"file_path": "/a"})), "allow Edit: /a");
        assert_eq!(tool_question("mcp__x", &json!(7)), "allow mcp__x?");
        let asked =
            json!({"questions": [{"question": "Which?", "options": [{"label": "A"}, {"label": "B"}]}]});
        assert_eq!(tool_question("AskUserQuestion", &asked), "Which? (A / B)");
    }

    proptest! {
        #[test]
        fn whatever_is_said_fits_a_request_and_one_line(label in any::<String>(), text in "\\PC{0,3000}|.{0,3000}") {
            let said = Said::asks(&label, &text).titled(Some(&text));
            let report = said.report.unwrap();
            prop_assert!(serde_json::to_vec(&report).unwrap().len() < 4096);
            let asked = report.needs_you.unwrap();
            prop_assert!(!asked.is_empty() && !asked.chars().any(char::is_control));
            let title = said.title.unwrap_or_default();
            prop_assert!(title.chars().count() <= TITLE_MAX && !title.chars().any(char::is_control));
            let _ = Said::done(&text);
        }
    }
}
