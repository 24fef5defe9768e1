//! Cuts the terminal's bytes into text and whole escape sequences, as terminals do (DEC's states).
//!
//! Invariant: what is not finished yet is kept here, bounded, and has drawn nothing.

/// Longest sequence that is looked at; a longer one is passed over.
const SEQUENCE_MAX: usize = 256;

/// Bytes kept of a string (a title, a notice); the rest of it is passed over.
const STRING_MAX: usize = 4096;

const ESC: u8 = 0x1b;

/// Where in a sequence the bytes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    Csi,
    Osc,
    /// Another string: a picture, settings. Nothing of it is drawn.
    String,
}

/// What a step over the bytes found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Text and control characters.
    Text,
    /// A part of something that is not whole yet.
    More,
    /// A control character inside a sequence, which acts at once.
    Control(u8),
    /// A sequence is whole.
    Sequence,
    /// An operating system command is whole: `ESC ]` and its text.
    Osc,
}

/// What is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    state: State,
    bytes: Vec<u8>,
}

impl Pending {
    /// Steps over the beginning of `bytes`: how many bytes, and what they were.
    pub fn step(&mut self, bytes: &[u8]) -> (usize, Step) {
        match self.state {
            State::Text => match memchr::memchr(ESC, bytes) {
                // A character that was cut by the sequence is text that ends here.
                Some(0) if !self.bytes.is_empty() => (0, Step::Text),
                Some(0) => {
                    self.begin();
                    (1, Step::More)
                }
                Some(count) => (count, Step::Text),
                None => (bytes.len(), Step::Text),
            },
            State::Osc | State::String => self.string(bytes),
            State::Escape | State::Csi => (1, self.byte(bytes[0])),
        }
    }

    /// What is kept; nothing is afterwards.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// What is kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Keeps the beginning of a character.
    pub fn hold(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether the bytes stand between sequences.
    pub fn is_text(&self) -> bool {
        self.state == State::Text && self.bytes.is_empty()
    }

    fn begin(&mut self) {
        self.state = State::Escape;
        self.bytes.clear();
        self.bytes.push(ESC);
    }

    fn drop_it(&mut self) -> Step {
        self.state = State::Text;
        self.bytes.clear();
        Step::More
    }

    fn collect(&mut self, byte: u8, bound: usize) {
        // One more than the bound says that it is too long.
        if self.bytes.len() <= bound {
            self.bytes.push(byte);
        }
    }

    /// A byte of an escape sequence that is no string.
    fn byte(&mut self, byte: u8) -> Step {
        match byte {
            ESC => {
                self.begin();
                Step::More
            }
            0x18 | 0x1a => self.drop_it(),
            0..0x20 => Step::Control(byte),
            0x7f.. => Step::More,
            _ => {
                let first = self.bytes.len() == 1;
                self.collect(byte, SEQUENCE_MAX);
                match (self.state, byte) {
                    (State::Escape, b'[') if first => self.goes_on(State::Csi),
                    (State::Escape, b']') if first => self.goes_on(State::Osc),
                    (State::Escape, b'P' | b'X' | b'^' | b'_') if first => self.goes_on(State::String),
                    (State::Escape, 0x20..=0x2f) | (State::Csi, 0x20..=0x3f) => Step::More,
                    _ if self.bytes.len() > SEQUENCE_MAX => self.drop_it(),
                    _ => {
                        self.state = State::Text;
                        Step::Sequence
                    }
                }
            }
        }
    }

    fn goes_on(&mut self, state: State) -> Step {
        self.state = state;
        Step::More
    }

    /// The bytes of a string, up to its end.
    fn string(&mut self, bytes: &[u8]) -> (usize, Step) {
        let bell = self.state == State::Osc;
        let ends = |byte: &u8| matches!(byte, &ESC | 0x18 | 0x1a) || bell && *byte == 0x07;
        let count = bytes.iter().position(ends).unwrap_or(bytes.len());
        let room = (STRING_MAX + 1).saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..count.min(room)]);
        match bytes.get(count) {
            None => (count, Step::More),
            // It is whole; what begins here is the next step's.
            Some(&ESC) if bell && !self.bytes.is_empty() => {
                self.state = State::Text;
                (count, Step::Osc)
            }
            Some(&ESC) => {
                self.begin();
                (count + 1, Step::More)
            }
            Some(0x07) => {
                self.state = State::Text;
                (count + 1, Step::Osc)
            }
            Some(_) => (count + 1, self.drop_it()),
        }
    }
}

/// How many bytes at the end of `text` are the beginning of a character that is not whole.
pub(super) fn unfinished(text: &[u8]) -> usize {
    for back in 1..=text.len().min(3) {
        let byte = text[text.len() - back];
        let length = match byte {
            0x80..0xc0 => continue,
            0xc2..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf5 => 4,
            _ => 1,
        };
        return if length > back { back } else { 0 };
    }
    0
}

/// A parameter of a sequence; what is none is 0.
pub(super) fn number(digits: &[u8]) -> u16 {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
