//! Why a model did not answer, and whether asking again may help.

use std::time::Duration;

use serde_json::Value;

use crate::util::{Secret, visible_line};

/// Longest words of a server that are repeated, in characters.
const SAID_MAX: usize = 300;

/// Which of the limits passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It did not begin.
    FirstToken,
    /// It paused.
    NextToken,
    /// It went on for too long.
    Answer,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nothing answers there.
    #[error("the model server can't be reached: {0}")]
    Unreachable(String),
    /// It asks to come back later.
    #[error("the model server is busy ({status}): {said}")]
    Busy {
        /// HTTP's word for it.
        status: u16,
        /// When to come back.
        after: Option<Duration>,
        /// What it says.
        said: String,
    },
    /// It failed.
    #[error("the model server failed ({status}): {said}")]
    Failed {
        /// HTTP's word for it.
        status: u16,
        /// What it says.
        said: String,
    },
    /// It took longer than it may.
    #[error("the model {}", .0.words())]
    Slow(Phase),
    /// The answer broke off.
    #[error("the model's answer broke off: {0}")]
    Broken(String),
    /// The conversation is larger than the model's window.
    #[error("the conversation is larger than the model's window{}: {said}", window_words(*.window))]
    TooLong {
        /// The window in tokens, where the server says it.
        window: Option<u64>,
        /// What it says.
        said: String,
    },
    /// The model, as it is served, knows no tools.
    #[error("the model knows no tools: {0}")]
    NoTools(String),
    /// It does not take the question.
    #[error("the model server refuses ({status}): {said}{}", advice(*.status))]
    Refused {
        /// HTTP's word for it.
        status: u16,
        /// What it says.
        said: String,
    },
    /// What answers is no model server.
    #[error("what answers is no model server: {0}")]
    Foreign(String),
    /// Whoever asked does not want to know any longer.
    #[error("the question was taken back")]
    TakenBack,
}

impl Phase {
    fn words(self) -> &'static str {
        match self {
            Self::FirstToken => "did not begin to answer in time (agent.first_token)",
            Self::NextToken => "stopped in the middle of its answer (agent.next_token)",
            Self::Answer => "did not come to the end of its answer in time (agent.answer_limit)",
        }
    }
}

fn window_words(window: Option<u64>) -> String {
    window.map(|window| format!(" of {window} tokens")).unwrap_or_default()
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "; models.keys says where its key comes from",
        404 => "; darkmux endpoints list shows what it serves",
        _ => "",
    }
}

impl AskError {
    /// Whether the same question may be answered a moment later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Busy { .. }
            | Self::Failed { .. }
            | Self::Broken(_)
            | Self::Slow(Phase::FirstToken | Phase::NextToken) => true,
            Self::Slow(Phase::Answer)
            | Self::TooLong { .. }
            | Self::NoTools(_)
            | Self::Refused { .. }
            | Self::Foreign(_)
            | Self::TakenBack => false,
        }
    }

    /// How long the server wants to be left alone.
    pub fn after(&self) -> Option<Duration> {
        if let Self::Busy { after, .. } = self { *after } else { None }
    }

    /// The same without the key, which a server may have quoted.
    pub(super) fn without(mut self, key: Option<&Secret>) -> Self {
        let Some(key) = key.map(Secret::expose).filter(|key| !key.is_empty()) else { return self };
        let said = match &mut self {
            Self::Unreachable(said)
            | Self::Broken(said)
            | Self::NoTools(said)
            | Self::Foreign(said)
            | Self::Busy { said, .. }
            | Self::Failed { said, .. }
            | Self::TooLong { said, .. }
            | Self::Refused { said, .. } => said,
            Self::Slow(_) | Self::TakenBack => return self,
        };
        *said = said.replace(key, "***");
        self
    }

    /// What an answer with this status and body says.
    pub(super) fn of_answer(status: u16, body: &[u8], after: Option<Duration>) -> Self {
        let document: Option<Value> = serde_json::from_slice(body).ok();
        let said = document.as_ref().map_or_else(
            || bounded(&String::from_utf8_lossy(&body[..body.len().min(SAID_MAX * 4)])),
            said_in,
        );
        Self::of_words(status, said, document.as_ref(), after)
    }

    /// What an error within a stream says.
    pub(super) fn of_event(document: &Value) -> Self {
        let error = &document["error"];
        let code = error["code"].as_u64().or_else(|| document["status"].as_u64());
        let status = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
        Self::of_words(status, said_in(document), Some(document), None)
    }

    fn of_words(status: u16, said: String, document: Option<&Value>, after: Option<Duration>) -> Self {
        let error = document.map_or(&Value::Null, |document| &document["error"]);
        let word = |key: &str| error[key].as_str().unwrap_or_default();
        let lower = format!("{} {} {said}", word("code"), word("type")).to_ascii_lowercase();
        if is_too_long(&lower) && status != 429 {
            let window = error["n_ctx"].as_u64().or_else(|| window_in(&lower));
            return Self::TooLong { window, said };
        }
        if (400..500).contains(&status) && knows_no_tools(&lower) {
            return Self::NoTools(said);
        }
        match status {
            408 | 425 | 429 | 503 | 529 => Self::Busy { status, after, said },
            500.. => Self::Failed { status, said },
            _ => Self::Refused { status, said },
        }
    }
}

