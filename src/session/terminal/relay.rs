//! One socket from its begin to its end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::SplitStream;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocketConfig};

use super::down::Down;
use super::frames::Close;
use super::heartbeat::Heartbeat;
use super::side::{Keys, Source};
use super::up;

/// How long a client may take for the frame that says why its socket is closed.
pub const GOODBYE: Duration = Duration::from_secs(1);

/// The same for a client that took nothing: it may be stopped, and finds the reason when it goes on.
const GOODBYE_TO_THE_SLOW: Duration = Duration::from_mins(1);

/// How long a socket that cannot be read any more stays open for what it was told.
const LINGER: Duration = Duration::from_millis(300);

/// Largest frame that a client may send, in bytes.
const FRAME_MAX: usize = 256 * 1024;

/// Bytes that may wait for a client inside the library, beyond what the session sends at once.
const WRITE_BUFFER_MAX: usize = 8 * 1024 * 1024;

/// Bytes read from a client at a time: keys, mostly.
const READ_BUFFER: usize = 16 * 1024;

/// What an ended session put out comes in pieces of so many bytes.
const REST: usize = 128 * 1024;

/// What a client is, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// It knows the frames that gmux does not have.
    pub ours: bool,
    /// It may only watch.
    pub read_only: bool,
    /// Longest time for one frame.
    pub stall: Duration,
    /// Between two questions whether it is there.
    pub ping: Duration,
    /// How long it may take to answer.
    pub pong: Duration,
}

/// The session's side of a socket.
#[derive(Debug)]
pub struct Living<E, K> {
    /// What it shows.
    pub events: E,
    /// Where it takes keys and sizes.
    pub keys: K,
    /// The next byte that the client wants, where it goes on.
    pub from: Option<u64>,
    /// After the newest byte when the client came.
    pub end: u64,
}

/// A client's connection once HTTP has left it; `early` came with the request's head.
pub async fn socket<S: AsyncRead + AsyncWrite + Unpin>(stream: S, early: Bytes) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_MAX))
        .max_frame_size(Some(FRAME_MAX))
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX);
    WebSocketStream::from_partially_read(stream, early.into(), Role::Server, Some(config)).await
}

/// Carries the session to the client and the client's keys to the session, until one of them ends it or `over` does.
pub async fn relay<S, E, K>(
    socket: WebSocketStream<S>,
    client: Client,
    session: Living<E, K>,
    over: impl Future<Output = Close>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    E: Source,
    K: Keys,
{
    let (mut down, mut frames) = sides(socket, client, session.from);
    let Living { mut events, mut keys, from: _, end } = session;
    down.end = end;
    let heartbeat = Heartbeat::new(client.ping, client.pong);
    let close = tokio::select! {
        close = down.run(&mut events, &heartbeat) => Some(close),
        close = up::run(&mut frames, &mut keys, client.read_only, &heartbeat) => close,
        close = over => Some(close),
    };
    // Nothing more is fetched for it.
    drop((events, keys));
    goodbye(down, frames, close).await;
}

/// What there is to show of an ended session.
#[derive(Debug)]
pub enum Last {
    /// Its picture, and the offset after its last byte.
    Picture(u64, Bytes),
    /// For a client that goes on at this offset, what it has not.
    Rest(u64, Bytes),
}

/// Says all there is to say of an ended session: what there is to show, and the code a shell would report.
pub async fn last_words<S>(socket: WebSocketStream<S>, client: Client, last: Last, exit_code: Option<i32>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut down, frames) = sides(socket, client, None);
    let said = async {
        match last {
            Last::Picture(at, picture) => {
                down.attached(at, true).await?;
                down.send(Message::Binary(picture)).await?;
            }
            Last::Rest(at, mut rest) => {
                down.end = at + rest.len() as u64;
                down.attached(at, false).await?;
                while !rest.is_empty() {
                    let piece = rest.split_to(REST.min(rest.len()));
                    down.send(Message::Binary(piece)).await?;
                }
            }
        }
        down.exit(exit_code).await
    };
    let close = said.await.err().unwrap_or(Close::Exited);
    goodbye(down, frames, Some(close)).await;
}

/// Says why there is no terminal.
pub async fn refuse<S>(socket: WebSocketStream<S>, client: Client, close: Close)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (down, frames) = sides(socket, client, None);
    goodbye(down, frames, Some(close)).await;
}

fn sides<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    client: Client,
    at: Option<u64>,
) -> (Down<S>, SplitStream<WebSocketStream<S>>) {
    let (sink, frames) = socket.split();
    let Client { ours, read_only, stall, .. } = client;
    (Down { sink, ours, read_only, at, end: 0, stall, took: false }, frames)
}

/// How long a client whose socket ends like this may take for the reason.
pub fn patience(close: Option<Close>) -> Duration {
    if matches!(close, Some(Close::TooSlow)) { GOODBYE_TO_THE_SLOW } else { GOODBYE }
}

/// Ends the socket: with this word, or with the answer to the client's own.
async fn goodbye<S: AsyncRead + AsyncWrite + Unpin>(
    mut down: Down<S>,
    mut frames: SplitStream<WebSocketStream<S>>,
    close: Option<Close>,
) {
    tracing::debug!(?close, "a terminal's socket is closed");
    let said = async {
        match close {
            Some(close) => down.sink.send(close.message()).await,
            None => down.sink.flush().await,
        }
    };
    if matches!(tokio::time::timeout(patience(close), said).await, Ok(Ok(()))) {
        let answered = async {
            // Closing before the client has answered could take the last frames from it.
            while let Some(Ok(_)) = frames.next().await {}
            if matches!(close, Some(Close::Garbage | Close::TooBig)) {
                // What it still sends cannot be read, and closing at once would take the frame from it, too.
                tokio::time::sleep(LINGER).await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, answered).await;
    }
    // The daemon has the connection, too, and may stand still.
    if let Ok(mut socket) = down.sink.reunite(frames) {
        let _ = tokio::time::timeout(GOODBYE, socket.get_mut().shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, DuplexStream};

    const CLIENT: Client = Client {
        ours: false,
        read_only: true,
        stall: Duration::from_secs(10),
        ping: Duration::from_secs(20),
        pong: Duration::from_secs(10),
    };

    /// Output without end for a client that takes nothing.
    fn stalled() -> (DuplexStream, impl Future<Output = ()>) {
        let (here, there) = tokio::io::duplex(64 * 1024);
        let picture = Bytes::from(vec![b'x'; 256 * 1024]);
        let words = async move {
            let socket = socket(there, Bytes::new()).await;
            last_words(socket, CLIENT, Last::Picture(0, picture), Some(0)).await;
        };
        (here, words)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_took_nothing_finds_out_why_when_it_goes_on() {
        let (mut client, words) = stalled();
        let reads = async {
            tokio::time::sleep(Duration::from_mins(1)).await;
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            let code = &heard[heard.len() - b"too slow".len() - 2..];
            assert_eq!(code, [&4008_u16.to_be_bytes()[..], b"too slow"].concat());
        };
        tokio::join!(words, reads);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_never_goes_on_is_not_waited_for_without_end() {
        let (_client, words) = stalled();
        let begun = tokio::time::Instant::now();
        words.await;
        // The stall, the time that a picture may take on a slow connection, and the reason's.
        assert!((70..90).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }
}
