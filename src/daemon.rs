//! The composition root of `darkmux serve`: config → parts → one [`Shutdown`].
//!
//! Invariants: one daemon a home (the lock is taken before the port); `daemon.json` names the daemon that holds
//! the lock; after a stop signal the process ends within four seconds, whatever clients do, and
//! at once after a second signal.
//!
//! Not here: what is answered (`serve`), and printing (`cli`).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, ConfigError, FlowConfig};
use crate::fleet::discovery::{self, Discovery, DiscoveryParts, Doorman, EnginePlaces, Places};
use crate::fleet::{Beacon, FactsSource, Identity, Live, Pulse, RosterFile, RunnerGauge};
use crate::flow::shared::SharedFlow;
use crate::flow::ship::{self, ShipperConfig};
use crate::model::{Day, MachineId};
use crate::peer::{Peers, PeersParts};
use crate::runner::{self, RunnerParts};
use crate::serve::auth::{AuthConfig, TokenError, TokenFile};
use crate::serve::reach;
use crate::serve::{
    self, App, AppConfig, FleetFlow, FleetView, Hosts, Inviting, Launching, Limits, TailnetDoor,
};
use crate::service;
use crate::session::Table;
use crate::session::life::{Keep, Sweeper};
use crate::session::live::LiveTable;
use crate::store::{Durability, FileLock, Redis, SocketKey, bind_socket, ensure_private_dir, write_atomic};
use crate::util::{Clock, Shutdown, clock};
use crate::wire::DaemonInfo;
use crate::work::{FleetKey, Journal, Queue};
use crate::workspace::{KeptResults, Records};

/// How long open answers may go on after a stop signal.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How long work that can't be interrupted may go on after that.
const LAST_GRACE: Duration = Duration::from_millis(500);

/// Threads for work that blocks: reading files, asking the system.
const BLOCKING_THREADS: usize = 16;

/// How long such a thread is kept without work.
const THREAD_KEPT: Duration = Duration::from_secs(5);

/// Connections the system holds for us until they are accepted.
const BACKLOG: u32 = 512;

/// Why the daemon does not run. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another daemon has this home.
    #[error("a daemon of this home already runs{}; stop it first, or use another DARKMUX_HOME", holder(.0))]
    AlreadyRunning(String),
    /// The address can't be had.
    #[error("can't listen on {address}: {source}; is something else there? `--port 0` takes a free port")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read or written.
    #[error("{path}: {action} failed: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The system refused something that every process needs.
    #[error("{action} failed: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The fleet's key cannot be read; without it no job's signature could be checked.
    #[error(
        "{0}; copy the key from another machine of the fleet, or remove the file to go without signatures"
    )]
    FleetKey(String),
    /// Others could read what is sent.
    #[error("{0}")]
    Exposed(String),
    /// The token that everything but looking takes is not safe.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

fn holder(note: &str) -> String {
    if note.parse::<u32>().is_ok() { format!(" (pid {note})") } else { String::new() }
}

/// What a daemon that answers says of itself.
#[derive(Debug, Clone)]
pub struct Ready {
    /// As in `daemon.json`.
    pub info: DaemonInfo,
    /// Folder of the day files.
    pub flows_dir: PathBuf,
    /// This machine.
    pub machine_id: MachineId,
}

/// Runs the daemon until it is told to stop. `ready` is called once it answers.
///
/// `i_know` lets it listen where others can read what is sent.
pub fn run(
    config: &Config,
    clock: &Clock,
    i_know: bool,
    ready: impl FnOnce(&Ready),
) -> Result<(), DaemonError> {
    reach::check(config.serve().bind, i_know).map_err(DaemonError::Exposed)?;
    let lock = take_lock(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(THREAD_KEPT)
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { action: "starting the threads", source })?;
    let ended = runtime.block_on(serve_until_told(config, clock, ready));
    runtime.shutdown_timeout(LAST_GRACE);
    drop(lock);
    ended
}

/// Threads that run tasks.
const WORKERS: usize = 2;

