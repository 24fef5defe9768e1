//! What all clients share: the ring, who listens, and how the fleet's flow is doing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::fanout::{Ahead, Back, Fanout};
use super::frame;
use super::ring::{Break, Found, Ring};
use crate::flow::read::{Bell, FlowTail, Next, Watch};
use crate::flow::shared::{Catch, SharedFlow, Twins};
use crate::model::{FleetAt, Place, Position};
use crate::serve::Limits;
use crate::serve::takeover::Outlet;
use crate::util::{Clock, Shutdown};

/// Bytes of frames kept for clients that are a little behind.
const RING_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of frames in one chunk, about; the last record may go over it.
pub(super) const CHUNK_BYTES: usize = 128 * 1024;

/// Clients that read files, and those that read Redis, at one time.
const READERS: usize = 4;

/// Entries that a client that is behind reads at a time.
const PAGE: usize = 200;

/// How long the fleet's flow is followed for clients that come back: after a failure, all do.
const LINGER: Duration = Duration::from_mins(2);

/// How long a client waits to learn where the fleet's flow is.
const SETTLE: Duration = Duration::from_millis(1500);

/// What the clients share. Clones are the same hub.
#[derive(Debug, Clone)]
pub struct Hub {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
    pub(super) fleet: Option<SharedFlow>,
    most: usize,
    state: Mutex<State>,
    /// Held while frames are made and added, so that each carries the place of both parts.
    pub(super) making: Mutex<Twins>,
    /// The clients that have got everything.
    fanout: Fanout<Standing>,
    /// How often those get a sign of life at least.
    keepalive: Duration,
    /// Counts what was added to the ring.
    pub(super) news: watch::Sender<u64>,
    /// Whether it is known where the fleet's flow is, or that it is away.
    settled: watch::Sender<bool>,
    readers: Semaphore,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) clients: usize,
    /// There while the readers run.
    pub(super) live: Option<Live>,
    /// How often the fleet's flow went away, and how it was last.
    pub(super) downs: u64,
    pub(super) is_up: bool,
    pub(super) cause: String,
}

/// What a client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    at: Place,
    gaps: u64,
    downs: u64,
}

