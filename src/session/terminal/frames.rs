//! What goes over the socket besides the terminal's bytes.

use serde::{Deserialize, Serialize};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, Utf8Bytes};

use crate::wire::WindowSize;

/// Largest size that a client gets.
const SIZE_MAX: WindowSize = WindowSize { cols: 1000, rows: 1000 };

/// Why a socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The session has ended, and everything was sent.
    Exited,
    /// The client's token is not valid any more.
    SignedOut,
    /// The client may only watch.
    NotAllowed,
    /// There is no such session, or its host does not answer.
    Gone,
    /// The client does not take what is sent, or does not answer.
    TooSlow,
    /// The daemon stops; the session goes on.
    ShuttingDown,
    /// The client sent something that is no frame.
    Garbage,
    /// The client sent a frame that is too large.
    TooBig,
}

impl Close {
    /// The code on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Exited => 4000,
            Self::SignedOut => 4001,
            Self::NotAllowed => 4003,
            Self::Gone => 4004,
            Self::TooSlow => 4008,
            Self::ShuttingDown => 1001,
            Self::Garbage => 1002,
            Self::TooBig => 1009,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::SignedOut => "signed out",
            Self::NotAllowed => "read-only",
            Self::Gone => "gone",
            Self::TooSlow => "too slow",
            Self::ShuttingDown => "shutting down",
            Self::Garbage => "not a frame",
            Self::TooBig => "frames have 256 KiB at most",
        }
    }

    /// The frame that says it.
    pub fn message(self) -> Message {
        let reason = Utf8Bytes::from_static(self.words());
        Message::Close(Some(CloseFrame { code: self.code().into(), reason }))
    }
}

/// A text frame to the client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told {
    /// Where the bytes that follow begin; to clients of ours alone.
    Attached {
        /// Offset of the next byte of output.
        at: u64,
        /// After the newest byte when this was said.
        end: u64,
        /// Whether a picture comes first.
        snapshot: bool,
        /// Whether the client may only watch.
        read_only: bool,
    },
    /// The terminal's size; also the answer to each size that the client said.
    TerminalResize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
        /// As gmux has it.
        source: &'static str,
        /// Whether it is this client's.
        owner: bool,
    },
    /// The program has ended.
    Exit {
        /// The code a shell would report.
        exit_code: Option<i32>,
    },
}

impl Told {
    /// The frame.
    pub fn message(&self) -> Message {
        // Numbers and flags always become JSON.
        Message::Text(serde_json::to_string(self).unwrap_or_default().into())
    }
}

/// What a text frame of the client means.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// How large it is, and whether the terminal is to be as large.
    Size(WindowSize, bool),
    /// Nothing.
    Nothing,
    /// Everything else is typed, as gmux does.
    Typed,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Resize {
    cols: i64,
    rows: i64,
    claim: Option<bool>,
}

impl Asked {
    /// Reads a text frame.
    pub fn of(text: &str) -> Self {
        if !serde_json::from_str::<Kind>(text).is_ok_and(|text| text.kind == "resize") {
            return Self::Typed;
        }
        // Whatever it says: a program is not to see it.
        let Ok(Resize { cols, rows, claim }) = serde_json::from_str(text) else { return Self::Nothing };
        let cells = |count: i64| u16::try_from(count.clamp(0, u16::MAX.into())).unwrap_or(0);
        let size = possible(WindowSize { cols: cells(cols), rows: cells(rows) });
        size.map_or(Self::Nothing, |size| Self::Size(size, claim.unwrap_or(true)))
    }
}

/// The size that a client gets who asks for this one; `None` for one that no terminal has.
pub fn possible(size: WindowSize) -> Option<WindowSize> {
    let WindowSize { cols, rows } = size;
    (cols > 0 && rows > 0)
        .then(|| WindowSize { cols: cols.min(SIZE_MAX.cols), rows: rows.min(SIZE_MAX.rows) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_claims_unless_it_says_not_and_anything_else_is_typed() {
        let size = WindowSize { cols: 80, rows: 24 };
        for (text, asked) in [
            (r#"{"type":"resize","cols":80,"rows":24}"#, Asked::Size(size, true)),
            (
                r#"{"type":"resize","cols":80,"rows":24,"claim":false,"pixelWidth":9}"#,
                Asked::Size(size, false),
            ),
            (r#"{"type":"resize","cols":0,"rows":24}"#, Asked::Nothing),
            (
                r#"{"type":"resize","cols":65535,"rows":24}"#,
                Asked::Size(WindowSize { cols: 1000, rows: 24 }, true),
            ),
            (
                r#"{"type":"resize","cols":70000,"rows":24}"#,
                Asked::Size(WindowSize { cols: 1000, rows: 24 }, true),
            ),
            (r#"{"type":"resize","cols":80,"rows":-1}"#, Asked::Nothing),
            (r#"{"type":"resize","cols":"80"}"#, Asked::Nothing),
            (r#"{"type":"other","cols":80,"rows":24}"#, Asked::Typed),
            ("ls\n", Asked::Typed),
            ("", Asked::Typed),
        ] {
            assert_eq!(Asked::of(text), asked, "{text}");
        }
    }

    #[test]
    fn what_is_told_has_the_shape_of_gmux() {
        let size = Told::TerminalResize { cols: 80, rows: 24, source: "web_client", owner: true };
        let text = size.message().into_text().unwrap();
        assert_eq!(
            text.as_str(),
            r#"{"type":"terminal_resize","cols":80,"rows":24,"source":"web_client","owner":true}"#
        );
    }
}
