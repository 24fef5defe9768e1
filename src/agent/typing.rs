//! What a person types into the agent's terminal: lines, and the keys that stop.
//!
//! Invariant: what is typed is bounded; a key that is not understood does nothing.

/// Longest line, in bytes.
pub const LINE_MAX: usize = 64 * 1024;

/// Longest escape sequence that is waited for, in bytes.
const SEQUENCE_MAX: usize = 32;

/// What begins and ends what is pasted.
const PASTE: (&[u8], &[u8]) = (b"\x1b[200~", b"\x1b[201~");

/// What typing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// The line that is being typed is another now.
    Changed,
    /// A line was sent.
    Line(String),
    /// The line is longer than [`LINE_MAX`], and will not be sent.
    TooLong,
    /// Esc or Ctrl-C: stop what is going on.
    Stop,
    /// Ctrl-D on an empty line: nothing more will be said.
    End,
}

/// Takes keys.
#[derive(Debug, Default)]
pub struct Typing {
    line: String,
    /// Whether something of it had no room.
    too_long: bool,
    /// Bytes that are no character and no key yet.
    held: Vec<u8>,
    pasting: bool,
}

impl Typing {
    /// The line that is being typed.
    pub fn line(&self) -> Option<&str> {
        (!self.line.is_empty()).then_some(self.line.as_str())
    }

    /// Whether an Esc waits to be a key or the beginning of one.
    pub fn is_unsure(&self) -> bool {
        !self.pasting && self.held == b"\x1b"
    }

    /// The Esc that waited was a key.
    pub fn settle(&mut self) -> Vec<Typed> {
        if self.is_unsure() {
            self.held.clear();
            return vec![Typed::Stop];
        }
        Vec::new()
    }

