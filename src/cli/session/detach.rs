//! Finds the keys that leave an attached session running in what is typed.

use crate::config::{DetachKey as Key, detach_keys};
use crate::util::visible_line;

/// The value of a key with Ctrl, as a modifier of the longer forms (1 and this).
const CTRL: u16 = 4;

/// Modifiers that say nothing: caps lock, num lock.
const LOCKS: u16 = 64 | 128;

impl Key {
    /// The byte that a terminal sends for it.
    fn byte(self) -> u8 {
        if self.ctrl { self.code & 0x1f } else { self.code }
    }

    /// Whether `bytes` begin with it: as its byte, or in one of the longer forms that programs switch on. Returns how
    /// many bytes it took.
    fn at(self, bytes: &[u8]) -> Option<usize> {
        if bytes.first() == Some(&self.byte()) {
            return Some(1);
        }
        let body = bytes.strip_prefix(b"\x1b[")?;
        let len = body.iter().position(|byte| (0x40..=0x7e).contains(byte))?;
        let text = std::str::from_utf8(&body[..len]).ok()?;
        let mut fields = text.split(';').map(|field| field.split(':').map(|part| part.parse::<u16>().ok()));
        let mut field = || fields.next().map(|mut parts| (parts.next().flatten(), parts.next().flatten()));
        let (code, mods, pressed) = match body[len] {
            b'u' => {
                let (code, _) = field()?;
                let (mods, event) = field().unwrap_or_default();
                // A key that is let go was pressed before.
                (code?, mods.unwrap_or(1), event != Some(3))
            }
            b'~' => {
                let (kind, _) = field()?;
                let (mods, _) = field()?;
                let (code, _) = field()?;
                (code?, mods?, kind == Some(27))
            }
            _ => return None,
        };
        let mods = mods.saturating_sub(1) & !LOCKS;
        let same = code == u16::from(self.code) && mods == if self.ctrl { CTRL } else { 0 };
        (same && pressed).then_some(len + 3)
    }
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub struct Detach {
    keys: Vec<Key>,
    /// As the setting names them.
    name: String,
    /// How many of them were pressed, and the bytes they came as.
    pressed: usize,
    held: Vec<u8>,
}

impl Detach {
    /// The keys as the setting names them: `ctrl-\`, `ctrl-a d`.
    pub fn new(text: &str) -> Result<Self, String> {
        let keys = detach_keys(text)
            .ok_or_else(|| format!("session.detach_key is `{}`, which names no keys", visible_line(text)))?;
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { keys, name, pressed: 0, held: Vec::new() })
    }

    /// The keys, for people.
    pub fn keys(&self) -> &str {
        &self.name
    }

    /// What goes to the session of what was typed, and whether the user leaves it.
    pub fn split(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut typed = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            if let Some(len) = self.keys[self.pressed].at(&bytes[at..]) {
                self.held.extend_from_slice(&bytes[at..at + len]);
                at += len;
                self.pressed += 1;
                if self.pressed == self.keys.len() {
                    (self.pressed, self.held) = (0, Vec::new());
                    return (typed, true);
                }
            } else if self.pressed > 0 {
                // Something else: they were meant for the session, and it may be the first of them.
                self.pressed = 0;
                typed.append(&mut self.held);
            } else {
                typed.push(bytes[at]);
                at += 1;
            }
        }
        (typed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_leaves_in_every_form_a_terminal_has_for_it() {
        for typed in ["a\x1cb", "a\x1b[92;5ub", "a\x1b[92;133u", "a\x1b[92;5:1u", "a\x1b[27;5;92~"] {
            let mut detach = Detach::new("ctrl-\\").unwrap();
            assert_eq!(detach.split(typed.as_bytes()), (b"a".to_vec(), true), "{typed:?}");
        }
        for typed in ["\\", "\x1b[92u", "\x1b[92;5:3u", "\x1b[97;5u", "\x1b[A", "\x1b", "\x1b[27;5", "\x1b[~"]
        {
            let mut detach = Detach::new("C-\\").unwrap();
            assert_eq!(detach.split(typed.as_bytes()), (typed.as_bytes().to_vec(), false), "{typed:?}");
        }
    }

    #[test]
    fn keys_one_after_the_other_leave_and_reach_the_session_otherwise() {
        let mut detach = Detach::new("ctrl-a d").unwrap();
        assert_eq!(detach.split(b"x\x01"), (b"x".to_vec(), false));
        assert_eq!(detach.split(b"dy"), (Vec::new(), true));
        assert_eq!(detach.split(b"\x01c"), (b"\x01c".to_vec(), false));
        assert_eq!(detach.split(b"\x01\x01d"), (b"\x01".to_vec(), true));
    }
}
