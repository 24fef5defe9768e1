//! Following a session and typing into it: the frames of an attachment, as its client sees them.

use std::io;

use bytes::{Buf, Bytes, BytesMut};

use super::client::foreign;
use super::duplex::{Incoming, Outgoing};
use crate::wire::frames::{Decoder, HEADER_LEN, Kind, MAX_PAYLOAD, Owner, header as frame_header};
use crate::wire::{SessionStatus, WindowSize};

/// Bytes read from a host at a time.
const READ_BUFFER: usize = 64 * 1024 + 64;

/// Most bytes of a snapshot.
const SNAPSHOT_MAX: usize = 16 * 1024 * 1024;

/// A session being followed.
#[derive(Debug)]
pub struct Attachment {
    /// What comes from it.
    pub events: Events,
    /// What goes to it.
    pub input: Input,
    /// After the newest byte when it was made; a host of an older program does not say it.
    pub end: Option<u64>,
}

/// What comes from a session.
#[derive(Debug)]
pub struct Events {
    incoming: Incoming,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// A snapshot of which not all is here.
    snapshot: Option<(u64, BytesMut)>,
}

/// One thing that came from a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Bytes of the terminal.
    Output(Bytes),
    /// The bytes between these offsets are no longer held.
    Gap(u64, u64),
    /// The screen as it was at an offset, on a terminal in any state. What the viewer showed before is void.
    Snapshot {
        /// Offset of the output that follows.
        at: u64,
        /// What draws it.
        bytes: Bytes,
    },
    /// The terminal's size, and who decides about it.
    Size {
        /// The size now.
        size: WindowSize,
        /// Whether it is this viewer's.
        owner: Owner,
    },
    /// The session has ended.
    End(Box<SessionStatus>),
}

impl Events {
    pub(super) fn new(incoming: Incoming) -> Self {
        let buffer = vec![0; READ_BUFFER];
        Self { incoming, decoder: Decoder::default(), buffer, snapshot: None }
    }

    /// The next event; `None` when the host went away without saying the end. Can be dropped while it waits.
    pub async fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.at_hand()? {
                return Ok(Some(event));
            }
            let count = self.incoming.read(&mut self.buffer).await?;
            if count == 0 {
                return Ok(None);
            }
            self.decoder.push(&self.buffer[..count]);
        }
    }

    fn at_hand(&mut self) -> io::Result<Option<Event>> {
        while let Some(kind) = self.decoder.peek_kind().map_err(foreign)? {
            if kind != Kind::Snapshot
                && let Some((at, bytes)) = self.snapshot.take()
            {
                return Ok(Some(Event::Snapshot { at, bytes: bytes.freeze() }));
            }
            let Some((_, payload)) = self.decoder.next_frame().map_err(foreign)? else { return Ok(None) };
            match kind {
                Kind::Output => return Ok(Some(Event::Output(Bytes::copy_from_slice(payload)))),
                Kind::Gap => return gap(payload).map(Some),
                Kind::End => return Ok(Some(Event::End(Box::new(serde_json::from_slice(payload)?)))),
                Kind::Resize => return size(payload).map(Some),
                Kind::Snapshot => collect(&mut self.snapshot, payload)?,
                Kind::Input => {}
            }
        }
        Ok(None)
    }
}

/// Adds a piece to the snapshot that is on its way.
fn collect(snapshot: &mut Option<(u64, BytesMut)>, payload: &[u8]) -> io::Result<()> {
    let Some((at, bytes)) = payload.split_first_chunk() else {
        return Err(foreign("a snapshot without its offset"));
    };
    let at = u64::from_be_bytes(*at);
    match snapshot {
        Some((from, whole)) if *from == at => {
            if whole.len() + bytes.len() > SNAPSHOT_MAX {
                return Err(foreign("a snapshot of more than 16 MiB"));
            }
            whole.extend_from_slice(bytes);
        }
        _ => *snapshot = Some((at, bytes.into())),
    }
    Ok(())
}

fn size(payload: &[u8]) -> io::Result<Event> {
    let owner = payload.get(4).and_then(|byte| Owner::of_byte(*byte));
    match (payload, owner) {
        (&[a, b, c, d, _], Some(owner)) => {
            let size = WindowSize { cols: u16::from_be_bytes([a, b]), rows: u16::from_be_bytes([c, d]) };
            Ok(Event::Size { size, owner })
        }
        _ => Err(foreign("a size that is none")),
    }
}

fn gap(payload: &[u8]) -> io::Result<Event> {
    let number =
        |range| payload.get(range).and_then(|bytes: &[u8]| bytes.try_into().ok()).map(u64::from_be_bytes);
    match (number(0..8), number(8..16)) {
        (Some(from), Some(to)) => Ok(Event::Gap(from, to)),
        _ => Err(foreign("a gap without its offsets")),
    }
}

/// What goes to a session. It waits here until the host takes it, so that whoever types can go on listening.
#[derive(Debug)]
pub struct Input {
    outgoing: Outgoing,
    waiting: BytesMut,
}

impl Input {
    pub(super) fn new(outgoing: Outgoing) -> Self {
        Self { outgoing, waiting: BytesMut::new() }
    }

    /// Types `bytes`, at the next [`flush`](Self::flush).
    pub fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(MAX_PAYLOAD) {
            self.frame(Kind::Input, piece);
        }
    }

    /// Changes the terminal's size, at the next [`flush`](Self::flush), and takes the decision about it over.
    pub fn resize(&mut self, size: WindowSize) {
        let payload = [size.cols.to_be_bytes(), size.rows.to_be_bytes()].concat();
        self.frame(Kind::Resize, &payload);
    }

    /// Says how large this viewer is, at the next [`flush`](Self::flush): the terminal's size once it types, or at once
    /// when it decides about it already.
    pub fn state_size(&mut self, size: WindowSize) {
        let [a, b] = size.cols.to_be_bytes();
        let [c, d] = size.rows.to_be_bytes();
        self.frame(Kind::Resize, &[a, b, c, d, 0]);
    }

    /// Bytes that the host has not taken yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Hands over what waits. Can be dropped while it waits, and called again.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match self.outgoing.write(&self.waiting).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.waiting.advance(count),
            }
        }
        Ok(())
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) {
        self.waiting.reserve(HEADER_LEN + payload.len());
        self.waiting.extend_from_slice(&frame_header(kind, payload.len()));
        self.waiting.extend_from_slice(payload);
    }
}
