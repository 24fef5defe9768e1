//! What the body of a refusal says: the envelope of `/v1`, which daemons of gmux use as well.

use serde_json::Value;

use crate::util::visible_line;

/// Longest word and longest message that is taken over, in characters.
const CODE_MAX: usize = 64;
const MESSAGE_MAX: usize = 500;

/// What is said where nothing was.
const NO_REASON: &str = "it did not say why";

/// The word and the message of a refusal, bounded, and safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// For programs; empty where there is none.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Said {
    /// Reads an envelope, or the plain text that stands in its place.
    pub fn read(body: &[u8]) -> Self {
        let Ok(said) = serde_json::from_slice::<Value>(body) else {
            return Self { code: String::new(), message: message(String::from_utf8_lossy(body).trim()) };
        };
        let text = |key: &str| said["error"][key].as_str().unwrap_or_default();
        Self { code: bounded(text("code"), CODE_MAX), message: message(text("message")) }
    }
}

fn message(text: &str) -> String {
    if text.is_empty() { NO_REASON.to_owned() } else { bounded(text, MESSAGE_MAX) }
}

fn bounded(text: &str, most: usize) -> String {
    // Cut before as well: who reads it may have let a large one in.
    let start: String = text.chars().take(most).collect();
    visible_line(&start).chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_code_and_its_words() {
        let said = |body: &str| {
            let Said { code, message } = Said::read(body.as_bytes());
            (code, message)
        };
        let pair = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        let body = r#"{"ok":false,"error":{"code":"peer_unavailable","message":"desk: connection refused"}}"#;
        assert_eq!(said(body), pair("peer_unavailable", "desk: connection refused"));
        assert_eq!(said("peer unavailable\n"), pair("", "peer unavailable"));
        for none in ["", "{}", "[]", "{\"error\":7}", " \n"] {
            assert_eq!(said(none), pair("", NO_REASON), "{none}");
        }
        assert_eq!(said("\u{1b}[2Jx").1, "\\u{1b}[2Jx");
        assert_eq!(said(&"x".repeat(100_000)).1.len(), MESSAGE_MAX);
        assert_eq!(Said::read(b"\xff\xfe").message, "\u{fffd}\u{fffd}");
    }
}
