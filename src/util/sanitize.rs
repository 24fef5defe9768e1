//! The one sanitiser. Text from others (records, names, output, errors) goes through here before it reaches
//! a terminal or a log line: control and direction-changing characters are shown, never sent.

use std::borrow::Cow;

fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{00}'..='\u{08}' | '\u{0b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn replace(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    // Most text is plain, which is quickly seen.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Text that may span lines: newline and tab stay, every other control character, zero-width and
/// direction-changing character becomes `\u{..}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    replace(text, is_hidden)
}

/// Text for one line of a table or a log: as [`visible`], with newline and tab shown as well.
pub fn visible_line(text: &str) -> Cow<'_, str> {
    replace(text, |c| is_hidden(c) || c == '\n' || c == '\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_shown() {
        assert_eq!(visible("a\u{1b}[31mb\u{202e}\tc\n"), "a\\u{1b}[31mb\\u{202e}\tc\n");
        assert_eq!(visible_line("a\nb"), "a\\u{a}b");
        assert!(matches!(visible("plain äöü 漢字"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_twice_is_once(text in any::<String>()) {
            let once = visible_line(&text).into_owned();
            prop_assert!(!once.chars().any(|c| is_hidden(c) || c.is_control()));
            prop_assert_eq!(visible_line(&once), once.as_str());
        }
    }
}
