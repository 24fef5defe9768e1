//! Taking the text of an answer apart while it comes: reasoning between marks, calls of tools that are printed as
//! text, and what is for people.
//!
//! Invariant: however the text is cut into pieces, the same parts come out, and text for people waits only while it
//! may still become a mark.

use super::ask::Piece;

/// What reasoning stands between, by model family.
const THINKING: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
];

/// What ends reasoning whose beginning was part of the question: at the beginning or the end of a line. Within one it is
/// a word of who writes about the mark.
const STRAY_END: &str = "</think>";

/// Marks that say nothing.
const SILENT: &[&str] = &[
    "<|start|>assistant<|channel|>final<|message|>",
    "<|channel|>final<|message|>",
    "<|return|>",
    "<|im_end|>",
];

/// How a model family prints calls of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Hermes, Qwen, GLM: `<tool_call>{…}</tool_call>`.
    Hermes,
    /// Qwen Coder, Llama 3: `<function=name>…</function>`.
    Function,
    /// Mistral: `[TOOL_CALLS][{…}]`, or `[TOOL_CALLS]name[ARGS]{…}`.
    Mistral,
    /// Llama: `<|python_tag|>{…}`.
    Llama,
    /// gpt-oss: `<|channel|>commentary to=functions.name …<|message|>{…}<|call|>`.
    Harmony,
    /// An answer that is nothing but the call's JSON.
    Bare,
}

/// What calls stand between; without an end they go on to the end of the answer.
const CALLS: &[(&str, Option<&str>, Family)] = &[
    ("<tool_call>", Some("</tool_call>"), Family::Hermes),
    ("<function=", Some("</function>"), Family::Function),
    ("[TOOL_CALLS]", None, Family::Mistral),
    ("<|python_tag|>", None, Family::Llama),
    ("<|start|>assistant<|channel|>commentary to=functions.", Some("<|call|>"), Family::Harmony),
    ("<|channel|>commentary to=functions.", Some("<|call|>"), Family::Harmony),
];

/// What an answer begins with that may be nothing but a call.
const BARE: &[&str] = &["{", "```json\n{", "```\n{"];

/// A printed call that nobody has read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// Who prints so.
    pub family: Family,
    /// What stands between the marks.
    pub body: String,
    /// The mark before it, for a call that is none.
    pub mark: &'static str,
}