fn take_lock(config: &Config) -> Result<FileLock, DaemonError> {
    let home = config.paths.home();
    let failed = |path: &Path, action| {
        let path = path.to_owned();
        move |source| DaemonError::File { path, action, source }
    };
    ensure_private_dir(home).map_err(failed(home, "making the folder"))?;
    let path = config.paths.daemon_lock();
    FileLock::try_take(&path).map_err(failed(&path, "locking it"))?.map_err(DaemonError::AlreadyRunning)
}

async fn serve_until_told(
    config: &Config,
    clock: &Clock,
    ready: impl FnOnce(&Ready),
) -> Result<(), DaemonError> {
    // Listened for before anything is announced, so that an early signal is a clean stop, too.
    let mut signals = Signals::new()?;
    let flow = config.flow()?;
    let listener = listen(SocketAddr::new(config.serve().bind, config.serve().port))?;
    let address = listener
        .local_addr()
        .map_err(|source| DaemonError::System { action: "asking for the own address", source })?;
    let shutdown = Shutdown::new();
    let redis = config.redis()?.map(|redis| Redis::new(redis.target));
    // The runner says here what it does.
    let (gauge, seen) = watch::channel(RunnerGauge::default());
    let beacon = Arc::new(beacon(config, clock, address, seen)?);
    let fleet = FleetView {
        beacon: Arc::clone(&beacon),
        live: Arc::new(Live::new(redis.clone())),
        roster: RosterFile::new(config.fleet_file()),
        redis: redis.as_ref().map(|redis| redis.shown().to_owned()),
    };
    let fleet_flow = fleet_flow(config, redis.as_ref(), clock, &shutdown)?;
    let limits = Limits::default().with_streams(config.serve().streams);
    make_room(limits);
    let queue = redis.as_ref().map(|redis| queue(config, redis.clone())).transpose()?;
    let live = LiveTable::new(Table::new(config.session().dir), config.env().home(), shutdown.clone());
    let peers = peers(config, &beacon, &flow, &shutdown)?;
    let discovery = Discovering::start(config, (address.port(), beacon.uid()), &peers, &shutdown);
    let app = App::new(
        AppConfig {
            flow: flow.clone(),
            fleet_flow,
            queue: queue.clone(),
            sessions_dir: config.session().dir,
            models: config.models(),
            fleet,
            hosts: Hosts::new(address.port(), &config.serve().hosts),
            auth: auth_config(config, address.port(), Arc::clone(&discovery.door))?,
            live: live.clone(),
            peers: peers.clone(),
            launching: launching(config, address),
            inviting: Inviting { config: config.clone(), listen: address },
            journal: Journal::new(&config.paths.queue(), clock.clone()),
            discovery: discovery.found.clone(),
            limits,
            clock: clock.clone(),
        },
        shutdown.clone(),
    );
    let info = info(address, clock);
    let app = Arc::new(app);
    live.start().await;
    peers.start();
    let (socket, near) = LocalSocket::bind(config.paths.daemon_socket())?;
    drop(shutdown.spawn(serve::run_socket(near, Arc::clone(&app))));
    let announced = Announced::write(&config.paths.daemon_file(), &info)?;
    discovery.serve(&peers, address, &app, &shutdown);
    drop(shutdown.spawn(serve::run(listener, app)));
    if let (Some(redis), Some(queue)) = (redis, queue) {
        let parts = RunnerParts {
            queue,
            boot: beacon.boot().to_owned(),
            facts: Arc::clone(beacon.facts()),
            gauge,
            peers: peers.clone(),
            clock: clock.clone(),
        };
        runner::start(config, parts, flow.clone(), &shutdown)?;
        Pulse { redis, beacon, sessions: live.clone(), flow: flow.clone() }.start(&shutdown);
    }
    sweeper(config, live, flow.clone(), clock).start(&shutdown);
    service::keep_bounded(&config.paths, config.service_log_bytes(), &shutdown);
    tracing::info!(%address, pid = info.pid, day = %Day::of(clock.now()), "serving");
    ready(&Ready { info, flows_dir: flow.dir, machine_id: flow.provenance.machine_id });

    let name = signals.next().await;
    tracing::info!(signal = name, "stopping");
    drop((announced, socket));
    finish(&shutdown, &mut signals).await;
    Ok(())
}

