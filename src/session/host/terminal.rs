//! A terminal's WebSocket that the daemon has handed over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Host;
use super::watch::{self, How};
use crate::session::handing::Giver;
use crate::session::terminal::{self, Client, Living};

/// How long the socket may take to come.
const COMES: Duration = Duration::from_secs(5);

/// Serves the client that comes over this connection, until one of the three ends it.
pub(super) async fn run(host: Arc<Host>, upgrade: OnUpgrade, how: How, client: Client) {
    let took = async {
        let (giver, socket, early) = Giver::take(upgrade.await.map_err(io::Error::other)?).await?;
        socket.set_nonblocking(true)?;
        Ok::<_, io::Error>((giver, TcpStream::from_std(socket)?, early))
    };
    let (mut giver, socket, early) = match timeout(COMES, took).await {
        Ok(Ok(took)) => took,
        Ok(Err(error)) => return tracing::debug!(%error, "a terminal was not taken over"),
        Err(_) => return tracing::debug!("a terminal was not taken over in time"),
    };
    let end = host.output.end();
    let (events, keys) = watch::join(&host, how);
    let socket = terminal::socket(socket, early).await;
    let session = Living { events, keys, from: how.from, end };
    terminal::relay(socket, client, session, giver.word()).await;
    giver.done().await;
}
