//! The host's socket: HTTP/1.1 for this user alone.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::places::{Place, Places};
use super::{Host, api};
use crate::session::handing;
use crate::store::is_ours;
use crate::util::Shutdown;

/// How long the first byte of a connection may take, and a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an error of `accept`, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves clients until `clients` stops.
pub(super) async fn accept(host: Arc<Host>, listener: UnixListener, clients: Shutdown) {
    let places = Arc::new(Places::new());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = clients.stopped() => return,
        };
        match stream {
            Ok((stream, _)) if is_ours(&stream) => {
                clients.spawn(serve(Arc::clone(&host), stream, (clients.clone(), places.enter())));
                // It is read before the next one comes: whoever shows the key at once is not pushed out by a crowd.
                tokio::task::yield_now().await;
            }
            Ok(_) => tracing::warn!("a connection of another user was refused"),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(host: Arc<Host>, stream: UnixStream, (clients, place): (Shutdown, Place)) {
    let ahead = tokio::select! {
        ahead = timeout(HEAD_TIMEOUT, handing::ahead(&stream)) => ahead,
        () = place.let_go() => return,
        () = clients.stopped() => return,
    };
    let Ok(Ok(descriptor)) = ahead else { return };
    let place = Arc::new(place);
    let service = {
        // It goes with the first request alone.
        let descriptor = Cell::new(descriptor);
        let (clients, place) = (clients.clone(), Arc::clone(&place));
        service_fn(move |request| {
            let client = (clients.clone(), Arc::clone(&place));
            api::answer(Arc::clone(&host), client, (descriptor.take(), request))
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = place.let_go() => return,
        () = clients.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a client's connection ended");
    }
}
