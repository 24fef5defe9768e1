//! From the client to the session.

use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tungstenite::error::ProtocolError;
use tungstenite::{Error, Message};

use super::frames::{Asked, Close};
use super::heartbeat::Heartbeat;
use super::side::Keys;

/// Typed bytes that wait for a program that does not read; beyond it the client waits.
const WAITING_MAX: usize = 512 * 1024;

/// Takes what the client sends until it goes away. `None`: it closed the socket itself.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut SplitStream<WebSocketStream<S>>,
    input: &mut impl Keys,
    read_only: bool,
    heartbeat: &Heartbeat,
) -> Option<Close> {
    loop {
        let full = input.waiting() >= WAITING_MAX;
        // Whoever is not listened to cannot answer.
        heartbeat.excuse(full);
        tokio::select! {
            frame = frames.next(), if !full => {
                heartbeat.heard();
                match frame {
                    Some(Ok(message)) => {
                        if let Err(close) = take(message, input, read_only) {
                            return close;
                        }
                    }
                    Some(Err(error)) => return refused(&error),
                    None => return None,
                }
            }
            flushed = input.flush(), if input.waiting() > 0 => {
                if flushed.is_err() {
                    // The session's end is told on the way down.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// What a client is told whose frames cannot be read; nothing when it just went away.
pub fn refused(error: &Error) -> Option<Close> {
    match error {
        Error::Capacity(_) => Some(Close::TooBig),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) | Error::Utf8(_) => Some(Close::Garbage),
        _ => None,
    }
}

fn take(message: Message, input: &mut impl Keys, read_only: bool) -> Result<(), Option<Close>> {
    match message {
        Message::Binary(bytes) if !read_only => input.send(&bytes),
        Message::Text(text) => match Asked::of(&text) {
            // It changes nothing, and is answered.
            Asked::Size(size, _) if read_only => input.state_size(size),
            Asked::Size(size, true) => input.resize(size),
            Asked::Size(size, false) => input.state_size(size),
            Asked::Nothing => {}
            Asked::Typed if read_only => return Err(Some(Close::NotAllowed)),
            Asked::Typed => input.send(text.as_bytes()),
        },
        Message::Binary(_) => return Err(Some(Close::NotAllowed)),
        Message::Close(_) => return Err(None),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
    }
    Ok(())
}
