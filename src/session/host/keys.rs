//! What typed bytes mean to an agent that asks: keys that answer, apart from keys that only move and from what
//! terminals send by themselves (focus, mouse, answers).

const ESC: u8 = 0x1b;
const CTRL_C: u8 = 0x03;

/// What was typed, as far as it answers; of several, what says most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Typed {
    /// Nothing that answers.
    #[default]
    Nothing,
    /// Characters.
    Text,
    /// The return key.
    Enter,
    /// Escape or Ctrl-C.
    Stop,
}

impl Typed {
    /// Of bytes that were typed at once.
    pub fn of(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        let mut most = Self::Nothing;
        while let Some((first, after)) = rest.split_first() {
            let (typed, left) = match *first {
                ESC => escape(after),
                CTRL_C => (Self::Stop, after),
                b'\r' | b'\n' => (Self::Enter, after),
                0x20..=0x7e | 0x80.. => (Self::Text, after),
                _ => (Self::Nothing, after),
            };
            most = most.max(typed);
            rest = left;
        }
        most
    }
}

/// After an escape character: the escape key, or a sequence.
fn escape(after: &[u8]) -> (Typed, &[u8]) {
    match after.split_first() {
        None => (Typed::Stop, after),
        Some((b'[', rest)) => csi(rest),
        Some((b'O', rest)) => (Typed::Nothing, rest.get(1..).unwrap_or_default()),
        Some((b']' | b'P' | b'X' | b'^' | b'_', rest)) => (Typed::Nothing, after_string(rest)),
        // A key with Alt.
        Some((_, rest)) => (Typed::Nothing, rest),
    }
}

fn csi(bytes: &[u8]) -> (Typed, &[u8]) {
    let end = bytes.iter().position(|byte| (0x40..=0x7e).contains(byte)).unwrap_or(bytes.len());
    let rest = bytes.get(end + 1..).unwrap_or_default();
    match (&bytes[..end], bytes.get(end)) {
        // A mouse of old: three bytes follow.
        (b"", Some(b'M')) => (Typed::Nothing, rest.get(3..).unwrap_or_default()),
        // A paste decides nothing; the key after it does.
        (b"200", Some(b'~')) => {
            let pasted = memchr::memmem::find(rest, b"\x1b[201~").unwrap_or(rest.len());
            (Typed::Nothing, &rest[pasted..])
        }
        (parameters, Some(b'u')) => (key(parameters), rest),
        _ => (Typed::Nothing, rest),
    }
}

/// A key of the keyboard protocol: its code, then its modifiers and whether it was let go.
fn key(parameters: &[u8]) -> Typed {
    let mut fields = parameters.split(|byte| *byte == b';');
    let (code, how) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    match code {
        _ if how.ends_with(b":3") => Typed::Nothing,
        b"13" => Typed::Enter,
        b"27" => Typed::Stop,
        b"99" if how.starts_with(b"5") => Typed::Stop,
        _ => Typed::Nothing,
    }
}

/// What follows the end of a string.
fn after_string(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr2(0x07, ESC, bytes).unwrap_or(bytes.len());
    let mark = if bytes.get(end) == Some(&ESC) { 2 } else { 1 };
    bytes.get(end + mark..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_answer_are_told_from_what_only_moves_and_what_terminals_send() {
        for text in ["y", "yes", "ü", "\x1b[Iy", "1\x1b[A"] {
            assert_eq!(Typed::of(text.as_bytes()), Typed::Text, "{text:?}");
        }
        for enter in ["\r", "\n", "yes\r", "\x1b[B\r", "\x1b[200~a\x1b[201~\r", "\x1b[13u", "\x1b[13;1:1u"] {
            assert_eq!(Typed::of(enter.as_bytes()), Typed::Enter, "{enter:?}");
        }
        for stop in ["\x1b", "\x03", "\x1b[27u", "\x1b[27;1:1u", "\x1b[99;5u", "y\x1b"] {
            assert_eq!(Typed::of(stop.as_bytes()), Typed::Stop, "{stop:?}");
        }
        for nothing in [
            "",
            "\x1b[A",
            "\x1bOB",
            "\t",
            "\x7f",
            "\x1b[I",
            "\x1b[O",
            "\x1b[<0;5;5M",
            "\x1b[M !!",
            "\x1b[?62;22c",
            "\x1b[12;40R",
            "\x1b[?0u",
            "\x1b]11;rgb:0000/0000/0000\x1b\\",
            "\x1b]10;?\x07",
            "\x1bP>|xterm.js\x1b\\",
            "\x1b\r",
            "\x1b[200~a\rb\x1b[201~",
            "\x1b[13;1:3u",
            "\x1b[27;1:3u",
            "\x1b[",
        ] {
            assert_eq!(Typed::of(nothing.as_bytes()), Typed::Nothing, "{nothing:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Typed::of(&bytes);
        }
    }
}
