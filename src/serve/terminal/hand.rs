//! A client's connection in the hands of the session's host.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream as Socket};
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use axum::body::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::session::terminal::{self, Client, Close, GOODBYE};
use crate::session::{Handed, HostClient, ScreenAttach};

/// How often a host is asked to take a socket, and the pause before it is asked again, which grows: of a crowd that comes
/// at once it lets go who has not shown its key yet.
const ASKED: (u32, Duration) = (6, Duration::from_millis(15));

/// A connection that the host of a session has.
#[derive(Debug)]
struct InHand {
    host: Handed,
    /// The same connection. The daemon says nothing on it while the host lives.
    socket: Socket,
    client: Client,
}

/// Has the host of the session in `folder` serve the connection to its end, or until `over` says so. An error gives it
/// back: no host has it.
pub async fn serve(
    (stream, early): (TcpStream, Bytes),
    folder: &Path,
    (how, client): (ScreenAttach, Client),
    over: impl Future<Output = Close>,
) -> Result<(), (io::Error, TcpStream, Bytes)> {
    let mut over = pin!(over);
    let handed = tokio::select! {
        handed = give((&stream, &early), folder, (how, client)) => handed,
        _ = &mut over => Err(ErrorKind::TimedOut.into()),
    };
    match handed {
        Ok(host) => {
            // Nothing watches it here from now on.
            if let Ok(socket) = stream.into_std() {
                InHand { host, socket, client }.until(over).await;
            }
        }
        Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::ConnectionAborted) => {
            tracing::debug!(%error, "a host may have a client's connection");
            let _ = rustix::net::shutdown(&stream, rustix::net::Shutdown::Both);
        }
        Err(error) => return Err((error, stream, early)),
    }
    Ok(())
}

async fn give(
    (stream, early): (&TcpStream, &Bytes),
    folder: &Path,
    (how, client): (ScreenAttach, Client),
) -> io::Result<Handed> {
    let (most, pause) = ASKED;
    let mut tries = 1;
    loop {
        match HostClient::hand(folder, (stream.as_fd(), early), how, client).await {
            Err(error) if tries < most && was_let_go(&error) => {
                tokio::time::sleep(pause * tries).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

/// Whether the host ended the connection without an answer.
fn was_let_go(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, Other, UnexpectedEof};
    matches!(error.kind(), Other | ConnectionReset | BrokenPipe | UnexpectedEof)
}

impl InHand {
    /// Waits until the host has ended the connection, or ends it when `over` says so.
    async fn until(mut self, over: impl Future<Output = Close>) {
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