/// The parts of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// For people.
    pub text: String,
    /// Reasoning.
    pub reasoning: String,
    /// Calls.
    pub printed: Vec<Printed>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum State {
    /// Nothing was said yet, or only reasoning.
    #[default]
    Begin,
    Text,
    Thinking(&'static str),
    Calling(&'static str, Option<&'static str>, Family),
    /// It may be nothing but a call: held to its end.
    Bare,
}

/// Takes a text apart.
#[derive(Debug, Default)]
pub struct Splitter {
    state: State,
    held: String,
    parts: Parts,
    /// Whether reasoning comes beside the text.
    reasons_apart: bool,
}

impl Splitter {
    /// Reasoning comes in a field of its own: none of the text is any, unless it is marked so.
    pub fn reasons_apart(&mut self) {
        self.reasons_apart = true;
    }

    /// Takes the next piece, and tells what of it is known to be text or reasoning.
    pub fn push(&mut self, piece: &str, tell: &mut dyn FnMut(Piece<'_>)) {
        self.held.push_str(piece);
        while self.step(tell) {}
    }

    /// The parts, once all was taken.
    pub fn finish(mut self, tell: &mut dyn FnMut(Piece<'_>)) -> Parts {
        let rest = std::mem::take(&mut self.held);
        match self.state {
            State::Begin | State::Text => self.say(&rest, tell),
            State::Thinking(_) => self.think(&rest, tell),
            State::Calling(mark, _, family) => self.parts.printed.push(Printed { family, body: rest, mark }),
            State::Bare => self.parts.printed.push(Printed { family: Family::Bare, body: rest, mark: "" }),
        }
        self.parts
    }

    /// One step; whether another may follow without more text.
    fn step(&mut self, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        match self.state {
            State::Bare | State::Calling(_, None, _) => false,
            State::Begin => self.begin(),
            State::Text => self.text(tell),
            State::Thinking(end) => self.thinking(end, tell),
            State::Calling(mark, Some(end), family) => {
                let Some(at) = self.held.find(end) else { return false };
                let body: String = self.held.drain(..at + end.len()).collect();
                self.parts.printed.push(Printed { family, body: body[..at].to_owned(), mark });
                self.state = State::Text;
                true
            }
        }
    }

    fn thinking(&mut self, end: &str, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        let found = self.held.find(end);
        let sure = found.unwrap_or_else(|| self.held.len() - may_begin(&self.held, [end].into_iter()));
        let thought: String = self.held.drain(..sure).collect();
        self.think(&thought, tell);
        if found.is_some() {
            self.held.drain(..end.len());
            self.state = State::Begin;
        }
        found.is_some()
    }

    fn begin(&mut self) -> bool {
        let blank = self.held.len() - self.held.trim_start().len();
        let begun = &self.held[blank..];
        if begun.is_empty() {
            return false;
        }
        if let Some((mark, end)) = THINKING.iter().find(|(mark, _)| begun.starts_with(mark)) {
            self.held.drain(..blank + mark.len());
            self.state = State::Thinking(end);
            return true;
        }
        if self.parts.text.is_empty() && BARE.iter().any(|mark| begun.starts_with(mark)) {
            self.state = State::Bare;
            return false;
        }
        let marks = THINKING.iter().map(|(mark, _)| *mark).chain(BARE.iter().copied());
        if marks.into_iter().any(|mark| mark.len() > begun.len() && mark.starts_with(begun)) {
            return false;
        }
        self.held.drain(..blank);
        self.state = State::Text;
        true
    }

    fn text(&mut self, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        let call = first(&self.held, CALLS.iter().map(|(mark, ..)| *mark));
        let silent = first(&self.held, SILENT.iter().copied());
        let stray = self.stray_end();
        let found = [call, silent, stray.ok()].into_iter().flatten().min();
        let Some((at, mark)) = found else {
            let marks = CALLS.iter().map(|(mark, ..)| *mark).chain(SILENT.iter().copied());
            let sure = self.held.len() - may_begin(&self.held, marks.chain(std::iter::once(STRAY_END)));
            let said: String = self.held.drain(..sure.min(stray.err().unwrap_or(sure))).collect();
            self.say(&said, tell);
            return false;
        };
        let said: String = self.held.drain(..at + mark.len()).collect();
        self.say(&said[..at], tell);
        if mark == STRAY_END {
            self.parts.reasoning = std::mem::take(&mut self.parts.text);
            self.state = State::Begin;
        } else if let Some((mark, end, family)) = CALLS.iter().find(|(known, ..)| *known == mark) {
            self.state = State::Calling(mark, *end, *family);
            tell(Piece::Call(""));
        }
        true
    }

    /// Where reasoning without a beginning ends; else how much of the text can be said without knowing more of it.
    fn stray_end(&self) -> Result<(usize, &'static str), usize> {
        let none = Err(self.held.len());
        if self.reasons_apart || !self.parts.reasoning.is_empty() {
            return none;
        }
        for (at, _) in self.held.match_indices(STRAY_END) {
            let (before, after) = (&self.held[..at], &self.held[at + STRAY_END.len()..]);
            let line = if before.is_empty() { self.parts.text.as_str() } else { before };
            if line.is_empty() || line.ends_with('\n') || after.starts_with(['\r', '\n']) {
                return Ok((at, STRAY_END));
            }
            if after.is_empty() {
                return Err(at);
            }
        }
        none
    }

    fn say(&mut self, text: &str, tell: &mut dyn FnMut(Piece<'_>)) {
        if !text.is_empty() {
            self.parts.text.push_str(text);
            tell(Piece::Text(text));
        }
    }

    fn think(&mut self, text: &str, tell: &mut dyn FnMut(Piece<'_>)) {
        if !text.is_empty() {
            self.parts.reasoning.push_str(text);
            tell(Piece::Reasoning(text));
        }
    }
}

/// The first of the marks in a text: its place, and which. Of two at one place, the longer.
fn first<'m>(text: &str, marks: impl Iterator<Item = &'m str>) -> Option<(usize, &'m str)> {
    marks
        .filter_map(|mark| Some((text.find(mark)?, mark)))
        .min_by_key(|(at, mark)| (*at, usize::MAX - mark.len()))
}

/// How many bytes at the end of a text may be the beginning of a mark.
fn may_begin<'m>(text: &str, marks: impl Iterator<Item = &'m str>) -> usize {
    let begun = |mark: &str| {
        (1..mark.len().min(text.len() + 1))
            .rev()
            .find(|len| text.as_bytes().ends_with(&mark.as_bytes()[..*len]))
    };
    marks.filter_map(begun).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split<'p>(pieces: impl Iterator<Item = &'p str>) -> (Parts, String) {
        let (mut splitter, mut shown) = (Splitter::default(), String::new());
        let mut tell = |piece: Piece<'_>| {
            if let Piece::Text(text) = piece {
                shown.push_str(text);
            }
        };
        pieces.for_each(|piece| splitter.push(piece, &mut tell));
        (splitter.finish(&mut tell), shown)
    }

    fn whole(text: &str) -> Parts {
        split(std::iter::once(text)).0
    }

    #[test]
    fn reasoning_of_three_families_stands_between_marks() {
        for text in [
            "<think>\nhm</think>\n\nYes",
            "[THINK]\nhm[/THINK]Yes",
            "<|channel|>analysis<|message|>\nhm<|end|><|start|>assistant<|channel|>final<|message|>Yes<|return|>",
            "\nhm</think>\nYes",
        ] {
            let parts = whole(text);
            assert_eq!((parts.reasoning.trim(), parts.text.as_str()), ("hm", "Yes"), "{text}");
        }
        // Who writes about the marks does not think.
        for text in [
            "The tag <think> begins it",
            "It closes `</think>` at the end of a line.\nAll is well.",
            "BLOCKED: a </think> b\nIt ends with </think>",
        ] {
            assert_eq!(whole(text), Parts { text: text.to_owned(), ..Parts::default() });
        }
    }

    #[test]
    fn printed_calls_are_no_text() {
        let parts =
            whole("I look.\n<tool_call>\n{\"name\":\"a\"}\n</tool_call>\n<function=b>x</function> done");
        assert_eq!(parts.text, "I look.\n\n done");
        let families: Vec<_> = parts.printed.iter().map(|one| (one.family, one.body.trim())).collect();
        assert_eq!(families, [(Family::Hermes, "{\"name\":\"a\"}"), (Family::Function, "b>x")]);
        assert_eq!(whole("[TOOL_CALLS][{}]").printed[0].family, Family::Mistral);
        assert_eq!(whole("<|python_tag|>{}").printed[0].family, Family::Llama);
        assert_eq!(whole(" {\"name\":1}").printed[0].family, Family::Bare);
        assert_eq!(whole("<tool_call>{\"cut").printed[0].body, "{\"cut");
    }

    #[test]
    fn plain_text_is_told_at_once() {
        let (mut splitter, mut shown) = (Splitter::default(), String::new());
        for piece in ["He", "llo", " wor", "ld <", "b> x"] {
            let mut told = String::new();
            splitter.push(piece, &mut |piece| {
                if let Piece::Text(text) = piece {
                    told.push_str(text);
                }
            });
            shown.push_str(&told);
            assert!(!told.is_empty(), "{piece}");
        }
        assert_eq!(shown, "Hello world <b> x");
    }

    proptest! {
        #[test]
        fn the_parts_do_not_depend_on_the_pieces(
            words in prop::collection::vec(prop::sample::select(vec![
                "<think>", "</think>", "a", " ", "\n", "<tool_call>", "</tool_call>", "{\"x\":1}", "[TOOL", "_CALLS]", "é",
                "<function=", "</function>", "<|", "end|>", "```json\n{", "<", "\n</think>", "</think>\r\n",
            ]), 0..12),
            size in 1usize..6,
        ) {
            let text = words.concat();
            let chars: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = chars.chunks(size).map(|piece| piece.iter().collect()).collect();
            let (parts, shown) = split(pieces.iter().map(String::as_str));
            let (at_once, shown_at_once) = split(std::iter::once(text.as_str()));
            prop_assert_eq!(&parts, &at_once);
            prop_assert_eq!(shown, shown_at_once);
        }
    }
}
