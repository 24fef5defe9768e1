//! Running text in lines of a terminal's width: a word that does not fit begins the next line.
//!
//! Invariants: what was put out is never taken back, so the scrollback holds just what was seen, and of the text nothing
//! is left out but blanks where a line ends. Only at the end of a line something waits: a word that begins in its last
//! [`HELD`] columns, until it is whole. The pieces in which a text comes make no difference. Blocks of code, and words that
//! are longer than [`HELD`], are left to the terminal.
//!
//! Not here: what a text looks like, and making it harmless, which comes first.

use unicode_width::UnicodeWidthChar;

/// Columns at the end of a line in which a word waits for its end; also the longest one that is held.
const HELD: usize = 20;

/// Longest word that waits, in bytes: marks above a letter take no column, and there may be any number of them.
const WORD_MAX: usize = 256;

/// Characters of a line's beginning that are looked at: its indent, the mark of a list, the fence of a block of code.
const HEAD: usize = 32;

/// Marks of a list, of a call, of what a person said, and of what a turn cost.
const MARKS: [&str; 7] = ["- ", "* ", "+ ", "• ", "● ", "› ", "· "];

/// What begins the lines of a command's output.
const BAR: &str = "│ ";

/// Where a running text stands.
#[derive(Debug, Default)]
pub struct Wrap {
    /// The column that what was put out ends in.
    column: usize,
    /// Blanks that are put out with the word after them.
    blanks: String,
    /// The word that waits, and its columns.
    word: String,
    wide: usize,
    /// Whether the last word is put out as it comes.
    open: bool,
    /// The beginning of the text's line.
    head: String,
    /// Whether it is code.
    code: bool,
}

impl Wrap {
    /// The column that what was put out ends in.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Whether something waits for the end of its word.
    pub fn waits(&self) -> bool {
        !self.word.is_empty()
    }

    /// A line begins, whatever was before; the text begins anew.
    pub fn begin(&mut self) {
        *self = Self::default();
    }

    /// The terminal's cursor is at the beginning of a line, the text goes on.
    pub fn broken(&mut self) {
        self.column = 0;
    }

    /// Takes a piece, and puts out what is to be seen of it now. Without a width no line has an end.
    pub fn take(&mut self, piece: &str, width: Option<usize>, out: &mut String) {
        let width = width.unwrap_or(usize::MAX);
        for c in piece.chars() {
            self.char(c, width, out);
        }
    }

    /// Puts out what waits: nothing is added to it.
    pub fn flush(&mut self, width: Option<usize>, out: &mut String) {
        self.release(width.unwrap_or(usize::MAX), out);
        self.open = false;
    }

    fn char(&mut self, c: char, width: usize, out: &mut String) {
        if c == '\n' {
            self.release(width, out);
            self.code ^= is_fence(&self.head);
            let code = self.code;
            self.begin();
            self.code = code;
            return out.push('\n');
        }
        if self.head.len() < HEAD {
            self.head.push(c);
        }
        let blank = c == ' ' || c == '\t';
        if self.code || blank && self.column == 0 && self.word.is_empty() {
            return self.put(c, width, out);
        }
        match columns(c) {
            _ if blank => {
                self.flush(Some(width), out);
                if self.blanks.len() < HEAD { self.blanks.push(c) } else { self.put(c, width, out) }
            }
            // What is written without blanks may break anywhere.
            wide @ 2.. => {
                self.flush(Some(width), out);
                (self.word, self.wide) = (c.to_string(), wide);
                self.release(width, out);
            }
            0 if self.word.is_empty() && self.blanks.is_empty() => self.put(c, width, out),
            _ if self.open => self.put(c, width, out),
            wide => {
                self.word.push(c);
                self.wide += wide;
                let start = self.column + columns_of(&self.blanks);
                if self.wide > held(width)
                    || self.word.len() > WORD_MAX
                    || start.saturating_add(held(width)) <= width
                {
                    self.release(width, out);
                    self.open = true;
                }
            }
        }
    }

