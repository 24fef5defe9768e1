//! What kind of text a file holds, and cutting text to a bound.

/// Bytes at the beginning of a file that tell its kind.
pub const HEAD: usize = 8 * 1024;

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text in UTF-8, or in something near to it.
    Text,
    /// Text in UTF-16, with its byte order.
    Utf16 {
        /// Whether the high byte comes first.
        big: bool,
    },
    /// No text.
    Binary,
}

/// The kind of a file that begins with these bytes.
pub fn kind(head: &[u8]) -> Kind {
    match head {
        [0xff, 0xfe, ..] => Kind::Utf16 { big: false },
        [0xfe, 0xff, ..] => Kind::Utf16 { big: true },
        _ if memchr::memchr(0, &head[..head.len().min(HEAD)]).is_some() => Kind::Binary,
        _ => Kind::Text,
    }
}

/// Text in UTF-16 behind its byte order mark; what is no text becomes `\u{fffd}`.
pub fn from_utf16(bytes: &[u8], big: bool) -> String {
    let unit = |pair: &[u8; 2]| if big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
    let (pairs, _) = bytes.get(2..).unwrap_or_default().as_chunks();
    char::decode_utf16(pairs.iter().map(unit)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// The first `most` characters of a line; a mark where some are missing.
pub fn cut(line: &str, most: usize) -> String {
    match line.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

/// How many lines a text has; one that the last line break is missing of counts.
pub fn line_count(text: &[u8]) -> usize {
    let breaks = memchr::memchr_iter(b'\n', text).count();
    breaks + usize::from(text.last().is_some_and(|last| *last != b'\n'))
}

/// `1 line`, `5 lines`.
pub fn count(number: usize, of: &str) -> String {
    if number == 1 { format!("1 {of}") } else { format!("{number} {of}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_first_bytes() {
        assert_eq!(kind(b""), Kind::Text);
        assert_eq!(kind("grün".as_bytes()), Kind::Text);
        assert_eq!(kind(b"gr\xfcn"), Kind::Text);
        assert_eq!(kind(b"\x7fELF\0"), Kind::Binary);
        assert_eq!(kind(b"\xff\xfea\0"), Kind::Utf16 { big: false });
        assert_eq!(from_utf16(b"\xff\xfea\0\xe4\0", false), "aä");
        assert_eq!(from_utf16(b"\xfe\xff\xd8\0\0a\0", true), "\u{fffd}a");
    }

    #[test]
    fn lines_are_cut_between_characters_and_counted() {
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(
            [line_count(b""), line_count(b"a"), line_count(b"a\n"), line_count(b"a\nb")],
            [0, 1, 1, 2]
        );
    }
}