/// Waits for what runs, for as long as it may go on.
async fn finish(shutdown: &Shutdown, signals: &mut Signals) {
    tokio::select! {
        finished = shutdown.finish(STOP_GRACE) => {
            if !finished {
                tracing::warn!("some answers were not finished in time and are cut");
            }
        }
        name = signals.next() => tracing::warn!(signal = name, "stopping at once"),
    }
}

/// What the daemon says of itself.
fn info(address: SocketAddr, clock: &Clock) -> DaemonInfo {
    DaemonInfo {
        pid: std::process::id(),
        port: address.port(),
        bind: address.ip(),
        version: crate::VERSION.to_owned(),
        started_at: clock::millis(clock.now()),
    }
}

/// What decides who may do what; makes the token at the daemon's first start.
fn auth_config(config: &Config, port: u16, door: Arc<Doorman>) -> Result<AuthConfig, DaemonError> {
    TokenFile::new(config.paths.auth_token()).ensure()?;
    let key = SocketKey::new(config.paths.socket_key());
    key.ensure().map_err(|source| DaemonError::File {
        path: key.path().to_owned(),
        action: "making the sockets' key",
        source,
    })?;
    let (serve_token, require_all) = (config.serve_token()?, config.serve().require_all);
    Ok(AuthConfig { paths: config.paths.clone(), serve_token, require_all, port, door: Some(door) })
}

/// What looks for machines that nobody added, and who knows people of the tailnet.
struct Discovering {
    found: Discovery,
    door: Arc<Doorman>,
}

impl Discovering {
    fn start(config: &Config, (port, own): (u16, String), peers: &Peers, shutdown: &Shutdown) -> Self {
        let places = config.tailscale_socket().map_or_else(|| Places::of(config.env()), Places::socket);
        let door = Arc::new(Doorman::new(places.clone()));
        let engine = EnginePlaces::of(config.env());
        let parts = DiscoveryParts { places, engine, port, cache: config.paths.discovery_file(), own };
        Self { found: discovery::start(parts, peers.host(), shutdown), door }
    }

    /// Connects to what is found, and answers in the tailnet as well, where its people are known.
    fn serve(self, peers: &Peers, main: SocketAddr, app: &Arc<App>, shutdown: &Shutdown) {
        let Self { found, door } = self;
        peers.follow_found(found.found, shutdown);
        let door = TailnetDoor { door, seen: found.tailnet, main, app: Arc::clone(app) };
        drop(shutdown.spawn(door.keep(peers.host())));
    }
}

/// The peers that this machine is the hub of.
fn peers(
    config: &Config,
    beacon: &Beacon,
    flow: &FlowConfig,
    shutdown: &Shutdown,
) -> Result<Peers, ConfigError> {
    let (flow, clock) = (flow.clone(), beacon.clock().clone());
    Peers::new(PeersParts { config: config.clone(), node_id: beacon.uid(), flow, clock }, shutdown)
}

/// The queue in this Redis, with the fleet's key where there is one.
fn queue(config: &Config, redis: Redis) -> Result<Queue, DaemonError> {
    let key = FleetKey::read(&config.paths.fleet_key()).map_err(DaemonError::FleetKey)?;
    Ok(Queue::new(redis, config.queue(), key))
}

/// What this machine says of itself in the fleet.
fn beacon(
    config: &Config,
    clock: &Clock,
    address: SocketAddr,
    gauge: watch::Receiver<RunnerGauge>,
) -> Result<Beacon, DaemonError> {
    let (machine_id, runner) = (config.machine_id()?, config.runner());
    let facts = FactsSource::new(machine_id.clone(), &runner, config.crew(), config.models());
    let ip = address.ip();
    let identity = Identity {
        machine_id,
        uid: config.identity()?.uid,
        // Which of its addresses others can use, a daemon that listens on all of them does not know.
        address: (!ip.is_loopback() && !ip.is_unspecified()).then(|| address.to_string()),
        accept: runner.accept,
    };
    Ok(Beacon::new(identity, Arc::new(facts), gauge, clock.clone()))
}

