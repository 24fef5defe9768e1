//! A client's connection in the hands of the session's host.

use std::io;
use std::net::{Shutdown, TcpStream as Socket};

use axum::body::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::session::terminal::{self, Client, Close, GOODBYE};
use crate::session::{Handed, OpenHand};

/// A connection that the host of a session has.
#[derive(Debug)]
pub struct InHand {
    host: Handed,
    /// The same connection. The daemon says nothing on it while the host lives.
    socket: Socket,
    client: Client,
}

/// Gives the connection to a host; an error gives it back.
pub async fn give(
    (stream, early): (TcpStream, Bytes),
    host: OpenHand,
    client: Client,
) -> Result<InHand, (io::Error, Option<(TcpStream, Bytes)>)> {
    // Nothing watches it here from now on.
    let socket = stream.into_std().map_err(|error| (error, None))?;
    match host.give(&socket, &early).await {
        Ok(host) => Ok(InHand { host, socket, client }),
        Err(error) => Err((error, TcpStream::from_std(socket).ok().map(|stream| (stream, early)))),
    }
}

impl InHand {
    /// Waits until the host has ended the connection, or ends it when `over` says so.
    pub async fn until(mut self, over: impl Future<Output = Close>) {
        let close = tokio::select! {
            ended = self.host.ended() => match ended {
                Ok(()) => return,
                Err(_) => return self.abandoned().await,
            },
            close = over => close,
        };
        let told = async {
            self.host.end(close).await?;
            self.host.ended().await
        };
        if !matches!(timeout(GOODBYE * 2, told).await, Ok(Ok(()))) {
            // The host does not answer; nobody may go on looking.
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }

    /// The host is gone. What it wrote last may be half a frame, which the client sees by itself.
    async fn abandoned(self) {
        if let Ok(stream) = TcpStream::from_std(self.socket) {
            terminal::refuse(terminal::socket(stream, Bytes::new()).await, self.client, Close::Gone).await;
        }
    }
}
