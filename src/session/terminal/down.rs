//! From the session to the client.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{FutureExt, SinkExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::frames::{Close, Told};
use super::heartbeat::Heartbeat;
use super::side::Source;
use crate::session::Event;
use crate::wire::frames::Owner;

/// The slowest connection that a picture is sent over, in bytes a millisecond.
const SLOWEST: u64 = 16;

/// Output of this size is sent without waiting for more, in bytes.
const ENOUGH: usize = 64 * 1024;

/// Most bytes of one frame, above what output comes in: a picture goes in several. The library copies each into memory of
/// its own, and a client reads the first ones while the next are copied.
const FRAME: usize = 128 * 1024;

/// A frame that took so long waited for the client.
const WAITED: Duration = Duration::from_millis(100);

/// What is to be done next.
enum Next {
    Event(Event),
    Ping(Message),
    Over(Close),
}

async fn next(events: &mut impl Source, heartbeat: &Heartbeat) -> Next {
    tokio::select! {
        event = events.next() => match event {
            Ok(Some(event)) => Next::Event(event),
            Ok(None) | Err(_) => Next::Over(Close::Gone),
        },
        beat = heartbeat.next() => match beat {
            Ok(ping) => Next::Ping(ping),
            Err(close) => Next::Over(close),
        },
    }
}

/// Adds the output that is here already; what is none comes next.
fn gather(first: Bytes, events: &mut impl Source, ahead: &mut Option<Event>) -> Bytes {
    let mut joined: Option<Vec<u8>> = None;
    while joined.as_ref().map_or(first.len(), Vec::len) < ENOUGH {
        match events.next().now_or_never() {
            Some(Ok(Some(Event::Output(more)))) => {
                joined.get_or_insert_with(|| first.to_vec()).extend_from_slice(&more);
            }
            Some(Ok(Some(event))) => {
                *ahead = Some(event);
                break;
            }
            // An end or a failure shows again at the next look.
            _ => break,
        }
    }
    joined.map_or(first, Bytes::from)
}

/// How much is in a frame, in bytes.
fn length(message: &Message) -> u64 {
    match message {
        Message::Binary(bytes) => bytes.len() as u64,
        _ => 0,
    }
}

/// The client's side of a socket.
#[derive(Debug)]
pub struct Down<S> {
    /// Where frames go.
    pub sink: SplitSink<WebSocketStream<S>, Message>,
    /// Whether the client knows the frames that gmux does not have.
    pub ours: bool,
    /// Whether it may only watch.
    pub read_only: bool,
    /// Where it is.
    pub at: Option<u64>,
    /// After the newest byte when it came.
    pub end: u64,
    /// Longest time for one frame.
    pub stall: Duration,
    /// The client took a frame that had to wait for it: it is there, however much lies between it and a ping.
    pub took: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Down<S> {
    /// Sends what comes, until the end.
    pub(super) async fn run(&mut self, events: &mut impl Source, heartbeat: &Heartbeat) -> Close {
        let mut ahead = None;
        loop {
            let next = match ahead.take() {
                Some(event) => Next::Event(event),
                None => next(events, heartbeat).await,
            };
            let sent = match next {
                Next::Event(Event::Output(bytes)) => {
                    let bytes = gather(bytes, events, &mut ahead);
                    self.output(bytes).await
                }
                Next::Event(event) => self.other(event).await,
                Next::Ping(ping) => self.send(ping).await,
                Next::Over(close) => Err(close),
            };
            if let Err(close) = sent {
                return close;
            }
            if std::mem::take(&mut self.took) {
                heartbeat.heard();
            }
        }
    }

    async fn output(&mut self, bytes: Bytes) -> Result<(), Close> {
        // The first output without a picture before it: the client goes on where it was.
        if let Some(at) = self.at.take() {
            self.attached(at, false).await?;
        }
        self.send(Message::Binary(bytes)).await
    }

    async fn other(&mut self, event: Event) -> Result<(), Close> {
        match event {
            Event::Output(bytes) => self.output(bytes).await,
            Event::Snapshot { at, bytes } => {
                self.at = None;
                self.end = self.end.max(at);
                self.attached(at, true).await?;
                self.send(Message::Binary(bytes)).await
            }
            Event::Size { size, owner } => {
                if let Some(at) = self.at.take() {
                    self.attached(at, false).await?;
                }
                let owner = owner != Owner::Other;
                let told =
                    Told::TerminalResize { cols: size.cols, rows: size.rows, source: "web_client", owner };
                self.send(told.message()).await
            }
            // Only of a host without pictures: the client is told where it goes on.
            Event::Gap(_, to) => self.attached(to, false).await,
            Event::End(status) => {
                self.exit(status.exit_code).await?;
                Err(Close::Exited)
            }
        }
    }

    /// Says how the program ended, to clients that know the frame.
    pub(super) async fn exit(&mut self, exit_code: Option<i32>) -> Result<(), Close> {
        if self.ours { self.send(Told::Exit { exit_code }.message()).await } else { Ok(()) }
    }

    /// Says where the bytes that follow begin, to clients that know the frame.
    pub(super) async fn attached(&mut self, at: u64, snapshot: bool) -> Result<(), Close> {
        let told = Told::Attached { at, end: self.end.max(at), snapshot, read_only: self.read_only };
        if self.ours { self.send(told.message()).await } else { Ok(()) }
    }

    /// Sends one message, unless the client takes nothing for too long.
    pub async fn send(&mut self, message: Message) -> Result<(), Close> {
        let begun = Instant::now();
        let patience = self.stall + Duration::from_millis(length(&message) / SLOWEST);
        match tokio::time::timeout_at(begun + patience, self.write(message)).await {
            Ok(Ok(())) => {
                self.took |= begun.elapsed() >= WAITED;
                Ok(())
            }
            Ok(Err(_)) => Err(Close::Gone),
            Err(_) => Err(Close::TooSlow),
        }
    }

    async fn write(&mut self, message: Message) -> tungstenite::Result<()> {
        let mut bytes = match message {
            Message::Binary(bytes) if bytes.len() > FRAME => bytes,
            message => return self.sink.send(message).await,
        };
        let mut kind = Data::Binary;
        while !bytes.is_empty() {
            let part = bytes.split_to(FRAME.min(bytes.len()));
            let frame = Frame::message(part, OpCode::Data(kind), bytes.is_empty());
            self.sink.send(Message::Frame(frame)).await?;
            kind = Data::Continue;
        }
        Ok(())
    }
}
