//! The conversation with a model: its messages, and how much of the model's window they take.
//!
//! Invariant: the first message is what the role is told, the second the task; they stay whatever is summed up. A call
//! is never apart from what it came to.

use serde::{Deserialize, Serialize};

use super::model::{Message, Usage};

/// Characters that make a token, about: less than most texts have, so that the window is not overrun.
const CHARS_A_TOKEN: usize = 3;

/// Messages at the beginning that stay.
pub const KEPT: usize = 2;

/// The window of a model of which nobody says how large it is.
pub const WINDOW_UNKNOWN: u64 = 32_768;

/// The messages, and what is known of their size.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Conversation {
    messages: Vec<Message>,
    /// What the server counted last, and for how many of the messages.
    #[serde(default)]
    counted: Option<(u64, usize)>,
}

impl Conversation {
    /// Begins with what the role is told, and with the task.
    pub fn new(system: String, task: String) -> Self {
        let messages = vec![Message::System { text: system }, Message::User { text: task }];
        Self { messages, counted: None }
    }

    /// The messages.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Changes what the role is told.
    pub fn begin_with(&mut self, system: String) {
        if let Some(first @ Message::System { .. }) = self.messages.first_mut() {
            *first = Message::System { text: system };
        }
        self.counted = None;
    }

    /// What the server counted for the question that was all of the messages, and for its answer, which is added next.
    pub fn count(&mut self, usage: Usage) {
        self.counted = Some((usage.total(), self.messages.len() + 1));
    }

    /// What the server counted is not true: it takes less than it says.
    pub fn uncount(&mut self) {
        self.counted = None;
    }

    /// Tokens of all messages: what the server counted, and a guess for the rest.
    pub fn tokens(&self) -> u64 {
        let (counted, known) =
            self.counted.filter(|(_, known)| *known <= self.messages.len()).unwrap_or_default();
        counted.saturating_add(estimate(&self.messages[known..]))
    }

    /// What may be summed up: the messages after the first two and before the newest that fit into `keep` tokens. It
    /// ends before an answer or before what a person said.
    pub fn old(&self, keep: u64) -> std::ops::Range<usize> {
        let mut from = self.messages.len();
        let mut kept = 0;
        while from > KEPT {
            kept += estimate(&self.messages[from - 1..from]);
            if kept > keep {
                break;
            }
            from -= 1;
        }
        while from < self.messages.len() && matches!(self.messages[from], Message::Tool { .. }) {
            from += 1;
        }
        // An answer's calls stay with what they came to.
        KEPT.min(from)..from
    }

    /// Puts a summary in the place of messages.
    pub fn sum_up(&mut self, old: std::ops::Range<usize>, summary: String) {
        self.messages.splice(old, [Message::User { text: summary }]);
        self.counted = None;
    }

    /// Cuts results of tools that are longer than `most` characters, all but the newest of them if `spare`. Whether
    /// there was one.
    pub fn cut_results(&mut self, most: usize) -> bool {
        let mut cut = false;
        for message in self.messages.iter_mut().skip(KEPT) {
            if let Message::Tool { text, .. } | Message::User { text } = message
                && text.len() > most
            {
                *text = middle_cut(text, most);
                cut = true;
            }
        }
        if cut {
            self.counted = None;
        }
        cut
    }
}

/// A guess at the tokens of messages.
pub fn estimate(messages: &[Message]) -> u64 {
    let chars: usize = messages.iter().map(|message| message.chars() + 4 * CHARS_A_TOKEN).sum();
    (chars / CHARS_A_TOKEN) as u64
}

/// The beginning and the end of a text, with a word about what is between them.
pub fn middle_cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let half = most / 2;
    let head = text.floor_char_boundary(half);
    let tail = text.ceil_char_boundary(text.len() - half);
    format!("{}\n[… {} bytes left out …]\n{}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::model::Call;

    fn tool(text: &str) -> Message {
        Message::Tool { id: "c".into(), name: "read".into(), text: text.into() }
    }

    fn answer(text: &str) -> Message {
        let call = Call { id: "c".into(), name: "read".into(), arguments: "{}".into() };
        Message::Assistant { text: text.into(), calls: vec![call] }
    }

    #[test]
    fn what_is_old_ends_before_an_answer() {
        let mut talk = Conversation::new("system".into(), "task".into());
        for _ in 0..5 {
            talk.push(answer("I look"));
            talk.push(tool(&"x".repeat(300)));
            talk.push(tool(&"y".repeat(300)));
        }
        let old = talk.old(250);
        assert_eq!(old.start, KEPT);
        assert!(matches!(talk.messages()[old.end], Message::Assistant { .. }), "{old:?}");
        assert!(old.end < talk.messages().len() && old.end > KEPT);
        // Nothing fits: all of it is old.
        assert_eq!(talk.old(1), KEPT..talk.messages().len());
        assert_eq!(talk.old(1_000_000), KEPT..KEPT);
        let before = talk.tokens();
        talk.sum_up(old, "summary".into());
        assert!(talk.tokens() < before && matches!(talk.messages()[KEPT], Message::User { .. }));
    }

    #[test]
    fn what_the_server_counted_counts_and_the_rest_is_guessed() {
        let mut talk = Conversation::new("s".repeat(3000), "t".into());
        assert!(talk.tokens() > 1000);
        talk.count(Usage { prompt_tokens: 500, completion_tokens: 20, total_tokens: 0 });
        talk.push(answer("yes"));
        assert_eq!(talk.tokens(), 520);
        talk.push(tool(&"x".repeat(3000)));
        assert!((1500..1700).contains(&talk.tokens()), "{}", talk.tokens());
        assert!(talk.cut_results(100) && talk.tokens() < 1500);
    }

    #[test]
    fn cuts_keep_characters_whole() {
        let text = "äöü".repeat(100);
        let cut = middle_cut(&text, 101);
        assert!(cut.contains("bytes left out") && cut.len() < text.len());
    }
}
