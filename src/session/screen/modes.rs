//! Modes of the terminal that `vt100` does not know and a viewer needs: line drawing, wrapping, focus, the keyboard's.

use std::borrow::Cow;
use std::fmt::Write;

use super::sequence::number;

/// Private modes that are told to a viewer when the program has changed them.
const PRIVATE: [u16; 9] = [5, 7, 45, 1004, 1007, 1015, 1016, 2031, 2048];

/// Deepest stack of keyboard modes.
const KEYBOARD_MAX: usize = 16;

/// What `ESC ( 0` makes of the characters from 0x5f to 0x7e.
const LINE_DRAWING: [char; 32] = [
    ' ', '◆', '▒', '␉', '␌', '␍', '␊', '°', '±', '␤', '␋', '┘', '┐', '┌', '└', '┼', '⎺', '⎻', '─', '⎼', '⎽',
    '├', '┤', '┴', '┬', '│', '≤', '≥', 'π', '≠', '£', '·',
];

/// What the program asked for.
#[derive(Debug, Default)]
pub(super) struct Modes {
    /// Of [`PRIVATE`], what was set or reset last.
    private: [Option<bool>; PRIVATE.len()],
    insert: bool,
    /// Whether the two character sets are line drawing, and whether the second one is in use.
    drawing: [bool; 2],
    shifted: bool,
    /// Flags of kitty's keyboard protocol, the newest last.
    keyboard: Vec<u16>,
    /// Xterm's `modifyOtherKeys`.
    other_keys: Option<u16>,
}

impl Modes {
    /// Looks at a whole sequence.
    pub fn note(&mut self, sequence: &[u8]) {
        match sequence {
            [0x1b, b'(', set] => self.drawing[0] = *set == b'0',
            [0x1b, b')', set] => self.drawing[1] = *set == b'0',
            [0x1b, b'[', b'?', numbers @ .., end @ (b'h' | b'l')] => self.private(numbers, *end == b'h'),
            b"\x1b[4h" | b"\x1b[4l" => self.insert = sequence.ends_with(b"h"),
            b"\x1b[!p" => *self = Self { keyboard: std::mem::take(&mut self.keyboard), ..Self::default() },
            [0x1b, b'[', sign @ (b'>' | b'<' | b'='), numbers @ .., b'u'] => self.keys(*sign, numbers),
            [0x1b, b'[', b'>', numbers @ .., b'm'] => {
                let mut numbers = numbers.split(|byte| *byte == b';').map(number);
                if numbers.next() == Some(4) {
                    self.other_keys = numbers.next().filter(|value| *value != 0);
                }
            }
            _ => {}
        }
    }

    fn private(&mut self, numbers: &[u8], on: bool) {
        for wanted in numbers.split(|byte| *byte == b';').map(number) {
            if let Some(at) = PRIVATE.iter().position(|known| *known == wanted) {
                self.private[at] = Some(on);
            }
        }
    }

    fn keys(&mut self, sign: u8, numbers: &[u8]) {
        let mut numbers = numbers.split(|byte| *byte == b';').map(number);
        let first = numbers.next().unwrap_or(0);
        match sign {
            b'>' => {
                if self.keyboard.len() == KEYBOARD_MAX {
                    self.keyboard.remove(0);
                }
                self.keyboard.push(first);
            }
            b'<' => {
                let left = self.keyboard.len().saturating_sub(usize::from(first.max(1)));
                self.keyboard.truncate(left);
            }
            _ => {
                let now = self.keyboard.pop().unwrap_or(0);
                self.keyboard.push(match numbers.next() {
                    Some(2) => now | first,
                    Some(3) => now & !first,
                    _ => first,
                });
            }
        }
    }

    /// The text as it is drawn, where that is something else.
    pub fn translate<'t>(&mut self, text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
        if self.drawing == [false; 2] && !self.shifted {
            return None;
        }
        let mut out = Vec::with_capacity(text.len() * 2);
        for byte in text {
            match byte {
                0x0e => self.shifted = true,
                0x0f => self.shifted = false,
                0x5f..0x7f if self.drawing[usize::from(self.shifted)] => {
                    let drawn = LINE_DRAWING[usize::from(byte - 0x5f)];
                    out.extend_from_slice(drawn.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => out.push(*byte),
            }
        }
        Some(Cow::Owned(out))
    }

    /// Whether text goes on in the next row where it does not fit.
    pub fn wraps(&self) -> bool {
        let wrap = PRIVATE.iter().position(|mode| *mode == 7);
        wrap.is_none_or(|at| self.private[at] != Some(false))
    }

    /// Whether text moves what stands there to the right.
    pub fn inserts(&self) -> bool {
        self.insert
    }

    /// Whether text is drawn as it is.
    pub fn is_plain(&self) -> bool {
        self.drawing == [false; 2] && !self.shifted
    }

    /// What brings a terminal in its first state into these modes.
    pub fn write(&self, out: &mut String) {
        let known = PRIVATE.iter().zip(self.private);
        for (mode, on) in known.filter_map(|(mode, on)| Some((mode, on?))) {
            let _ = write!(out, "\x1b[?{mode}{}", if on { 'h' } else { 'l' });
        }
        if self.insert {
            out.push_str("\x1b[4h");
        }
        for flags in &self.keyboard {
            let _ = write!(out, "\x1b[>{flags}u");
        }
        if let Some(value) = self.other_keys {
            let _ = write!(out, "\x1b[>4;{value}m");
        }
        for (set, _) in ["\x1b(0", "\x1b)0"].iter().zip(self.drawing).filter(|(_, on)| *on) {
            out.push_str(set);
        }
        if self.shifted {
            out.push('\x0e');
        }
    }
}
