//! Output of the past, or of another machine: everything but the questions that programs asked their terminal. The
//! terminal of here and now would answer, and the answers would be typed into the wrong place.

/// Longest sequence that is looked at, in bytes; a longer one is shown as it is.
const SEQUENCE_MAX: usize = 4096;

/// Asks a terminal for its name.
const ENQUIRY: u8 = 0x05;
const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// Leaves out the questions of a stream, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct Replay {
    /// A sequence that has begun.
    sequence: Vec<u8>,
    /// What reaches beyond the text is left out, too.
    foreign: bool,
}

impl Replay {
    /// For output of another machine: it sets neither this terminal's clipboard nor its title.
    pub fn of_another_machine() -> Self {
        Self { foreign: true, ..Self::default() }
    }

    /// What of `bytes` is to be shown, with what was held back before.
    pub fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            match (self.sequence.is_empty(), byte) {
                (true, ESCAPE) => self.sequence.push(byte),
                (true, ENQUIRY) => {}
                (true, _) => shown.push(byte),
                (false, _) => {
                    self.sequence.push(byte);
                    if is_whole(&self.sequence) || self.sequence.len() >= SEQUENCE_MAX {
                        let sequence = std::mem::take(&mut self.sequence);
                        if !(is_question(&sequence) || self.foreign && reaches_out(&sequence)) {
                            shown.extend_from_slice(&sequence);
                        }
                    }
                }
            }
        }
        shown
    }

    /// The beginning of a sequence that was held back.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sequence)
    }
}

/// Whether nothing more belongs to a sequence that begins with ESC.
fn is_whole(sequence: &[u8]) -> bool {
    match sequence {
        [_, b'[', .., last] if sequence.len() > 2 => (0x40..=0x7e).contains(last),
        // Strings end with BEL or ESC \.
        [_, b']' | b'P' | b'X' | b'^' | b'_', rest @ ..] => {
            rest.ends_with(&[BELL]) || rest.ends_with(&[ESCAPE, b'\\'])
        }
        [_, b'['] => false,
        [_, last] => !(0x20..=0x2f).contains(last),
        [_, .., last] => (0x30..=0x7e).contains(last),
        _ => false,
    }
}

/// Whether a terminal answers it.
fn is_question(sequence: &[u8]) -> bool {
    match sequence {
        [_, b'[', body @ .., last] => is_report(body, *last),
        [_, b']', body @ ..] => memchr::memmem::find(body, b";?").is_some(),
        [_, b'P', b'+' | b'$', b'q', ..] | [_, b'Z'] => true,
        _ => false,
    }
}

/// Whether it sets the title or the clipboard of the terminal.
fn reaches_out(sequence: &[u8]) -> bool {
    let [_, b']', body @ ..] = sequence else { return false };
    let number = body.split(|byte| !byte.is_ascii_digit()).next().unwrap_or_default();
    matches!(number, b"0" | b"1" | b"2" | b"52")
}

/// Whether a control sequence asks: for attributes, positions, modes, window facts, the version, key modes.
fn is_report(body: &[u8], last: u8) -> bool {
    let first = || std::str::from_utf8(body).ok()?.split(';').next()?.parse::<u16>().ok();
    match last {
        b'c' | b'n' | b'x' => true,
        b'p' => body.ends_with(b"$"),
        b't' => first().is_some_and(|operation| (11..=21).contains(&operation)),
        b'q' => body.starts_with(b">"),
        b'u' => body.starts_with(b"?"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replay(text: &str, piece: usize) -> String {
        let mut replay = Replay::default();
        let mut shown = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            shown.extend(replay.filter(piece));
        }
        shown.extend(replay.rest());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn questions_are_left_out_and_nothing_else() {
        let questions = [
            "\x1b[c",
            "\x1b[0c",
            "\x1b[>c",
            "\x1b[=c",
            "\x1b[5n",
            "\x1b[6n",
            "\x1b[?6n",
            "\x1b[?2026$p",
            "\x1b[18t",
            "\x1b[>q",
            "\x1b[?u",
            "\x1b]10;?\x07",
            "\x1b]52;c;?\x1b\\",
            "\x1bP+q544e\x1b\\",
            "\x1bP$qm\x1b\\",
            "\x05",
            "\x1bZ",
        ];
        let others = [
            "plain ä",
            "\x1b[31m",
            "\x1b[?1049h",
            "\x1b[2 q",
            "\x1b[22;0t",
            "\x1b]0;title\x07",
            "\x1b]8;;http://x/?a\x1b\\",
            "\x1b(B",
            "\x1b=",
            "\x1b7",
            "\x1b[!p",
            "\x1b[u",
        ];
        for piece in [1, 2, 3, 64] {
            for question in questions {
                assert_eq!(replay(&format!("a{question}b"), piece), "ab", "{question:?}");
            }
            for other in others {
                assert_eq!(replay(&format!("a{other}b"), piece), format!("a{other}b"));
            }
        }
        assert_eq!(replay("a\x1b[3", 1), "a\x1b[3");
    }

    #[test]
    fn another_machine_sets_neither_title_nor_clipboard() {
        let mut replay = Replay::of_another_machine();
        for foreign in ["\x1b]0;title\x07", "\x1b]2;t\x1b\\", "\x1b]52;c;aGk=\x07"] {
            assert_eq!(replay.filter(format!("a{foreign}b").as_bytes()), b"ab", "{foreign:?}");
        }
        let link = b"\x1b]8;;http://x/\x1b\\";
        assert_eq!(replay.filter(link), link);
    }

    proptest! {
        #[test]
        fn plain_text_comes_through(text in "[^\u{1b}\u{5}]{0,200}", piece in 1usize..7) {
            prop_assert_eq!(replay(&text, piece), text);
        }
    }
}
