//! What operating system commands say: titles, notices, the marks of a shell's prompt.
//!
//! All of it is text from a program: it is cut, and control characters are shown, before it goes anywhere.

use crate::util::visible_line;

/// Longest title, in characters.
const TITLE_MAX: usize = 256;

/// Longest text of a notice, in characters.
const BODY_MAX: usize = 1024;

/// Something that a program wants a person to see. A bell has neither title nor body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::session) struct Notice {
    /// What it is about.
    pub title: String,
    /// What it says.
    pub body: String,
}

/// At most `max` characters of a text from others, visible and without blank ends.
pub(in crate::session) fn bounded(text: &str, max: usize) -> String {
    let cut: String = text.trim().chars().take(max).collect();
    visible_line(&cut).chars().take(max).collect()
}

fn text(bytes: &[u8], max: usize) -> String {
    bounded(&String::from_utf8_lossy(bytes), max)
}

/// A title of a session, from others: cut and visible; `None` when there is nothing in it.
pub(in crate::session) fn title(text: &str) -> Option<String> {
    Some(bounded(text, TITLE_MAX)).filter(|title| !title.is_empty())
}

/// Reads `ESC ]` and its text: a title, which is empty where the old one is taken back, a notice, whether a command began.
pub(super) fn read(string: &[u8]) -> (Option<String>, Option<Notice>, Option<bool>) {
    let command = string.get(2..).unwrap_or_default();
    let (number, rest) = match memchr::memchr(b';', command) {
        Some(at) => (&command[..at], &command[at + 1..]),
        None => (command, &b""[..]),
    };
    match number {
        b"0" | b"2" => (Some(bounded(&String::from_utf8_lossy(rest), TITLE_MAX)), None, None),
        // ConEmu's progress (`4;…`) and its other numbered commands are none.
        b"9" if !(rest.len() > 1 && rest[1] == b';' && rest[0].is_ascii_digit()) => {
            (None, notice(&[], rest), None)
        }
        b"777" => match rest.strip_prefix(b"notify;") {
            Some(rest) => {
                let at = memchr::memchr(b';', rest).unwrap_or(rest.len());
                (None, notice(&rest[..at], rest.get(at + 1..).unwrap_or_default()), None)
            }
            None => (None, None, None),
        },
        b"133" => match rest.first() {
            Some(b'C') => (None, None, Some(true)),
            Some(b'A' | b'D') => (None, None, Some(false)),
            _ => (None, None, None),
        },
        _ => (None, None, None),
    }
}

fn notice(title: &[u8], body: &[u8]) -> Option<Notice> {
    let notice = Notice { title: text(title, TITLE_MAX), body: text(body, BODY_MAX) };
    (notice != Notice::default()).then_some(notice)
}
