//! The host's socket: HTTP/1.1 for this user alone.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{Host, api};
use crate::store::ensure_private_dir;
use crate::util::Shutdown;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 64;

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an error of `accept`, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Binds the socket, 0600. The caller holds the lease, so whatever is there is left over.
pub(super) fn bind(socket: &Path) -> io::Result<UnixListener> {
    socket.parent().map_or(Ok(()), ensure_private_dir)?;
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves clients until `clients` stops.
pub(super) async fn accept(host: Arc<Host>, listener: UnixListener, clients: Shutdown) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = clients.stopped() => return,
        };
        match stream {
            Ok((stream, _)) if is_ours(&stream) => {
                let connection = serve(Arc::clone(&host), stream, clients.clone());
                clients.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Ok(_) => tracing::warn!("a connection of another user was refused"),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

async fn serve(host: Arc<Host>, stream: UnixStream, clients: Shutdown) {
    let service = {
        let clients = clients.clone();
        service_fn(move |request| api::answer(Arc::clone(&host), clients.clone(), request))
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = clients.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a client's connection ended");
    }
}
