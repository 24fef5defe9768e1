//! The accept loops, of TCP and of the unix socket: one task a connection, under the limits.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use hyper::StatusCode;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tower::ServiceExt;

use super::auth::Peer;
use super::connections::{Busy, Connections, Slot, Ticket};
use super::io::TimedSocket;
use super::takeover::{Socket, Taken};
use super::{App, Limits, router};
use crate::store::is_ours;
use crate::util::{Clock, Shutdown};

/// How long to wait after the system refused a new socket.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Sent to a client for whom there is no place; written at once or not at all.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A connection's socket, which can be written to by hand.
pub(super) trait Stream: AsyncRead + AsyncWrite + Into<Socket> + Send + Unpin + 'static {}

impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// Where connections come from.
pub(super) trait Listen: Send {
    /// One connection.
    type Socket: Stream;

    /// The next one, with its other end. `None`: it is not for us.
    fn accept(&self) -> impl Future<Output = io::Result<Option<(Self::Socket, Peer)>>> + Send;

    /// Says at once that there is no place.
    fn refuse(socket: &Self::Socket);
}

impl Listen for TcpListener {
    type Socket = TcpStream;

    async fn accept(&self) -> io::Result<Option<(TcpStream, Peer)>> {
        let (socket, remote) = Self::accept(self).await?;
        // Small events must not wait for the acknowledgement of the last one.
        let _ = socket.set_nodelay(true);
        let local = socket.local_addr()?;
        Ok(Some((socket, Peer::Tcp { remote, local })))
    }

    fn refuse(socket: &TcpStream) {
        let _ = socket.try_write(FULL);
    }
}

impl Listen for UnixListener {
    type Socket = UnixStream;

    async fn accept(&self) -> io::Result<Option<(UnixStream, Peer)>> {
        let (socket, _) = Self::accept(self).await?;
        if is_ours(&socket) {
            return Ok(Some((socket, Peer::Socket)));
        }
        tracing::warn!("a connection of another user to the daemon's socket was refused");
        Ok(None)
    }

    fn refuse(socket: &UnixStream) {
        let _ = socket.try_write(FULL);
    }
}

/// Answers on `listener` until the daemon stops. The connections are tasks of the app's `Shutdown`.
pub async fn run(listener: TcpListener, app: Arc<App>) {
    answer(listener, Service::of(app)).await;
}

/// Answers this user on the daemon's unix socket until the daemon stops. Its connections have places of their own,
/// which nobody else can take.
pub async fn run_socket(listener: UnixListener, app: Arc<App>) {
    answer(listener, Service::of(app)).await;
}

