//! Colours and other styles in a session's output, told from the rest of it.

/// Longest sequence that is taken for one that sets styles, in bytes.
const SEQUENCE_MAX: usize = 64;

/// Sets everything back.
const PLAIN: &[u8] = b"\x1b[0m";

/// A part of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// A whole sequence that sets styles and nothing else.
    Style(&'a [u8]),
    /// Anything else.
    Rest(&'a [u8]),
}

/// Tells sequences that set styles (`ESC [ 1;31 m`) from the rest.
#[derive(Debug)]
pub struct Styles {
    /// The beginning of what may become one.
    held: Vec<u8>,
    /// Whether they are wanted.
    wanted: bool,
    /// Whether one is left on.
    on: bool,
}

impl Styles {
    /// Where they are wanted, or are not.
    pub fn new(wanted: bool) -> Self {
        Self { held: Vec::new(), wanted, on: false }
    }

    /// Whether they are wanted.
    pub fn are_wanted(&self) -> bool {
        self.wanted
    }

    /// What sets back a style that is left on.
    pub fn end(&mut self) -> &'static [u8] {
        let on = std::mem::take(&mut self.on) && self.wanted;
        if on { PLAIN } else { b"" }
    }

    /// Takes more of the output, in any pieces.
    pub fn split<E>(
        &mut self,
        mut bytes: &[u8],
        mut tell: impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            if self.held.is_empty() {
                let escape = memchr::memchr(0x1b, bytes).unwrap_or(bytes.len());
                if escape > 0 {
                    tell(Part::Rest(&bytes[..escape]))?;
                }
                bytes = &bytes[escape..];
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
            match (self.held.len(), byte) {
                (0, 0x1b) | (1, b'[') | (2..SEQUENCE_MAX, b'0'..=b';') => self.held.push(*byte),
                (2.., b'm') => {
                    self.held.push(*byte);
                    let style = std::mem::take(&mut self.held);
                    self.on = style.iter().any(|byte| matches!(byte, b'1'..=b'9'));
                    tell(Part::Style(&style))?;
                }
                _ => {
                    // Something else began here; this byte may begin one.
                    tell(Part::Rest(&std::mem::take(&mut self.held)))?;
                    continue;
                }
            }
            bytes = rest;
        }
    }

    /// What is held of a sequence that never became whole.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The styles and the rest of an output.
    fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u8>) {
        let (mut styles, mut found, mut rest) = (Styles::new(true), Vec::new(), Vec::new());
        for piece in pieces {
            let told = styles.split(piece, |part| {
                match part {
                    Part::Style(style) => found.extend_from_slice(style),
                    Part::Rest(bytes) => rest.extend_from_slice(bytes),
                }
                Ok::<(), ()>(())
            });
            told.unwrap();
            assert!(styles.held.len() <= SEQUENCE_MAX);
        }
        rest.extend(styles.rest());
        (found, rest)
    }

    #[test]
    fn only_what_sets_styles_is_one() {
        let (styles, rest) =
            split([&b"a\x1b[1;31mb\x1b[38:5:2mc\x1b[md\x1b[2J\x1b[?1m\x1b]0;t\x07\x1b\x1b[0me\x1b["[..]]);
        assert_eq!(styles, b"\x1b[1;31m\x1b[38:5:2m\x1b[m\x1b[0m");
        assert_eq!(rest, b"abcd\x1b[2J\x1b[?1m\x1b]0;t\x07\x1be\x1b[");
        let long = [b"\x1b[".to_vec(), vec![b'1'; 5000], b"m".to_vec()].concat();
        assert_eq!(split([&long[..]]).1, long, "none is that long");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_the_rest_is_as_it_was(
            parts in prop::collection::vec("\u{1b}|\\[|[0-9;:]{1,3}|m|a|\u{1b}\\[1m", 0..40), chunk in 1usize..6,
        ) {
            let all = parts.concat().into_bytes();
            let (styles, rest) = split(all.chunks(chunk));
            prop_assert_eq!(split([&all[..]]), (styles.clone(), rest.clone()));
            prop_assert_eq!(styles.len() + rest.len(), all.len());
            let pattern = regex::bytes::Regex::new("\u{1b}\\[[0-9;:]*m").unwrap();
            prop_assert_eq!(pattern.replace_all(&all, &b""[..]).into_owned(), rest);
        }
    }
}
