//! What a session has done to the terminal that shows it, and what undoes it.
//!
//! Invariant: sequences are followed whatever pieces they come in; what is kept of one is bounded.

const ESCAPE: u8 = 0x1b;

/// Longest sequence that is followed, in bytes; those that switch something are short.
const SEQUENCE_MAX: usize = 64;

/// Private modes that are off on a terminal as a shell expects it: cursor keys, reverse video, origin, focus, mouse,
/// bracketed paste, held drawing, and what terminals tell by themselves.
const OFF: [u16; 17] =
    [1, 5, 6, 9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 2048];

/// Those that are on: wrapping, the cursor.
const ON: [u16; 2] = [7, 25];

/// Those that show the alternate screen.
const ALTERNATE: [u16; 3] = [47, 1047, 1049];

/// No mouse, no bracketed paste, normal keys, a visible cursor, no colours.
pub(super) const PLAIN: &[u8] =
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[?25h\x1b[0m";

/// What a session may have left a terminal in.
#[derive(Debug, Default)]
pub(super) struct Modes {
    /// A sequence that has begun.
    sequence: Vec<u8>,
    changed: bool,
    alternate: bool,
    /// Of [`OFF`] and [`ON`], those that are not as a shell expects them.
    odd: Vec<u16>,
    /// What else was switched.
    others: Vec<Other>,
}

/// Something that is no private mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    /// Lines scroll in a part of the screen alone.
    Region,
    /// Text moves what is behind it.
    Inserting,
    /// The cursor has another shape.
    Shape,
    /// Letters are lines.
    Drawing,
    /// Keys are told in kitty's way.
    Keyboard,
    /// Keys are told in xterm's longer way.
    XtermKeys,
}

impl Other {
    fn undo(self) -> &'static [u8] {
        match self {
            // It moves the cursor to the top.
            Self::Region => b"\x1b[r\x1b[999;1H",
            Self::Inserting => b"\x1b[4l",
            Self::Shape => b"\x1b[0 q",
            Self::Drawing => b"\x0f\x1b(B",
            Self::Keyboard => b"\x1b[<99u\x1b[=0u",
            Self::XtermKeys => b"\x1b[>4;0m",
        }
    }
}

impl Modes {
    /// Looks at bytes that are shown.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        loop {
            if self.sequence.is_empty() {
                let Some(at) = memchr::memchr(ESCAPE, bytes) else { return };
                self.changed = true;
                self.sequence.push(ESCAPE);
                bytes = &bytes[at + 1..];
            }
            let Some((byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            self.take(*byte);
        }
    }

    /// One byte of a sequence.
    fn take(&mut self, byte: u8) {
        if byte == ESCAPE {
            // The one before is broken off.
            self.sequence.truncate(1);
            return;
        }
        self.sequence.push(byte);
        let whole = match self.sequence.as_slice() {
            [_, b'[', .., last] if self.sequence.len() > 2 => (0x40..=0x7e).contains(last),
            [_, b'['] => false,
            [_, last] => !(0x20..=0x2f).contains(last),
            _ => (0x30..=0x7e).contains(&byte),
        };
        if whole {
            let sequence = std::mem::take(&mut self.sequence);
            self.note(&sequence[1..]);
        } else if self.sequence.len() >= SEQUENCE_MAX {
            self.sequence.clear();
        }
    }

