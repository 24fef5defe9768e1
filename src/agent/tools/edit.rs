//! Exact edits of a text: all of them or none, and a miss that says where the place may be.
//!
//! Invariant: bytes outside of what matched stay as they are, whatever encoding they are in. Not here: files.

use std::ops::Range;

use memchr::memmem;
use serde::Deserialize;

use super::{near, text};

/// Most edits of a call.
pub const EDITS_MAX: usize = 200;

/// Largest text that is edited, and that edits may make, in bytes.
pub const TEXT_MAX: usize = 16 * 1024 * 1024;

/// Places that are told of with their lines.
const CHANGES_MAX: usize = 20;

/// Places of an ambiguous text that are named.
const PLACES_NAMED: usize = 8;

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Edit {
    /// What is there.
    #[serde(alias = "old", alias = "old_text", alias = "oldText")]
    pub old_string: String,
    /// What will be there.
    #[serde(alias = "new", alias = "new_text", alias = "newText")]
    pub new_string: String,
    /// Whether every place is replaced.
    #[serde(default)]
    pub replace_all: bool,
}

/// A text after its edits.
#[derive(Debug, PartialEq, Eq)]
pub struct Edited {
    /// The text.
    pub bytes: Vec<u8>,
    /// What was replaced at the first places.
    pub changes: Vec<Change>,
    /// How many places were replaced.
    pub places: usize,
}

/// One place that was replaced.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Its first line in the text as it was before this edit, from 1.
    pub line: usize,
    /// The lines it touched, before and after.
    pub old: String,
    /// See `old`.
    pub new: String,
}

/// Makes `edits` one after the other; the error says which one can't be made and why.
pub fn apply(text: &[u8], edits: &[Edit]) -> Result<Edited, String> {
    if edits.is_empty() {
        return Err("`edits` is empty; give at least one".into());
    }
    if edits.len() > EDITS_MAX {
        return Err(format!("more than {EDITS_MAX} edits; make them in several calls, or use `write`"));
    }
    let crlf = is_crlf(text);
    let mut bytes = text.to_vec();
    let (mut changes, mut all) = (Vec::new(), 0);
    for (number, edit) in edits.iter().enumerate() {
        let name = if edits.len() == 1 {
            "old_string".to_owned()
        } else {
            format!("old_string of edit {}", number + 1)
        };
        let wrong = |why: String| {
            let others = if edits.len() == 1 { "" } else { "\nNone of the edits was made." };
            format!("{name} {why}{others}")
        };
        // A model that is shown lines does not see how they end.
        let (old, new) = if crlf {
            (to_crlf(&edit.old_string), to_crlf(&edit.new_string))
        } else {
            (edit.old_string.clone(), edit.new_string.clone())
        };
        if old.is_empty() {
            return Err(wrong("is empty; to make or replace a whole file use `write`".into()));
        }
        if old == new {
            return Err(wrong("is the same as new_string; there is nothing to change".into()));
        }
        let finder = memmem::Finder::new(&old);
        // There may be millions of them: they are counted, and kept nowhere.
        let count = finder.find_iter(&bytes).count();
        match count {
            0 => return Err(wrong(near::miss(&bytes, &old))),
            _ if edit.replace_all => {}
            // A text that may be meant one row further is ambiguous too: `}\n}\n` where there are three of them.
            1 => {
                let only = finder.find(&bytes).unwrap_or_default();
                if let Some(next) = finder.find(&bytes[only + 1..]) {
                    return Err(wrong(ambiguous(&bytes, [only, only + 1 + next].into_iter(), 2)));
                }
            }
            many => return Err(wrong(ambiguous(&bytes, finder.find_iter(&bytes), many))),
        }
        let size = (bytes.len() - count * old.len()).saturating_add(count.saturating_mul(new.len()));
        if size > TEXT_MAX {
            return Err(wrong(format!(
                "is there {}; with new_string in its place the file would be larger than {TEXT_MAX} bytes; make \
                 large files with `bash`",
                text::count(count, "time")
            )));
        }
        let (mut line, mut counted) = (1, 0);
        for at in finder.find_iter(&bytes).take(CHANGES_MAX - changes.len()) {
            (line, counted) = (line + breaks(&bytes[counted..at]), at);
            changes.push(change(&bytes, at..at + old.len(), line, &new));
        }
        all += count;
        bytes = replaced(&bytes, &finder, new.as_bytes(), size);
    }
    Ok(Edited { bytes, changes, places: all })
}

