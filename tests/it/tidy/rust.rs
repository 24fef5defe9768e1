//! Just enough of Rust's lexical grammar to tell code from comments, texts and unit tests.

/// Rust source with the contents of comments and of literals blanked, byte for byte, so that offsets and
/// lines stay.
pub fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = token_end(bytes, at);
        if let Some(end) = end {
            out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
        at = end.unwrap_or(at + 1);
    }
    String::from_utf8(out).expect("whole tokens are blanked")
}

/// The end of the comment or literal that starts at `at`.
fn token_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(find(bytes, at, b"\n").unwrap_or(bytes.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(block_comment_end(bytes, at));
    }
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if !in_word && matches!(rest[0], b'r' | b'b' | b'c') {
        return raw_text_end(bytes, at);
    }
    match rest[0] {
        b'"' => Some(quoted_end(bytes, at + 1, b'"')),
        b'\'' => char_end(bytes, at),
        _ => None,
    }
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
}

fn block_comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// `r"…"`, `r#"…"#`, `br#"…"#`.
fn raw_text_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut open = at;
    while matches!(bytes.get(open), Some(b'r' | b'b' | b'c')) && open < at + 2 {
        open += 1;
    }
    if bytes[open - 1] != b'r' {
        return None;
    }
    let hashes = bytes[open..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(open + hashes) != Some(&b'"') {
        return None;
    }
    let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
    Some(find(bytes, open + hashes + 1, &close).map_or(bytes.len(), |end| end + close.len()))
}

fn quoted_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// A character, which a lifetime is not.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at + 1)?;
    if first == b'\\' {
        return Some(quoted_end(bytes, at + 1, b'\''));
    }
    let width = match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + 2 + width)
}

/// Where the unit tests at the end of a file begin; its length when there are none.
pub fn tests_start(code: &str) -> usize {
    code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len())
}

/// Every place where `name` stands as a whole word.
pub fn words<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        let starts = !before.is_some_and(is_word) || !name.starts_with(is_word);
        let ends = !after.is_some_and(is_word) || !name.ends_with(is_word);
        starts && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank() {
        let source =
            "a // b\nc /* d /* e */ f */ g \"h \\\" i\" j 'k' l '\\'' 'm n r#\"o \" p\"# q b\"r\" 'ä' s";
        let blank = code(source);
        let left: Vec<&str> = blank.split_whitespace().collect();
        assert_eq!(left, ["a", "c", "g", "j", "l", "'m", "n", "q", "b", "s"]);
        assert_eq!(blank.len(), source.len());
        assert_eq!(blank.find('\n'), source.find('\n'));
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("clap clap_x xclap clap::y", "clap").collect::<Vec<_>>(), [0, 18]);
        assert_eq!(words("dbg!(x) a.dbg", "dbg!").count(), 1);
    }
}