    /// Puts the word out, on the next line where it does not fit.
    fn release(&mut self, width: usize, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        let (word, wide) = (std::mem::take(&mut self.word), std::mem::take(&mut self.wide));
        let blanks = std::mem::take(&mut self.blanks);
        if self.column > 0 && (self.column + columns_of(&blanks)).saturating_add(wide) > width {
            out.push('\n');
            self.column = 0;
            for c in indent(&self.head, width / 3).chars() {
                self.put(c, width, out);
            }
        } else {
            for c in blanks.chars() {
                self.put(c, width, out);
            }
        }
        for c in word.chars() {
            self.put(c, width, out);
        }
    }

    /// Puts a character out, and follows where the terminal puts it.
    fn put(&mut self, c: char, width: usize, out: &mut String) {
        out.push(c);
        self.column = if c == '\t' { (self.column / 8 + 1) * 8 } else { self.column + columns(c) };
        if self.column > width {
            self.column = columns(c);
        }
    }
}

/// A whole text in lines of this width.
pub fn wrapped(text: &str, width: Option<usize>) -> String {
    let (mut wrap, mut out) = (Wrap::default(), String::with_capacity(text.len() + 16));
    wrap.take(text, width, &mut out);
    wrap.flush(width, &mut out);
    out
}

/// The columns of a text on one line.
pub fn columns_of(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(c: char) -> usize {
    if c == '\t' { 8 } else { c.width().unwrap_or(0) }
}

fn held(width: usize) -> usize {
    HELD.min(width / 2)
}

fn is_fence(head: &str) -> bool {
    let head = head.trim_start();
    head.starts_with("```") || head.starts_with("~~~")
}

/// What begins the further lines of one that begins so: as many blanks as there are before its text.
fn indent(head: &str, most: usize) -> String {
    let text = head.trim_start_matches(' ');
    let blanks = head.len() - text.len();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = digits > 0 && (text[digits..].starts_with(". ") || text[digits..].starts_with(") "));
    let mark = match MARKS.iter().find(|mark| text.starts_with(**mark)) {
        _ if text.starts_with(BAR) => return format!("{}{BAR}", " ".repeat(blanks.min(most))),
        Some(_) => 2,
        None if numbered => digits + 2,
        None => 0,
    };
    " ".repeat((blanks + mark).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a str>, width: usize) -> String {
        let (mut wrap, mut out) = (Wrap::default(), String::new());
        for piece in pieces {
            wrap.take(piece, Some(width), &mut out);
        }
        wrap.flush(Some(width), &mut out);
        out
    }

    #[test]
    fn words_begin_the_next_line_where_they_do_not_fit() {
        assert_eq!(wrapped("The repository is clean.", Some(16)), "The repository\nis clean.");
        assert_eq!(wrapped("exactly ten is fit", Some(10)), "exactly\nten is fit");
        assert_eq!(wrapped("one  two\n\n  three", Some(40)), "one  two\n\n  three");
        assert_eq!(wrapped("no end of the line here", None), "no end of the line here");
        // Two columns each; broken where the line is full.
        assert_eq!(wrapped("漢字漢字漢字", Some(10)), "漢字漢字漢\n字");
        assert_eq!(wrapped("an 漢字漢字", Some(10)), "an 漢字漢\n字");
        assert_eq!(wrapped("smile 🙂🙂 on", Some(10)), "smile 🙂🙂\non");
        // A mark above a letter takes no column and stays with it.
        assert_eq!(wrapped("aaaa bbe\u{301} c", Some(10)), "aaaa bbe\u{301} c");
    }

    #[test]
    fn lists_keep_their_indent() {
        assert_eq!(wrapped("- one two three four", Some(12)), "- one two\n  three four");
        assert_eq!(wrapped("  12. one two three", Some(15)), "  12. one two\n     three");
        assert_eq!(wrapped("  │ one two three", Some(13)), "  │ one two\n  │ three");
        assert_eq!(wrapped("12.5 is a number", Some(12)), "12.5 is a\nnumber");
    }

    #[test]
    fn code_and_long_words_are_left_as_they_are() {
        let code = "```rust\nlet a_long_name = another_long_name();\n```\n";
        assert_eq!(wrapped(code, Some(16)), code);
        assert_eq!(
            wrapped(&format!("{code}one two three four"), Some(16)),
            format!("{code}one two three\nfour")
        );
        let url = "https://example.com/a/very/long/path/that/goes/on/and/on";
        assert_eq!(wrapped(url, Some(40)), url);
        assert_eq!(wrapped(&format!("see {url} for it"), Some(40)), format!("see {url} for it"));
        assert_eq!(
            wrapped(&format!("it all begins here: {url}"), Some(30)),
            format!("it all begins here:\n{url}")
        );
    }

    #[test]
    fn only_the_last_word_of_a_line_waits() {
        let (mut wrap, mut out) = (Wrap::default(), String::new());
        let mut shown = |piece: &str| {
            wrap.take(piece, Some(38), &mut out);
            std::mem::take(&mut out)
        };
        assert_eq!(shown("Thi"), "Thi", "far from the end of the line nothing waits");
        assert_eq!(shown("s is a sent"), "s is a sent");
        assert_eq!(shown("ence, wh"), "ence,", "this one may not fit");
        assert_eq!(shown("ich"), "");
        assert_eq!(shown(" goes"), " which", "it is whole");
        assert_eq!(shown(" on and ends"), " goes on and");
        assert_eq!(shown("!\n"), "\nends!\n");
    }

    proptest! {
        #[test]
        fn no_word_is_broken_or_lost_however_it_comes(
            words in prop::collection::vec("[a-zäß漢.,]{1,9}|🙂|[a-z]{26}", 0..40),
            width in 42usize..90,
            cuts in prop::collection::vec(0usize..7, 1..20),
        ) {
            let text = words.join(" ");
            let chars: Vec<char> = text.chars().collect();
            let (mut at, mut pieces) = (0, Vec::new());
            for cut in cuts.iter().cycle().take(600) {
                let end = (at + cut).min(chars.len());
                pieces.push(chars[at..end].iter().collect::<String>());
                at = end;
            }
            pieces.push(chars[at..].iter().collect());
            let whole = wrapped(&text, Some(width));
            prop_assert_eq!(&in_pieces(pieces.iter().map(String::as_str), width), &whole, "{:?}", pieces);
            let plain = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(plain(&whole), plain(&text));
            if !text.contains(['漢', '🙂']) {
                prop_assert_eq!(whole.split_whitespace().collect::<Vec<_>>(), words, "no word is broken");
            }
            for line in whole.lines() {
                let long = line.split(' ').any(|word| columns_of(word) > HELD);
                prop_assert!(long || columns_of(line) <= width, "{}", line);
            }
        }

        #[test]
        fn marks_without_a_column_do_not_pile_up(marks in 300usize..2000) {
            let (mut wrap, mut out) = (Wrap::default(), String::new());
            wrap.take(&format!("0123456789 e{}", "\u{301}".repeat(marks)), Some(20), &mut out);
            prop_assert!(wrap.word.len() <= WORD_MAX && out.len() + wrap.word.len() > 2 * marks);
        }

        #[test]
        fn what_waits_is_less_than_a_word_and_at_the_end_of_a_line(
            pieces in prop::collection::vec("[a-z ]{1,12}", 1..60),
        ) {
            let (mut wrap, mut out) = (Wrap::default(), String::new());
            for piece in &pieces {
                wrap.take(piece, Some(60), &mut out);
                let start = wrap.column + wrap.blanks.len();
                prop_assert!(wrap.wide <= HELD && (wrap.word.is_empty() || start + HELD > 60));
            }
        }
    }
}