fn ambiguous(bytes: &[u8], places: impl Iterator<Item = usize>, count: usize) -> String {
    let lines: Vec<_> = places.take(PLACES_NAMED).map(|at| (breaks(&bytes[..at]) + 1).to_string()).collect();
    let more = if count > PLACES_NAMED { ", …" } else { "" };
    format!(
        "is there {count} times (lines {}{more}); add lines around it until it is unique, or set replace_all",
        lines.join(", ")
    )
}

/// The text with `new` in the place of what is looked for, which makes it so large.
fn replaced(bytes: &[u8], old: &memmem::Finder<'_>, new: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size);
    let mut from = 0;
    for at in old.find_iter(bytes) {
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(new);
        from = at + old.needle().len();
    }
    out.extend_from_slice(&bytes[from..]);
    out
}

/// Bytes around a place that are shown at most.
const AROUND: usize = 400;

fn change(bytes: &[u8], place: Range<usize>, line: usize, new: &str) -> Change {
    let low = place.start.saturating_sub(AROUND);
    let start = memchr::memrchr(b'\n', &bytes[low..place.start]).map_or(low, |at| low + at + 1);
    let high = (place.end + AROUND).min(bytes.len());
    // A text that ends with a line break touches no further line.
    let whole = place.end > 0 && bytes[place.end - 1] == b'\n';
    let end = if whole {
        place.end
    } else {
        memchr::memchr(b'\n', &bytes[place.end..high]).map_or(high, |at| place.end + at)
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Change {
        line,
        old: text(&bytes[start..end]),
        new: format!("{}{new}{}", text(&bytes[start..place.start]), text(&bytes[place.end..end])),
    }
}

fn breaks(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

/// Whether every line ends with CRLF.
fn is_crlf(text: &[u8]) -> bool {
    let mut breaks = memchr::memchr_iter(b'\n', text).peekable();
    breaks.peek().is_some() && breaks.all(|at| at > 0 && text[at - 1] == b'\r')
}

fn to_crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edit(old: &str, new: &str) -> Edit {
        Edit { old_string: old.into(), new_string: new.into(), replace_all: false }
    }

    fn edited(text: &str, edits: &[Edit]) -> Result<String, String> {
        apply(text.as_bytes(), edits).map(|edited| String::from_utf8(edited.bytes).unwrap())
    }

    #[test]
    fn a_call_has_a_bounded_number_of_edits() {
        let many: Vec<Edit> = (0..=EDITS_MAX).map(|number| edit(&format!("<{number}>"), "x")).collect();
        let text: String = many.iter().map(|edit| edit.old_string.clone()).collect();
        assert!(edited(&text, &many).unwrap_err().contains("more than 200 edits"));
        assert!(edited(&text, &many[1..]).is_ok());
    }

    #[test]
    fn what_edits_make_has_a_bound_in_bytes_and_what_is_told_of_them_in_places() {
        let grow = Edit { replace_all: true, ..edit("a", &"a".repeat(32)) };
        let words = edited("a", &vec![grow; 5]).unwrap_err();
        assert!(words.starts_with("old_string of edit 5 is there 1048576 times;"), "{words}");
        assert!(words.contains("larger than 16777216 bytes") && words.ends_with("was made."), "{words}");
        let all = Edit { replace_all: true, ..edit("a", "b") };
        let done = apply("a\n\na\n".repeat(10_000).as_bytes(), &[all]).unwrap();
        assert_eq!((done.places, done.bytes.len()), (20_000, 50_000));
        let lines: Vec<usize> = done.changes.iter().map(|change| change.line).collect();
        assert_eq!((lines.len(), &lines[..4]), (CHANGES_MAX, &[1, 3, 4, 6][..]));
    }

    #[test]
    fn edits_are_made_in_order_and_see_each_other() {
        assert_eq!(edited("a b\nc", &[edit("a b", "x"), edit("x\nc", "y")]).unwrap(), "y");
        let changes = apply(b"one\ntwo\nthree\n", &[edit("wo\nth", "WO\nTH")]).unwrap().changes;
        assert_eq!(changes, [Change { line: 2, old: "two\nthree".into(), new: "tWO\nTHree".into() }]);
        let changes = apply(b"one\ntwo\nthree\n", &[edit("two\n", "")]).unwrap().changes;
        assert_eq!(changes, [Change { line: 2, old: "two\n".into(), new: String::new() }]);
    }

    #[test]
    fn one_that_can_t_be_made_says_which_and_why() {
        let words = edited("a\nb\na\n", &[edit("b", "c"), edit("a", "d")]).unwrap_err();
        assert_eq!(
            words,
            "old_string of edit 2 is there 2 times (lines 1, 3); add lines around it until it is unique, or set \
             replace_all\nNone of the edits was made."
        );
        let all = Edit { replace_all: true, ..edit("a", "d") };
        assert_eq!(edited("a\nb\na\n", &[all]).unwrap(), "d\nb\nd\n");
        let overlapping = edited("}\n}\n}\n", &[edit("}\n}\n", "}\n")]).unwrap_err();
        assert!(overlapping.contains("is there 2 times (lines 1, 2)"), "{overlapping}");
        assert!(edited("a", &[edit("", "x")]).unwrap_err().contains("`write`"));
        assert!(edited("a", &[edit("a", "a")]).unwrap_err().contains("nothing to change"));
        assert!(edited("a", &[]).is_err());
        assert!(edited("a", &vec![edit("a", "b"); EDITS_MAX + 1]).is_err());
    }

    #[test]
    fn line_ends_are_those_of_the_file() {
        assert_eq!(edited("a\r\nb\r\n", &[edit("a\nb", "c\nd\ne")]).unwrap(), "c\r\nd\r\ne\r\n");
        // Where they are mixed, what is written is what is meant.
        assert_eq!(edited("a\r\nb\n", &[edit("a\r\nb", "c\nd")]).unwrap(), "c\nd\n");
        assert_eq!(edited("a\nb", &[edit("b", "c")]).unwrap(), "a\nc");
    }

    #[test]
    fn bytes_of_any_encoding_stay() {
        let done = apply(b"gr\xfcn = 1\n", &[edit("= 1", "= 2")]).unwrap();
        assert_eq!(done.bytes, b"gr\xfcn = 2\n");
    }

    proptest! {
        #[test]
        fn a_unique_text_is_replaced_and_nothing_else(
            before in prop::collection::vec(any::<u8>(), 0..200),
            after in prop::collection::vec(any::<u8>(), 0..200),
            old in "[a-z\n]{1,20}",
            new in "[a-z]{0,20}",
        ) {
            let text = [before.as_slice(), old.as_bytes(), after.as_slice()].concat();
            prop_assume!(!is_crlf(&text) && old != new);
            let places = text.windows(old.len()).filter(|place| *place == old.as_bytes()).count();
            match apply(&text, &[edit(&old, &new)]) {
                Ok(done) => {
                    prop_assert_eq!(places, 1);
                    prop_assert_eq!(done.bytes, [&before[..], new.as_bytes(), &after[..]].concat());
                }
                Err(_) => prop_assert!(places > 1),
            }
        }

        #[test]
        fn an_edit_and_its_reverse_are_nothing(text in "[a-z \n]{0,300}", cut in any::<prop::sample::Index>()) {
            let at = cut.index(text.len() + 1);
            let (old, rest) = text.split_at(at);
            prop_assume!(!old.is_empty());
            let whole = format!("{text}§");
            let there = apply(whole.as_bytes(), &[edit(&format!("{rest}§"), "%")]);
            let there = there.unwrap();
            prop_assert_eq!(apply(&there.bytes, &[edit("%", &format!("{rest}§"))]).unwrap().bytes, whole.into_bytes());
        }

        #[test]
        fn hostile_edits_never_panic(text in any::<Vec<u8>>(), old in any::<String>(), new in any::<String>()) {
            let _ = apply(&text, &[edit(&old, &new), edit("\u{fffd}", "x")]);
        }
    }
}
