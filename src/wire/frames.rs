//! The frames that follow an upgrade to `darkmux-attach`: one byte of kind, four bytes of length (big
//! endian), the payload. Both directions of a session host's duplex stream.

/// Name of the protocol in the `Upgrade` header.
pub const UPGRADE: &str = "darkmux-attach";

/// Name of the protocol by which the daemon and a host that has a client's socket speak of it, in the `Upgrade` header.
pub const HANDING: &str = "darkmux-terminal";

/// Header of the answer to an upgrade that tells the host's [`HOST_PROTOCOL`](super::HOST_PROTOCOL); hosts of 1 send none.
pub const PROTOCOL_HEADER: &str = "darkmux-protocol";

/// Header of the answer to an upgrade that tells the offset after the newest byte of the output.
pub const OUTPUT_END: &str = "darkmux-output-end";

/// Longest payload of a frame, in bytes.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// Bytes before the payload.
pub const HEADER_LEN: usize = 5;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Host to client: bytes of the terminal.
    Output,
    /// Host to client: output that is no longer held was left out; payload: two u64 (from, to).
    Gap,
    /// Host to client: the session ended; payload: `SessionStatus` as JSON.
    End,
    /// Client to host: bytes typed.
    Input,
    /// Client to host: a size; payload: columns and rows, u16 each, and optionally a byte that says whether the
    /// client takes the size over (1, also without the byte) or only says how large it is (0). Host to client: the
    /// size now; payload: columns, rows, and a byte of [`Owner`].
    Resize,
    /// Host to client: bytes that draw the terminal as it was at an offset; payload: the offset, u64, then the bytes.
    /// A large one comes in several frames of the same offset; the first frame of another kind ends it.
    Snapshot,
}

impl Kind {
    /// The byte on the wire.
    pub fn byte(self) -> u8 {
        match self {
            Self::Output => b'O',
            Self::Gap => b'G',
            Self::End => b'X',
            Self::Input => b'I',
            Self::Resize => b'R',
            Self::Snapshot => b'S',
        }
    }

    /// The kind of a byte on the wire.
    pub fn of_byte(byte: u8) -> Option<Self> {
        [Self::Output, Self::Gap, Self::End, Self::Input, Self::Resize, Self::Snapshot]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }
}

/// Who decides how large the terminal is, as one client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Another client.
    Other,
    /// This client.
    You,
    /// Nobody: the size stays until somebody types or takes it.
    Nobody,
}

impl Owner {
    /// The byte on the wire.
    pub fn byte(self) -> u8 {
        match self {
            Self::Other => 0,
            Self::You => 1,
            Self::Nobody => 2,
        }
    }

    /// The owner of a byte on the wire.
    pub fn of_byte(byte: u8) -> Option<Self> {
        [Self::Other, Self::You, Self::Nobody].into_iter().find(|owner| owner.byte() == byte)
    }
}

/// Why a stream of frames can't be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind of a newer protocol, or garbage.
    #[error("frame of unknown kind 0x{0:02x}; the other side speaks another protocol version")]
    UnknownKind(u8),
    /// Longer than [`MAX_PAYLOAD`].
    #[error("frame of {0} bytes; at most {MAX_PAYLOAD} are allowed")]
    TooLong(usize),
}

/// The five bytes before a payload of `len` bytes.
pub fn header(kind: Kind, len: usize) -> [u8; HEADER_LEN] {
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [kind.byte(), len[0], len[1], len[2], len[3]]
}

/// Cuts a stream into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    read: usize,
}

impl Decoder {
    /// Takes bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The kind of the next frame, once its header is here.
    pub fn peek_kind(&self) -> Result<Option<Kind>, FrameError> {
        let rest = &self.buffer[self.read..];
        let Some((head, _)) = rest.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        Kind::of_byte(head[0]).map(Some).ok_or(FrameError::UnknownKind(head[0]))
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<(Kind, &[u8])>, FrameError> {
        let rest = &self.buffer[self.read..];
        let Some((head, _)) = rest.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let kind = Kind::of_byte(head[0]).ok_or(FrameError::UnknownKind(head[0]))?;
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if len > MAX_PAYLOAD {
            return Err(FrameError::TooLong(len));
        }
        if rest.len() < HEADER_LEN + len {
            return Ok(None);
        }
        let start = self.read + HEADER_LEN;
        self.read = start + len;
        Ok(Some((kind, &self.buffer[start..self.read])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn garbage_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(b"Z\0\0\0\0");
        assert_eq!(decoder.next_frame(), Err(FrameError::UnknownKind(b'Z')));
        let mut decoder = Decoder::default();
        decoder.push(&[b'O', 0xff, 0, 0, 0]);
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn frames_do_not_depend_on_chunking(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10), chunk in 1usize..20) {
            let mut stream = Vec::new();
            for payload in &payloads {
                stream.extend_from_slice(&header(Kind::Output, payload.len()));
                stream.extend_from_slice(payload);
            }
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for piece in stream.chunks(chunk) {
                decoder.push(piece);
                while let Some((kind, payload)) = decoder.next_frame().unwrap() {
                    prop_assert_eq!(kind, Kind::Output);
                    got.push(payload.to_vec());
                }
            }
            prop_assert_eq!(got, payloads);
        }
    }
}
