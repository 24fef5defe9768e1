//! The accept loop: one task a connection, under the limits.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::connections::{Busy, Connections, Ticket};
use super::io::TimedSocket;
use super::{App, Limits, router};
use crate::util::Shutdown;

/// How long to wait after the system refused a new socket.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Sent to a client for whom there is no place; written at once or not at all.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Answers on `listener` until the daemon stops. The connections are tasks of the app's `Shutdown`.
pub async fn run(listener: TcpListener, app: Arc<App>) {
    let (limits, shutdown) = (app.limits, app.shutdown.clone());
    let router = router::build(app);
    let connections = Connections::new(limits.connections);
    let mut stopped = pin!(shutdown.stopped());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => match connections.enter() {
                Some(ticket) => {
                    let router = router.clone();
                    let served = serve(socket, ticket, router, limits, shutdown.clone());
                    // Ended by the shutdown it was given; nobody asks for its result.
                    drop(shutdown.spawn(served));
                }
                None => drop(socket.try_write(FULL)),
            },
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted; closing an idle one");
                connections.evict();
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

/// Whether the client went away before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

async fn serve(socket: TcpStream, ticket: Ticket, router: Router, limits: Limits, shutdown: Shutdown) {
    // Small events must not wait for the acknowledgement of the last one.
    let _ = socket.set_nodelay(true);
    let slot = Arc::clone(&ticket.slot);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let busy = slot.busy();
        let answer = router.clone().oneshot(request.map(Body::new));
        async move {
            let Ok(response) = answer.await;
            Ok::<_, Infallible>(response.map(|body| InFlight { body, _busy: busy }))
        }
    });
    let io = TokioIo::new(TimedSocket::new(socket, Arc::clone(&ticket.slot), limits));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            // The socket keeps the time; this only makes the library look at it after every answer.
            .header_read_timeout(limits.idle_time + limits.head_time)
            .max_buf_size(limits.head_bytes)
            .serve_connection(io, service)
    );
    let mut stopped = pin!(shutdown.stopped());
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = ticket.slot.evicted() => return,
            () = &mut stopped, if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// An answer's body that keeps its connection busy until it is sent.
struct InFlight {
    body: Body,
    _busy: Busy,
}

impl HttpBody for InFlight {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
