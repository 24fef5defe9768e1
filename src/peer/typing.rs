//! Typing into a session by its terminal, at a daemon that has no path for it: those of gmux 1.x.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tungstenite::Message;

use super::{PeerClient, PeerError, PeerSocket, RemoteId};

/// How long it may take until all is typed, and how long the other side has then to say that it took it.
const TIME: Duration = Duration::from_secs(10);
const GOODBYE: Duration = Duration::from_secs(2);

/// Bytes sent at a time: the runners of gmux end at more than 64 KiB.
const PIECE: usize = 32 * 1024;

/// Types these bytes as somebody would who looks at the session.
pub async fn type_by_terminal(client: &PeerClient, to: RemoteId<'_>, typed: &[u8]) -> Result<(), PeerError> {
    let typing = async {
        let mut socket = client.terminal(&format!("/ws/{}", to.segment())).await?;
        attached(&mut socket).await?;
        for piece in typed.chunks(PIECE) {
            let piece = Message::Binary(Bytes::copy_from_slice(piece));
            socket.send(piece).await.map_err(|error| PeerError::of_socket(&error))?;
        }
        Ok(socket)
    };
    let mut socket = timeout(TIME, typing).await.unwrap_or(Err(PeerError::TimedOut))?;
    // Frames are read in order: when it answers this, it has read the others.
    let goodbye = async {
        if socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(GOODBYE, goodbye).await;
    Ok(())
}

/// Waits for the session's picture, which comes before anything is taken.
async fn attached(socket: &mut PeerSocket) -> Result<(), PeerError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(_))) => return Ok(()),
            Some(Ok(Message::Close(Some(why)))) => return Err(PeerError::refuses(&why.reason)),
            Some(Ok(Message::Close(None))) | None => return Err(PeerError::Lost),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(PeerError::of_socket(&error)),
        }
    }
}