/// Starts shipping records to the fleet's flow, where there is one.
fn fleet_flow(
    config: &Config,
    redis: Option<&Redis>,
    clock: &Clock,
    shutdown: &Shutdown,
) -> Result<Option<FleetFlow>, DaemonError> {
    let Some(redis) = redis else { return Ok(None) };
    let Some(shared) = SharedFlow::over(config, redis.clone())? else { return Ok(None) };
    let inherited = config.identity()?.inherited.then(|| config.paths.flow_origin_file());
    let ship =
        ShipperConfig { shared: shared.clone(), flow: config.flow()?, clock: clock.clone(), inherited };
    Ok(Some(FleetFlow { shared, shipper: ship::start(ship, shutdown) }))
}

/// Asks the system for as many descriptors as the limits may take: a socket a connection, one a
/// session, and some for files.
fn make_room(limits: Limits) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const FILES: u64 = 1280;
    let wanted = limits.connections as u64 + FILES;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_some_and(|current| current < wanted) {
        let allowed = now.maximum.map_or(wanted, |most| most.min(wanted));
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: now.maximum });
        if allowed < wanted || raised.is_err() {
            tracing::warn!(
                wanted,
                "the system allows fewer open files (`ulimit -n`) than serve.streams asks for"
            );
        }
    }
}

/// What sessions are started with.
fn launching(config: &Config, listen: SocketAddr) -> Launching {
    let (session, crew, env) = (config.session(), config.crew(), config.env().clone());
    Launching { session, crew, home: env.home(), env, listen }
}

/// Keeps what has ended within its bounds, and gives sessions that were lost while no daemon ran (a reboot, a
/// kill) their end.
fn sweeper(config: &Config, live: LiveTable, flow: FlowConfig, clock: &Clock) -> Sweeper {
    let (session, runner) = (config.session(), config.runner());
    Sweeper {
        live,
        keep: Keep { count: session.keep, bytes: session.keep_bytes },
        worktrees: config.paths.worktrees(),
        worktrees_age: runner.worktrees_age,
        mirrors: config.paths.mirrors(),
        workspaces: Records::new(config.paths.workspaces()),
        results: KeptResults::new(config.paths.results()),
        env: config.env().clone(),
        journal: Journal::new(&config.paths.queue(), clock.clone()),
        flow,
        clock: clock.clone(),
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, DaemonError> {
    let failed = |source| DaemonError::Bind { address, source };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
    // A port whose old connections are still closing can be taken again.
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)
}

/// The signals that ask for a stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, DaemonError> {
        let listen = |kind| {
            signal(kind).map_err(|source| DaemonError::System { action: "listening for signals", source })
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// The daemon's unix socket, removed when the daemon stops by itself.
struct LocalSocket(PathBuf);

impl LocalSocket {
    fn bind(path: PathBuf) -> Result<(Self, UnixListener), DaemonError> {
        // The lock of the daemon is held: what is there was left by one that was killed.
        match bind_socket(&path) {
            Ok(listener) => Ok((Self(path), listener)),
            Err(source) => Err(DaemonError::File { path, action: "listening on it", source }),
        }
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "could not be removed");
    }
}

/// `daemon.json`, removed when the daemon stops by itself.
struct Announced(PathBuf);

impl Announced {
    fn write(path: &Path, info: &DaemonInfo) -> Result<Self, DaemonError> {
        let written = serde_json::to_vec(info)
            .map_err(io::Error::other)
            .and_then(|text| write_atomic(path, &text, Durability::Cached));
        let failed = |source| DaemonError::File { path: path.to_owned(), action: "writing it", source };
        written.map(|()| Self(path.to_owned())).map_err(failed)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        remove(&self.0);
    }
}