/// The words of an error document, whatever its shape.
fn said_in(document: &Value) -> String {
    let places = ["/error/message", "/error", "/message", "/detail"];
    let said = places.iter().find_map(|place| document.pointer(place)?.as_str());
    said.map_or_else(|| bounded(&document.to_string()), bounded)
}

fn bounded(text: &str) -> String {
    visible_line(text.trim()).chars().take(SAID_MAX).collect()
}

/// Whether an error says that the conversation does not fit.
fn is_too_long(lower: &str) -> bool {
    let known = [
        "context_length_exceeded",
        "exceed_context_size",
        "context size has been exceeded",
        "prompt is too long",
    ];
    let parts = [
        ("context", "length"),
        ("context", "window"),
        ("context", "overflow"),
        ("context size", "exceed"),
        ("n_ctx", "exceed"),
        ("maximum context", "tokens"),
    ];
    let about_size = [
        "exceed",
        "overflow",
        "too long",
        "too large",
        "larger than",
        "greater than",
        "maximum",
        "longer than",
    ];
    known.iter().any(|word| lower.contains(word))
        || parts.iter().any(|(a, b)| lower.contains(a) && lower.contains(b))
            && about_size.iter().any(|word| lower.contains(word))
}

/// The window that an error names: `maximum context length is 4096 tokens`.
fn window_in(lower: &str) -> Option<u64> {
    let words = [
        "maximum context length is ",
        "context size of ",
        "context length of ",
        "n_ctx = ",
        "context window of ",
    ];
    words.iter().find_map(|word| {
        let rest = &lower[lower.find(word)? + word.len()..];
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|window| *window > 0)
    })
}

/// Whether an error says that tools are not known.
fn knows_no_tools(lower: &str) -> bool {
    let not = ["does not support", "not supported", "unsupported", "requires --jinja", "not enabled"];
    lower.contains("tool") && not.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> AskError {
        AskError::of_answer(status, body.as_bytes(), None)
    }

    #[test]
    fn a_conversation_that_does_not_fit_is_told_apart_with_its_window() {
        for (status, body, window) in [
            (
                400,
                r#"{"error":{"code":"context_length_exceeded","message":"This model's maximum context length is 4096 tokens. However, you requested 5000"}}"#,
                Some(4096),
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":2048}}"#,
                Some(2048),
            ),
            (
                400,
                r#"{"error":"Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens"}"#,
                None,
            ),
            (500, r#"{"error":{"message":"Context size has been exceeded."}}"#, None),
            (400, r#"{"error":{"message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#, None),
        ] {
            let found = of(status, body);
            assert!(
                matches!(&found, AskError::TooLong { window: said, .. } if *said == window),
                "{body}: {found:?}"
            );
        }
        assert!(matches!(
            of(429, r#"{"error":{"message":"too many tokens, context window"}}"#),
            AskError::Busy { .. }
        ));
    }

    #[test]
    fn errors_say_whether_asking_again_may_help() {
        assert!(of(503, "loading model").may_pass() && of(500, "{}").may_pass() && of(429, "{}").may_pass());
        for (status, body) in [(401, "{}"), (404, r#"{"error":{"message":"model not found"}}"#), (400, "{}")]
        {
            assert!(!of(status, body).may_pass(), "{status}");
        }
        assert!(matches!(
            of(400, r#"{"error":{"message":"registry.ollama.ai/library/gemma does not support tools"}}"#),
            AskError::NoTools(_)
        ));
        let said = of(400, "\u{1b}[2J<html>").to_string();
        assert!(said.contains("\\u{1b}[2J"), "{said}");
    }
}