/// The same for any service.
pub(super) async fn answer<L: Listen>(listener: L, service: Service) {
    let shutdown = service.shutdown.clone();
    let connections = Connections::new(service.limits.connections);
    let mut stopped = pin!(shutdown.stopped());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(None) => {}
            Ok(Some((socket, peer))) => match connections.enter() {
                Some(ticket) => {
                    // Ended by the shutdown it was given; nobody asks for its result.
                    drop(shutdown.spawn(serve(socket, peer, ticket, service.clone())));
                }
                None => L::refuse(&socket),
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

async fn serve<S: Stream>(socket: S, peer: Peer, ticket: Ticket, service: Service) {
    let limits = service.limits;
    // In a box of its own, which goes before an answer without an end begins.
    let answered = Box::pin(service.answer(socket, peer, Arc::clone(&ticket.slot))).await;
    let ended = match answered {
        Ok(Some((taken, socket))) => Box::pin(taken.run(socket.into(), limits)).await,
        Ok(None) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// What every connection is served with.
#[derive(Clone)]
pub(super) struct Service {
    /// What answers.
    pub(super) router: Router,
    /// What a client may take.
    pub(super) limits: Limits,
    /// Where the time comes from.
    pub(super) clock: Clock,
    /// When it ends.
    pub(super) shutdown: Shutdown,
}

impl Service {
    fn of(app: Arc<App>) -> Self {
        let (limits, clock, shutdown) = (app.limits, app.clock.clone(), app.shutdown.clone());
        Self { router: router::build(app), limits, clock, shutdown }
    }

    /// Answers requests until the connection ends, or until an answer is to be written by hand.
    async fn answer<S: Stream>(
        self,
        socket: S,
        peer: Peer,
        slot: Arc<Slot>,
    ) -> hyper::Result<Option<(Taken, S)>> {
        let Self { router, limits, clock, shutdown } = self;
        let io = TokioIo::new(TimedSocket::new(socket, Arc::clone(&slot), limits));
        let taken = Arc::new(Mutex::new(None));
        let (take, asked) = (Arc::clone(&taken), Arc::clone(&slot));
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let busy = asked.busy();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let answer = router.clone().oneshot(request);
            let (take, slot, clock) = (Arc::clone(&take), Arc::clone(&asked), clock.clone());
            async move {
                let Ok(response) = answer.await;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    slot.upgraded();
                }
                match Taken::of(response, busy, &clock) {
                    Err((response, busy)) => {
                        Ok::<_, Infallible>(response.map(|body| InFlight { body, _busy: busy }))
                    }
                    Ok(taken) => {
                        *locked(&take) = Some(taken);
                        // The library is left now.
                        std::future::pending().await
                    }
                }
            }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The socket keeps the time; this only makes the library look at it after every answer.
            .header_read_timeout(limits.idle_time + limits.head_time)
            .max_buf_size(limits.head_bytes)
            .serve_connection(io, service)
            .with_upgrades();
        let mut stopped = pin!(shutdown.stopped());
        let mut stopping = false;
        loop {
            let answering = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
                // The library sends what it has before it rests; what the socket did not take, it sends first.
                Poll::Pending if slot.has_unsent() => Poll::Pending,
                Poll::Pending => match locked(&taken).take() {
                    Some(taken) => Poll::Ready(Ok(Some(taken))),
                    None => Poll::Pending,
                },
            });
            tokio::select! {
                ended = answering => {
                    let Some(taken) = ended? else { return Ok(None) };
                    // Always there: it was not upgraded.
                    let parts = connection.into_parts();
                    return Ok(parts.map(|parts| (taken, parts.io.into_inner().into_socket())));
                }
                () = slot.evicted() => return Ok(None),
                () = &mut stopped, if !stopping => {
                    stopping = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, FlowConfig, ModelsConfig, Paths, Provenance};
    use crate::fleet::discovery::Discovery;
    use crate::fleet::{Beacon, FactsSource, Identity, Live, RosterFile, RunnerGauge};
    use crate::model::MachineId;
    use crate::peer::{Peers, PeersParts};
    use crate::serve::auth::AuthConfig;
    use crate::serve::{AppConfig, FleetView, Hosts, Inviting, Launching};
    use crate::session::Table;
    use crate::session::live::LiveTable;
    use crate::work::Journal;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    const DAY: &str = "2026-11-22";

    struct Served {
        home: tempfile::TempDir,
        port: u16,
        shutdown: Shutdown,
    }

    fn fleet(home: &std::path::Path, nowhere: &str) -> FleetView {
        let vars = [
            ("HOME", home.to_str().unwrap()),
            ("DARKMUX_LMSTUDIO_URL", nowhere),
            ("DARKMUX_OLLAMA_URL", nowhere),
        ];
        let config = Config::load(Environment::of(vars), &[]).unwrap();
        let machine_id = MachineId::new("testbox").unwrap();
        let facts = FactsSource::new(machine_id.clone(), &config.runner(), config.crew(), config.models());
        let identity = Identity { machine_id, uid: uuid::Uuid::nil(), address: None, accept: Vec::new() };
        let gauge = tokio::sync::watch::channel(RunnerGauge::default()).1;
        FleetView {
            beacon: Arc::new(Beacon::new(identity, Arc::new(facts), gauge, Clock::System)),
            live: Arc::new(Live::new(None)),
            roster: RosterFile::new(home.join("fleet.json")),
            redis: None,
        }
    }

    async fn serve_with(limits: Limits) -> Served {
        let home = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let provenance = Provenance { machine_id: MachineId::new("testbox").unwrap(), orchestrator: None };
        let flow =
            FlowConfig { dir: home.path().to_owned(), audit_dir: None, sync_always: false, provenance };
        let nowhere = "http://127.0.0.1:9".to_owned();
        let shutdown = Shutdown::new();
        let config = Config::load(Environment::of([("HOME", home.path())]), &[]).unwrap();
        let config = AppConfig {
            flow: flow.clone(),
            fleet_flow: None,
            queue: None,
            sessions_dir: home.path().join("sessions"),
            fleet: fleet(home.path(), &nowhere),
            models: ModelsConfig::default(),
            hosts: Hosts::new(port, &[]),
            auth: AuthConfig {
                paths: Paths::from_env(&Environment::of([("DARKMUX_HOME", home.path())])).unwrap(),
                serve_token: None,
                require_all: false,
                port,
                door: None,
            },
            live: LiveTable::new(Table::new(home.path().join("sessions")), None, shutdown.clone()),
            peers: peers(config.clone(), &flow, &shutdown),
            journal: Journal::new(&home.path().join("queue"), Clock::System),
            discovery: Discovery::none(),
            launching: Launching {
                session: config.session(),
                crew: config.crew(),
                env: Environment::default(),
                home: None,
                listen: listener.local_addr().unwrap(),
            },
            inviting: Inviting { config: config.clone(), listen: listener.local_addr().unwrap() },
            limits,
            clock: Clock::manual(format!("{DAY}T12:00:00Z").parse().unwrap()),
        };
        let app = Arc::new(App::new(config, shutdown.clone()));
        drop(shutdown.spawn(run(listener, app)));
        Served { home, port, shutdown }
    }

    fn peers(config: Config, flow: &FlowConfig, shutdown: &Shutdown) -> Peers {
        let parts =
            PeersParts { config, node_id: "test-node".into(), flow: flow.clone(), clock: Clock::System };
        Peers::new(parts, shutdown).unwrap()
    }

    impl Served {
        async fn connect(&self, sent: &str) -> TcpStream {
            let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            socket.write_all(sent.as_bytes()).await.unwrap();
            socket
        }

        fn request(&self, path: &str) -> String {
            format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port)
        }
    }

    /// Everything until the daemon closes, which must be soon.
    async fn rest(socket: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        // A reset is an end, too.
        let ended = timeout(Duration::from_secs(10), socket.read_to_end(&mut bytes)).await;
        ended.expect("it is closed").ok();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Short enough for a test, and far enough apart for a machine under load.
    fn short() -> Limits {
        let tenth = Duration::from_millis(100);
        Limits {
            head_time: 2 * tenth,
            idle_time: 20 * tenth,
            write_stall: 2 * tenth,
            keepalive: tenth,
            ..Limits::default()
        }
    }

    #[tokio::test]
    async fn a_quiet_client_is_let_go() {
        let served = serve_with(short()).await;
        assert_eq!(rest(&mut served.connect("").await).await, "");
        assert_eq!(rest(&mut served.connect("GET / HTTP/1.1\r\nHos").await).await, "");
        // The limit for heads does not count while a connection that was used waits.
        let mut kept = served.connect(&served.request("/health")).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        kept.write_all(served.request("/health").as_bytes()).await.unwrap();
        assert_eq!(rest(&mut kept).await.matches("200 OK").count(), 2);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_let_go_and_its_place_is_free() {
        let served = serve_with(Limits { file_reads: 1, ..short() }).await;
        let path = served.home.path().join(format!("{DAY}.jsonl"));
        std::fs::write(&path, vec![b'x'; 64 * 1024 * 1024]).unwrap();
        let path = format!("/flow/{DAY}.jsonl");
        let _deaf = served.connect(&served.request(&path)).await;
        let close =
            served.request(&path).replace("GET", "HEAD").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let mut freed = false;
        for _ in 0..200 {
            freed = rest(&mut served.connect(&close).await).await.starts_with("HTTP/1.1 200");
            if freed {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(freed);
    }

    #[tokio::test]
    async fn a_quiet_stream_gives_signs_of_life_and_ends_with_the_daemon() {
        let served = serve_with(short()).await;
        let mut stream = served.connect(&served.request(&format!("/flow/{DAY}/stream"))).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(served.shutdown.finish(Duration::from_secs(5)).await);
        let got = rest(&mut stream).await;
        assert!(got.matches(":\n\n").count() >= 3, "{got}");
    }

    #[tokio::test]
    async fn who_comes_when_all_are_served_is_told_so() {
        let served = serve_with(Limits { connections: 1, ..Limits::default() }).await;
        let mut stream = served.connect(&served.request(&format!("/flow/{DAY}/stream"))).await;
        stream.read_u8().await.unwrap();
        let answer = rest(&mut served.connect(&served.request("/health")).await).await;
        assert!(answer.starts_with("HTTP/1.1 503") || answer.is_empty(), "{answer}");
        drop(stream);
        let one = served.request("/health").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        while !rest(&mut served.connect(&one).await).await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut idle = served.connect("").await;
        assert!(rest(&mut served.connect(&one).await).await.starts_with("HTTP/1.1 200"));
        assert_eq!(rest(&mut idle).await, "", "it made room");
    }
}