    /// Takes the bytes that were typed.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let mut found = Vec::new();
        for byte in bytes {
            self.held.push(*byte);
            if let Some(typed) = self.take() {
                // Only the last change counts.
                if typed == Typed::Changed && found.last() == Some(&Typed::Changed) {
                    continue;
                }
                found.push(typed);
            }
        }
        found
    }

    /// Looks at what is held: a key, a character, or the beginning of one.
    fn take(&mut self) -> Option<Typed> {
        if self.pasting {
            return self.paste();
        }
        match self.held.as_slice() {
            [0x1b] | [0x1b, b'[' | b'O'] => None,
            [0x1b, b'[', .., last] | [0x1b, b'O', last] => self.sequence(*last),
            // Alt with a key.
            [0x1b, ..] => self.forget(),
            [byte] if *byte < 0x20 || *byte == 0x7f => {
                let byte = *byte;
                self.held.clear();
                self.key(byte)
            }
            held => {
                let text = std::str::from_utf8(held);
                let unfinished = matches!(&text, Err(error) if error.error_len().is_none());
                if unfinished && held.len() < 4 {
                    return None;
                }
                let text = text.unwrap_or_default().to_owned();
                self.held.clear();
                self.add(&text)
            }
        }
    }

    fn sequence(&mut self, last: u8) -> Option<Typed> {
        if self.held == PASTE.0 {
            self.held.clear();
            self.pasting = true;
            return None;
        }
        let is_over = (0x40..=0x7e).contains(&last) || self.held.len() > SEQUENCE_MAX;
        if is_over { self.forget() } else { None }
    }

    fn paste(&mut self) -> Option<Typed> {
        if self.held == PASTE.1 {
            self.held.clear();
            self.pasting = false;
            return Some(Typed::Changed);
        }
        // An end that is begun stays, also behind what turned out to be none.
        let begun = (0..self.held.len()).find(|at| PASTE.1.starts_with(&self.held[*at..]));
        let text = &self.held[..begun.unwrap_or(self.held.len())];
        match std::str::from_utf8(text) {
            Ok("") => None,
            Err(error) if begun.is_none() && error.error_len().is_none() && text.len() < 4 => None,
            text => {
                let text = text.unwrap_or_default().replace('\r', "\n");
                self.held.drain(..begun.unwrap_or(self.held.len()));
                self.add(&text)
            }
        }
    }

    fn key(&mut self, byte: u8) -> Option<Typed> {
        match byte {
            b'\r' | b'\n' => {
                let is_whole = !self.too_long;
                let line = self.take_line().trim().to_owned();
                Some(if line.is_empty() || !is_whole { Typed::Changed } else { Typed::Line(line) })
            }
            0x03 => {
                self.take_line();
                Some(Typed::Stop)
            }
            0x04 if self.line.is_empty() => Some(Typed::End),
            0x08 | 0x7f => {
                self.line.pop();
                Some(Typed::Changed)
            }
            // Ctrl-U, Ctrl-W.
            0x15 => {
                self.take_line();
                Some(Typed::Changed)
            }
            0x17 => {
                let kept = self.line.trim_end().rfind(' ').map_or(0, |at| at + 1);
                self.line.truncate(kept);
                Some(Typed::Changed)
            }
            _ => None,
        }
    }

    /// Begins a new line.
    fn take_line(&mut self) -> String {
        self.too_long = false;
        std::mem::take(&mut self.line)
    }

    fn add(&mut self, text: &str) -> Option<Typed> {
        if text.is_empty() || self.too_long {
            return None;
        }
        if self.line.len() + text.len() > LINE_MAX {
            self.too_long = true;
            return Some(Typed::TooLong);
        }
        self.line.push_str(text);
        Some(Typed::Changed)
    }

    fn forget(&mut self) -> Option<Typed> {
        self.held.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(typed: Vec<Typed>) -> Vec<Typed> {
        typed.into_iter().filter(|one| *one != Typed::Changed).collect()
    }

    #[test]
    fn lines_are_edited_and_sent() {
        let mut typing = Typing::default();
        assert_eq!(lines(typing.feed("gö on\x7f\x7ftt\r".as_bytes())), [Typed::Line("gö tt".into())]);
        assert_eq!(lines(typing.feed(b"a b c\x17\x17x\r\r\r")), [Typed::Line("a x".into())]);
        assert_eq!(lines(typing.feed(b"old\x15new\n")), [Typed::Line("new".into())]);
        assert_eq!(lines(typing.feed(b"\x1b[200~one\r\ntwo\x1b[201~\r")), [Typed::Line("one\n\ntwo".into())]);
    }

    #[test]
    fn escape_and_interrupt_stop_and_arrows_do_not() {
        let mut typing = Typing::default();
        assert_eq!(lines(typing.feed(b"half\x03")), [Typed::Stop]);
        assert_eq!(lines(typing.feed(b"\x1b[A\x1bOB\x1b[1;5C\x1bx")), []);
        typing.feed(b"\x1b");
        assert!(typing.is_unsure());
        assert_eq!(typing.settle(), [Typed::Stop]);
        assert_eq!(lines(typing.feed(b"\x04")), [Typed::End]);
        assert_eq!(typing.line(), None);
    }

    #[test]
    fn a_paste_ends_also_behind_an_escape_of_its_own() {
        for (pasted, line) in
            [("a\u{1b}", "a\u{1b}"), ("\u{1b}[20", "\u{1b}[20"), ("é\u{1b}\u{1b}", "é\u{1b}\u{1b}")]
        {
            let mut typing = Typing::default();
            let bytes = [PASTE.0, pasted.as_bytes(), PASTE.1, b"\r"].concat();
            assert_eq!(lines(typing.feed(&bytes)), [Typed::Line(line.into())], "{pasted:?}");
        }
        let mut typing = Typing::default();
        typing.feed(b"\x1b[200~x\x1b");
        assert!(!typing.is_unsure() && typing.settle().is_empty(), "it may be the end of the paste");
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_never_sent_in_part() {
        let mut typing = Typing::default();
        let long = format!("{}é and more", "x".repeat(LINE_MAX - 1));
        assert_eq!(lines(typing.feed(long.as_bytes())), [Typed::TooLong]);
        assert_eq!(lines(typing.feed(b"\x7f\x7fy\rnext\r")), [Typed::Line("next".into())]);
        assert_eq!(lines(typing.feed(long.as_bytes())), [Typed::TooLong]);
        assert_eq!(lines(typing.feed(b"\x15short\r")), [Typed::Line("short".into())]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut typing = Typing::default();
            typing.feed(&bytes);
            prop_assert!(typing.held.len() <= SEQUENCE_MAX + 1);
        }
    }
}