    fn note(&mut self, sequence: &[u8]) {
        match sequence {
            b"c" => *self = Self { changed: true, ..Self::default() },
            b"(0" | b")0" => self.other(Other::Drawing, true),
            b"(B" => self.other(Other::Drawing, false),
            b"[!p" => {
                self.odd.retain(|mode| !matches!(mode, 1 | 6 | 7 | 25));
                self.other(Other::Region, false);
                self.other(Other::Inserting, false);
            }
            [b'[', b'?', numbers @ .., end @ (b'h' | b'l')] => {
                for mode in numbers.split(|byte| *byte == b';').filter_map(number) {
                    self.private(mode, *end == b'h');
                }
            }
            b"[4h" | b"[4l" => self.other(Other::Inserting, sequence.ends_with(b"h")),
            [b'[', b'>' | b'=', .., b'u'] => self.other(Other::Keyboard, true),
            [b'[', b'>', b'4', .., b'm'] => self.other(Other::XtermKeys, sequence.contains(&b';')),
            [b'[', b'?' | b'>' | b'<' | b'=', ..] => {}
            [b'[', .., b' ', b'q'] => self.other(Other::Shape, true),
            b"[r" => self.other(Other::Region, false),
            [b'[', .., b'r'] => self.other(Other::Region, true),
            _ => {}
        }
    }

    fn other(&mut self, other: Other, on: bool) {
        self.others.retain(|known| *known != other);
        if on {
            self.others.push(other);
        }
    }

    fn private(&mut self, mode: u16, on: bool) {
        if ALTERNATE.contains(&mode) {
            self.alternate = on;
        }
        if (OFF.contains(&mode) && on) || (ON.contains(&mode) && !on) {
            if !self.odd.contains(&mode) {
                self.odd.push(mode);
            }
        } else {
            self.odd.retain(|odd| *odd != mode);
        }
    }

    /// What brings a terminal back that a shell expects.
    pub fn undo(&self) -> Vec<u8> {
        if !self.changed {
            return Vec::new();
        }
        // Ends what is not whole: it would swallow what follows.
        let mut out = b"\x1b\\".to_vec();
        if self.alternate {
            out.extend_from_slice(b"\x1b[?1049l");
        }
        for mode in &self.odd {
            let end = if ON.contains(mode) { 'h' } else { 'l' };
            out.extend_from_slice(format!("\x1b[?{mode}{end}").as_bytes());
        }
        for other in &self.others {
            out.extend_from_slice(other.undo());
        }
        out.extend_from_slice(PLAIN);
        out
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undo(text: &str) -> String {
        let mut whole = Modes::default();
        whole.follow(text.as_bytes());
        let mut pieces = Modes::default();
        for byte in text.as_bytes().chunks(1) {
            pieces.follow(byte);
        }
        assert_eq!(whole.undo(), pieces.undo(), "{text:?}");
        String::from_utf8(whole.undo()).unwrap().trim_start_matches("\x1b\\").to_owned()
    }

    #[test]
    fn a_terminal_comes_back_as_a_shell_expects_it() {
        let plain = std::str::from_utf8(PLAIN).unwrap();
        assert_eq!(undo("plain"), "");
        assert_eq!(undo("\x1b[1mbold"), plain);
        assert!(undo("\x1b[?1049htext").starts_with("\x1b[?1049l"));
        assert!(undo("\x1b[?25;1049htext").contains("\x1b[?1049l"));
        assert_eq!(undo("\x1b[?1049htext\x1b[?1049l"), plain);
        assert_eq!(undo("\x1b[?1004;2026hx\x1b[?2026l"), format!("\x1b[?1004l{plain}"));
        assert_eq!(undo("\x1b[?7l"), format!("\x1b[?7h{plain}"));
        assert_eq!(undo("\x1b[2;9r"), format!("\x1b[r\x1b[999;1H{plain}"));
        assert_eq!(undo("\x1b[2;9r\x1b[r\x1b[?1;2r"), plain);
        assert!(undo("\x1b[>1u").contains("\x1b[<99u"));
        assert_eq!(undo("\x1b[6 q"), format!("\x1b[0 q{plain}"));
        assert_eq!(undo("\x1b[?1049h\x1b[2;3r\x1b[4h\x1bc"), plain);
    }

    #[test]
    fn a_long_string_is_not_kept() {
        let mut modes = Modes::default();
        modes.follow(b"\x1b[");
        modes.follow(&vec![b'1'; 100_000]);
        assert!(modes.sequence.len() <= SEQUENCE_MAX);
    }
}
