//! A terminal's WebSocket that the daemon has handed over.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

use super::Host;
use super::api::{Body, body, failure};
use super::watch::{self, How};
use crate::session::handing::Giver;
use crate::session::terminal::{self, Client, Living};

/// The client's socket that came ahead of this request, whose body is what the client has sent already.
pub(super) async fn take(
    descriptor: Option<OwnedFd>,
    request: Request<Incoming>,
) -> Result<WebSocketStream<TcpStream>, Response<Body>> {
    let refused = |error| failure(StatusCode::BAD_REQUEST, error);
    let socket = descriptor.ok_or_else(|| failure(StatusCode::BAD_REQUEST, "no socket came ahead of it"))?;
    let socket = std::net::TcpStream::from(socket);
    socket.set_nonblocking(true).map_err(refused)?;
    let socket = TcpStream::from_std(socket).map_err(refused)?;
    Ok(terminal::socket(socket, body(request).await?).await)
}

/// Serves the client, until one of the three ends it. The daemon's connection may still be on its way out of HTTP.
pub(super) async fn run(
    host: Arc<Host>,
    (socket, daemon): (WebSocketStream<TcpStream>, OnUpgrade),
    how: How,
    client: Client,
) {
    let mut giver = Giver::new(daemon);
    let end = host.output.end();
    let (events, keys) = watch::join(&host, how);
    let session = Living { events, keys, from: how.from, end };
    terminal::relay(socket, client, session, giver.word()).await;
    giver.done().await;
}