/// The ring and what ends its readers.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) ring: Ring,
    /// Ends the local reader's pause when clients leave or come.
    bell: Bell,
    /// Dropped with the ring; the readers of an earlier one find out by it.
    pub(super) stop: CancellationToken,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Hub {
    /// A hub for the flow in `dir`, and for that of the fleet, under these limits.
    pub fn new(
        dir: PathBuf,
        fleet: Option<SharedFlow>,
        clock: Clock,
        shutdown: Shutdown,
        limits: &Limits,
    ) -> Self {
        let is_up = fleet.is_some();
        let shared = Shared {
            dir,
            clock,
            shutdown,
            settled: watch::Sender::new(fleet.is_none()),
            fleet,
            most: limits.streams,
            fanout: Fanout::new(limits.keepalive / 2, Bytes::from_static(frame::KEEPALIVE)),
            keepalive: limits.keepalive,
            state: Mutex::new(State { clients: 0, live: None, downs: 0, is_up, cause: String::new() }),
            making: Mutex::default(),
            news: watch::Sender::new(0),
            readers: Semaphore::new(READERS),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A place for a client; `None` when all are taken. Starts the readers for the first.
    pub async fn join(&self) -> std::io::Result<Option<Seat>> {
        let shared = Arc::clone(&self.shared);
        let now = self
            .shared
            .shutdown
            .spawn_blocking(move || FlowTail::now(&shared.dir, &shared.clock))
            .await
            .map_err(std::io::Error::other)??;
        let Some(mut seat) = self.sit(now)? else { return Ok(None) };
        if self.shared.fleet.is_some() {
            let mut settled = self.shared.settled.subscribe();
            // Who comes while it is not known takes the moment's place, as those do who find Redis away.
            let _ = tokio::time::timeout(SETTLE, settled.wait_for(|settled| *settled)).await;
            let state = self.shared.locked();
            seat.now.fleet = state.live.as_ref().and_then(|live| live.ring.end().fleet);
            seat.downs = state.downs;
        }
        Ok(Some(seat))
    }

    fn sit(&self, now: Position) -> std::io::Result<Option<Seat>> {
        let mut state = self.shared.locked();
        if state.clients >= self.shared.most {
            return Ok(None);
        }
        if state.live.is_none() {
            state.live = Some(self.begin(now)?);
        }
        state.clients += 1;
        let gaps = state.live.as_ref().map_or(0, |live| {
            live.bell.ring();
            live.ring.gaps()
        });
        let (news, downs) = (self.shared.news.subscribe(), state.downs);
        let now = Place::local(now);
        Ok(Some(Seat { hub: self.clone(), now, gaps, news, downs, round: 0 }))
    }

    /// Starts the readers. They end with the last client, some time later, or with the daemon.
    fn begin(&self, now: Position) -> std::io::Result<Live> {
        let shared = &self.shared;
        let (watch, bell) = Watch::new(&shared.dir)?;
        let stop = CancellationToken::new();
        let (files, local) = (Arc::clone(shared), stop.clone());
        drop(shared.shutdown.spawn_blocking(move || files.follow_files(now, watch, &local)));
        drop(shared.shutdown.spawn(Arc::clone(shared).keep_alive(stop.clone())));
        if let Some(fleet) = shared.fleet.clone() {
            shared.settled.send_replace(false);
            drop(shared.shutdown.spawn(Arc::clone(shared).follow_fleet(fleet, stop.clone())));
        }
        Ok(Live { ring: Ring::new(Place::local(now), RING_BYTES), bell, stop })
    }
}

impl Shared {
    pub(super) fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the readers go on without clients.
    pub(super) fn linger(&self) -> Duration {
        if self.fleet.is_some() { LINGER } else { Duration::ZERO }
    }

    /// It is known where the fleet's flow is.
    pub(super) fn settle(&self, at: FleetAt, stop: &CancellationToken) {
        // Frames that are being made carry the place of before, and would take the ring back to it.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = self.locked().live.as_mut().filter(|_| !stop.is_cancelled()) {
            let end = Place { fleet: Some(at), ..live.ring.end() };
            // Nobody has a place in it yet.
            live.ring = Ring::new(end, RING_BYTES);
            self.settled.send_replace(true);
        }
    }

    /// There is something for everybody; what those get who are parked is handed out next.
    pub(super) fn tell(&self) {
        self.fanout.tell();
        self.news.send_modify(|count| *count += 1);
    }

    /// Gives parked clients what there is, from a thread that may be kept.
    pub(super) fn hand_out(&self) {
        while self.fanout.hand_out(|standing| self.ahead(standing)) {}
    }

    /// The same among other tasks.
    pub(super) async fn hand_out_in_turns(&self) {
        while self.fanout.hand_out(|standing| self.ahead(standing)) {
            tokio::task::yield_now().await;
        }
    }

    fn ahead(&self, standing: &Standing) -> Ahead<Standing> {
        let state = self.locked();
        let Some(live) = state.live.as_ref().filter(|_| state.downs == standing.downs) else {
            return Ahead::Other;
        };
        match live.ring.after(standing.at, standing.gaps) {
            Found::Frames(frames, at) => Ahead::Frames(frames, Standing { at, ..*standing }),
            Found::Nothing => Ahead::Nothing,
            Found::Behind(_) | Found::Gap(_) => Ahead::Other,
        }
    }

    /// Looks after those that are parked as often as they need it, until `stop`.
    async fn keep_alive(self: Arc<Self>, stop: CancellationToken) {
        let stopped = self.shutdown.stopped();
        tokio::select! {
            () = stopped => {}
            () = stop.cancelled() => {}
            () = async {
                loop {
                    tokio::time::sleep(self.keepalive / 2).await;
                    self.fanout.tell();
                    self.hand_out_in_turns().await;
                }
            } => {}
        }
    }
}

/// A client's place.
#[derive(Debug)]
pub struct Seat {
    hub: Hub,
    /// The end of the flow when the client came.
    pub now: Place,
    gaps: u64,
    downs: u64,
    news: watch::Receiver<u64>,
    /// What was told when its last look began.
    round: u64,
}

/// What a client that is behind got.
pub(super) struct Caught {
    pub(super) frames: Vec<u8>,
    pub(super) at: Place,
}

impl Seat {
    /// A look begins: what is told from now on ends a wait.
    pub(super) fn begin_look(&mut self) {
        self.news.mark_unchanged();
        self.round = self.hub.shared.fanout.round();
    }

    /// What there is for this client at `at`. A gap is told once.
    pub(super) fn look(&mut self, at: Place) -> Found {
        let state = self.hub.shared.locked();
        // Without a ring the readers have ended, because the daemon stops.
        let Some(live) = &state.live else { return Found::Nothing };
        let found = live.ring.after(at, self.gaps);
        if matches!(found, Found::Gap(_)) {
            self.gaps = live.ring.gaps();
        }
        found
    }

    /// Waits among those that have got everything until this client has to see for itself; where it is then, and what
    /// is left to send. `None` when there was something since its last look.
    pub(super) async fn park(&mut self, outlet: &Outlet, at: Place) -> std::io::Result<Option<Back<Place>>> {
        let standing = Standing { at, gaps: self.gaps, downs: self.downs };
        let shared = &self.hub.shared;
        let Some(mut parking) = shared.fanout.park(outlet, standing, self.round) else { return Ok(None) };
        let gone = std::io::ErrorKind::BrokenPipe;
        let back = parking.back().await.ok_or(gone)?;
        Ok(Some(Back { at: back.at.at, unsent: back.unsent }))
    }

    /// The place of the newest frame.
    pub(super) fn end(&self) -> Place {
        self.hub.shared.locked().live.as_ref().map_or(self.now, |live| live.ring.end())
    }

    /// Whether the fleet's flow can be asked.
    pub(super) fn is_up(&self) -> bool {
        self.hub.shared.locked().is_up
    }

    /// Why the fleet's flow went away since this client came.
    pub(super) fn went_down(&self) -> Option<String> {
        let state = self.hub.shared.locked();
        (state.downs > self.downs).then(|| state.cause.clone())
    }

    /// The place of a client that names only a part of one.
    pub fn complete(&self, place: Place) -> Place {
        let fleet = self
            .hub
            .shared
            .fleet
            .as_ref()
            .map(|_| place.fleet.unwrap_or_else(|| FleetAt::since_day(place.local.day)));
        Place { fleet, ..place }
    }

    /// Resolves when there may be something new.
    pub(super) async fn news(&mut self) {
        // The sender lives in the hub, which this holds.
        let _ = self.news.changed().await;
    }

    /// Frames read from the files from `at` on, up to about a chunk or up to `until`, and where that ended.
    pub(super) async fn read(&self, at: Place, until: Position) -> std::io::Result<Caught> {
        let shared = Arc::clone(&self.hub.shared);
        let frames = Vec::new();
        let Ok(_permit) = self.hub.shared.readers.acquire().await else { return Ok(Caught { frames, at }) };
        let read = self.hub.shared.shutdown.spawn_blocking(move || {
            let mut tail = FlowTail::new(&shared.dir, shared.clock.clone(), at.local);
            let mut frames = Vec::new();
            let place = |local| Place { local, ..at };
            while tail.position() < until && frames.len() < CHUNK_BYTES {
                match tail.poll()? {
                    Next::Record(record) => frame::record(&mut frames, record.line, place(record.after)),
                    Next::Gap(gap) => {
                        let (from, to) = (place(gap.asked), place(gap.resumed));
                        frame::gap(&mut frames, Break { from, to, missed: None });
                    }
                    Next::CaughtUp => break,
                }
            }
            Ok(Caught { frames, at: place(tail.position()) })
        });
        read.await.map_err(std::io::Error::other)?
    }

    /// Frames of what others wrote from `at` on, up to about a chunk or up to `until`. `None` when Redis did not
    /// answer.
    pub(super) async fn page(&self, at: Place, until: FleetAt) -> Option<Caught> {
        let (fleet, from) = (self.hub.shared.fleet.as_ref()?, at.fleet?);
        let _permit = self.hub.shared.readers.acquire().await.ok()?;
        let page = fleet.page(Catch { from, to: until, count: PAGE }).await.ok()?;
        let mut frames = Vec::new();
        if let Some(gap) = page.gap {
            let to = Place { fleet: Some(gap), ..at };
            frame::gap(&mut frames, Break { from: at, to, missed: None });
        }
        let last = page.records.last().map_or(from, |entry| FleetAt::after(entry.id));
        for entry in page.records {
            frame::record(&mut frames, &entry.record, Place { fleet: Some(FleetAt::after(entry.id)), ..at });
        }
        let end = Place { fleet: Some(page.at), ..at };
        if page.at != last {
            // The client resumes where the ring is, also when Redis has lost what lies before.
            frame::place(&mut frames, end);
        }
        Some(Caught { frames, at: end })
    }

    /// A client whose place is ahead of the stream as it is now: it was emptied or rolled back. Told once, when
    /// the client comes.
    pub(super) async fn is_ahead(&self, at: Place) -> Option<Break> {
        let (fleet, here) = (self.hub.shared.fleet.as_ref()?, at.fleet?);
        let end = self.end().fleet?;
        if here <= end || !self.is_up() || fleet.knows(here).await.unwrap_or(true) {
            return None;
        }
        Some(Break { from: at, to: Place { fleet: Some(end), ..at }, missed: None })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.hub.shared.locked();
        state.clients -= 1;
        if let Some(live) = state.live.as_ref().filter(|_| state.clients == 0) {
            live.bell.ring();
        }
    }
}

/// The frames as shared bytes that hold no more memory than they need.
pub(super) fn shrunk(mut frames: Vec<u8>) -> Bytes {
    frames.shrink_to_fit();
    frames.into()
}
