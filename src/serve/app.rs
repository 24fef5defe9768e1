//! What the handlers need, built once.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{Mutex, Semaphore, watch};

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::auth::{Auth, AuthConfig};
use super::queue_view::QueueView;
use super::stream::Hub;
use super::{ApiError, Hosts, Inviting, Launching, Limits};
use crate::config::{FlowConfig, ModelsConfig};
use crate::fleet::discovery::Discovery;
use crate::fleet::{Beacon, Live, Models, RosterFile};
use crate::flow::read::DayIndex;
use crate::flow::shared::SharedFlow;
use crate::flow::ship::ShipStatus;
use crate::peer::Peers;
use crate::session::Table;
use crate::session::live::LiveTable;
use crate::util::{Clock, Shutdown, clock};
use crate::work::{Journal, Queue};

/// What is known of this machine and of the others.
#[derive(Debug, Clone)]
pub struct FleetView {
    /// What this machine says of itself.
    pub beacon: Arc<Beacon>,
    /// Which others are alive.
    pub live: Arc<Live>,
    /// Which others are known by address.
    pub roster: RosterFile,
    /// The fleet's Redis in words, without a password.
    pub redis: Option<String>,
}

/// The fleet's flow, and how this machine's records get there.
#[derive(Debug, Clone)]
pub struct FleetFlow {
    /// The flow.
    pub shared: SharedFlow,
    /// How the shipper is doing.
    pub shipper: watch::Receiver<ShipStatus>,
}

/// What an [`App`] is made of.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// Where records are kept, and by which machine.
    pub flow: FlowConfig,
    /// The fleet's flow; `None` for a machine that works alone.
    pub fleet_flow: Option<FleetFlow>,
    /// The fleet's queue; `None` for a machine that works alone.
    pub queue: Option<Queue>,
    /// Folder of the sessions.
    pub sessions_dir: PathBuf,
    /// Where models are asked for.
    pub models: ModelsConfig,
    /// What is known of this machine and of the others.
    pub fleet: FleetView,
    /// Allowed values of `Host`.
    pub hosts: Hosts,
    /// Who may do what.
    pub auth: AuthConfig,
    /// The sessions in memory.
    pub live: LiveTable,
    /// The peers and their sessions.
    pub peers: Peers,
    /// What sessions are started with.
    pub launching: Launching,
    /// What machines that join are offered.
    pub inviting: Inviting,
    /// What the runner has still to tell.
    pub journal: Journal,
    /// Machines that nobody added.
    pub discovery: Discovery,
    /// The limits.
    pub limits: Limits,
    /// Where the time comes from.
    pub clock: Clock,
}

/// The state of the HTTP surface.
#[derive(Debug)]
pub struct App {
    pub(super) flow: FlowConfig,
    pub(super) fleet_flow: Option<FleetFlow>,
    pub(super) queue: Option<QueueView>,
    pub(super) sessions: Table,
    pub(super) models: Models,
    pub(super) fleet: FleetView,
    pub(super) hosts: Hosts,
    pub(super) auth: Auth,
    pub(super) live: LiveTable,
    pub(super) peers: Peers,
    pub(super) launching: Launching,
    pub(super) inviting: Inviting,
    pub(super) journal: Journal,
    pub(super) discovery: Discovery,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
    pub(super) hub: Hub,
    /// Held while the files are counted; who waits for it holds no thread.
    pub(super) days: Arc<Mutex<DayIndex>>,
    pub(super) file_reads: Arc<Semaphore>,
    /// Held by each stream of events about sessions.
    pub(super) v1_streams: Arc<Semaphore>,
    /// Held by each request that waits for a session.
    pub(super) waits: Arc<Semaphore>,
    pub(super) terminals: Arc<Semaphore>,
    /// Held while a day of the whole fleet is put together.
    pub(super) fleet_days: Arc<Semaphore>,
    /// Held by each repository that is written for a peer.
    pub(super) packs: Arc<Semaphore>,
}

impl App {
    /// Starts nothing yet.
    pub fn new(config: AppConfig, shutdown: Shutdown) -> Self {
        let AppConfig { flow, fleet_flow, queue, sessions_dir, models, fleet, hosts, auth, .. } = config;
        let (live, launching, limits, clock) = (config.live, config.launching, config.limits, config.clock);
        Self {
            hub: Hub::new(
                flow.dir.clone(),
                fleet_flow.as_ref().map(|fleet| fleet.shared.clone()),
                clock.clone(),
                shutdown.clone(),
                &limits,
            ),
            fleet_days: Arc::new(Semaphore::new(limits.fleet_days)),
            packs: Arc::new(Semaphore::new(limits.packs)),
            fleet_flow,
            days: Arc::new(Mutex::new(DayIndex::new(&flow.dir))),
            file_reads: Arc::new(Semaphore::new(limits.file_reads)),
            queue: queue.map(QueueView::new),
            sessions: Table::new(sessions_dir),
            models: Models::new(models),
            fleet,
            flow,
            hosts,
            auth: Auth::new(&auth),
            live,
            peers: config.peers,
            launching,
            inviting: config.inviting,
            journal: config.journal,
            discovery: config.discovery,
            v1_streams: Arc::new(Semaphore::new(limits.streams)),
            waits: Arc::new(Semaphore::new(limits.waits)),
            terminals: Arc::new(Semaphore::new(limits.terminals)),
            limits,
            clock,
            shutdown,
        }
    }

    /// This machine.
    pub(super) fn machine_id(&self) -> String {
        self.flow.provenance.machine_id.to_string()
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        clock::unix_ms(self.clock.now())
    }

    /// Runs what may block, and gives its failure the name of what was done.
    pub(super) async fn blocking<T, E, F>(&self, what: &'static str, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        match self.shutdown.spawn_blocking(work).await {
            Ok(done) => done.map_err(|error| ApiError::internal(what, &error)),
            Err(error) => Err(ApiError::internal(what, &error)),
        }
    }
}

/// A JSON answer in the envelope of `/v1`: `{"data":…,"ok":true}`. Errors get theirs by themselves.
pub(super) fn data<T: Serialize + ?Sized>(value: &T) -> Result<Response, ApiError> {
    json(&serde_json::json!({ "data": value, "ok": true }))
}

/// A JSON answer with sorted keys.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<Response, ApiError> {
    let sorted = serde_json::to_value(value).and_then(|value| serde_json::to_vec(&value));
    match sorted {
        Ok(body) => Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response()),
        Err(error) => Err(ApiError::internal("writing the answer", &error)),
    }
}
