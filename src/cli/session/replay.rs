//! Output of the past: everything but the questions that programs asked their terminal. The terminal of here and now
//! would answer, and the answers would be typed into the wrong place. And output of another machine, without what
//! reaches beyond the text.

/// Longest sequence that is held until it is whole, in bytes. What is longer is shown as it comes, unless it reaches out.
const SEQUENCE_MAX: usize = 4096;

/// Asks a terminal for its name.
const ENQUIRY: u8 = 0x05;
const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;
/// Both end a sequence before it is whole.
const CANCEL: u8 = 0x18;
const SUBSTITUTE: u8 = 0x1a;
/// The first byte of the control characters above ASCII, as UTF-8. Some terminals take them for sequences.
const HIGH_CONTROL: u8 = 0xc2;

/// Leaves sequences out of a stream, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct Replay {
    /// A sequence that has begun.
    sequence: Vec<u8>,
    /// What reaches beyond the text is left out, too.
    foreign: bool,
    /// The rest of a sequence that was too long to be held is left out.
    dropping: bool,
}

impl Replay {
    /// For output of another machine: it sets neither this terminal's clipboard nor its title.
    pub fn of_another_machine() -> Self {
        Self { foreign: true, ..Self::default() }
    }

    /// Whether something is left out also of what comes now.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// What of `bytes` is to be shown, with what was held back before; of the past, without questions.
    pub fn filter(&mut self, bytes: &[u8], of_past: bool) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.take(byte, of_past, &mut shown);
        }
        shown
    }

    fn take(&mut self, byte: u8, of_past: bool, shown: &mut Vec<u8>) {
        if self.dropping {
            self.dropping = !matches!(byte, BELL | CANCEL | SUBSTITUTE | ESCAPE);
            if byte != ESCAPE {
                return;
            }
        }
        let is_aborted = match (self.sequence.first(), self.sequence.last()) {
            (None, _) => {
                match byte {
                    ESCAPE => self.sequence.push(byte),
                    HIGH_CONTROL if self.foreign => self.sequence.push(byte),
                    ENQUIRY if of_past => {}
                    _ => shown.push(byte),
                }
                return;
            }
            (Some(&HIGH_CONTROL), _) => {
                let held = std::mem::take(&mut self.sequence);
                if !(0x80..=0x9f).contains(&byte) {
                    shown.extend_from_slice(&held);
                    self.take(byte, of_past, shown);
                }
                return;
            }
            // Within a string, ESC begins its end, or another sequence.
            (_, Some(&ESCAPE)) if self.sequence.len() > 1 => byte != b'\\',
            _ => byte == ESCAPE && !is_string(&self.sequence),
        };
        if is_aborted {
            let begun = self.sequence.last() == Some(&ESCAPE);
            self.sequence.truncate(self.sequence.len() - usize::from(begun));
            self.end(of_past, shown);
            if begun {
                self.sequence.push(ESCAPE);
            }
        }
        self.sequence.push(byte);
        if is_whole(&self.sequence) || matches!(byte, CANCEL | SUBSTITUTE) {
            self.end(of_past, shown);
        } else if self.sequence.len() >= SEQUENCE_MAX {
            self.dropping = self.foreign && reaches_out(&self.sequence);
            self.end(of_past, shown);
        }
    }

    /// The sequence is over: it is shown, or left out.
    fn end(&mut self, of_past: bool, shown: &mut Vec<u8>) {
        let sequence = std::mem::take(&mut self.sequence);
        if !(of_past && is_question(&sequence) || self.foreign && reaches_out(&sequence)) {
            shown.extend_from_slice(&sequence);
        }
    }

    /// The beginning of a sequence that was held back.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sequence)
    }
}

/// Whether it is one of those that go on until they are ended.
fn is_string(sequence: &[u8]) -> bool {
    matches!(sequence, [_, b']' | b'P' | b'X' | b'^' | b'_', ..])
}

/// Whether nothing more belongs to a sequence that begins with ESC.
fn is_whole(sequence: &[u8]) -> bool {
    match sequence {
        [_, b'[', .., last] if sequence.len() > 2 => (0x40..=0x7e).contains(last),
        // Strings end with BEL or ESC \.
        [_, _, rest @ ..] if is_string(sequence) => {
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
            shown.extend(replay.filter(piece, true));
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
        let long = format!("\x1b]52;c;{}\x07", "A".repeat(3 * SEQUENCE_MAX));
        let hidden = "\x1b]9;x\x1b]52;c;aGk=\x07";
        let foreign = ["\x1b]0;title\x07", "\x1b]2;t\x1b\\", "\x1b]52;c;aGk=\x07", "\u{9d}", &long];
        for piece in [1, 2, 5, 100_000] {
            let filtered = |text: &str| {
                let mut replay = Replay::of_another_machine();
                let pieces = text.as_bytes().chunks(piece);
                String::from_utf8(pieces.flat_map(|piece| replay.filter(piece, false)).collect()).unwrap()
            };
            for foreign in foreign {
                assert_eq!(filtered(&format!("a{foreign}b")), "ab", "{foreign:?}");
            }
            // A terminal takes the second one for a sequence of its own.
            assert_eq!(filtered(&format!("a{hidden}b")), "a\x1b]9;xb");
            assert_eq!(filtered("a\x1b[1\x1b]52;c;aGk=\x07b"), "a\x1b[1b");
            for kept in ["\x1b]8;;http://x/\x1b\\", "\x1b[6n", "\u{e9}\u{a0}\u{e4}", "\x1b]8;;\x18c", "\x05"]
            {
                assert_eq!(filtered(&format!("a{kept}b")), format!("a{kept}b"));
            }
        }
    }

    proptest! {
        #[test]
        fn plain_text_comes_through(text in "[^\u{1b}\u{5}]{0,200}", piece in 1usize..7) {
            prop_assert_eq!(replay(&text, piece), text);
        }
    }
}
