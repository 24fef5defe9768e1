//! The runner of a machine: claims jobs of the queue for its free slots, runs each as a session with the job's
//! id, and tells how it ended.
//!
//! Invariants: a job's journal entry is there before its process starts and before its result is told; a session
//! outlives the daemon, and the next one adopts it with the same token; a job is never stopped because Redis
//! is away, unless it may not run twice and its lease is over.
//!
//! Not here: the rules of the queue (`work`), the terminal (`session`), what a role is (`crew`).

mod adopt;
mod awake;
mod bell;
mod checkpoint;
mod claims;
mod end;
mod fetch;
mod keeper;
mod output;
mod parked;
mod policy;
mod start;
mod transitions;
mod worker;
mod workspace;

pub use awake::KeepAwake;
pub use policy::Refusal;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};

use crate::config::{Config, ConfigError, CrewConfig, FlowConfig, RunnerConfig, SessionConfig};
use crate::fleet::{FactsSource, RunnerGauge};
use crate::model::{MachineId, SessionId};
use crate::peer::Peers;
use crate::session::{Spares, Table};
use crate::util::{Clock, Shutdown};
use crate::work::{Beat, Claim, Journal, Queue, Seat, WorkError};
use transitions::Transitions;

/// What a runner is made of.
pub struct RunnerParts {
    /// The queue it claims from.
    pub queue: Queue,
    /// What this run of the daemon is called.
    pub boot: String,
    /// What this machine is and has, for what jobs require.
    pub facts: Arc<FactsSource>,
    /// Where the fleet sees what the runner does.
    pub gauge: watch::Sender<RunnerGauge>,
    /// From which repositories are had that are too large for Redis.
    pub peers: Peers,
    /// Where the time comes from.
    pub clock: Clock,
}

/// What the runner's tasks share.
struct Runner {
    seat: Seat,
    queue: Queue,
    journal: Journal,
    table: Table,
    config: RunnerConfig,
    session: SessionConfig,
    crew: CrewConfig,
    /// With the environment of every job.
    spares: Spares,
    peers: Peers,
    home: PathBuf,
    machine: MachineId,
    flow_stream: String,
    facts: Arc<FactsSource>,
    transitions: Transitions,
    clock: Clock,
    shutdown: Shutdown,
    /// A place for each folder that may be looked at.
    disks: Arc<Semaphore>,
    /// Jobs that run here, each with what tells its worker to look.
    running: Mutex<Vec<(SessionId, Arc<Notify>)>>,
    busy: AtomicUsize,
    claiming: tokio::sync::Mutex<claims::Claiming>,
    /// Rings when a slot was freed.
    freed: Notify,
    /// The life of Redis that was told what runs and ran here; nothing is claimed from another.
    told: watch::Sender<Option<String>>,
    /// Rings when Redis is in another one, or may be.
    other_life: Notify,
    gauge: watch::Sender<RunnerGauge>,
    awake: KeepAwake,
}

/// Starts the runner's tasks; with `runner.enabled` off it looks after what runs already, and claims nothing.
pub fn start(
    config: &Config,
    parts: RunnerParts,
    flow: FlowConfig,
    shutdown: &Shutdown,
) -> Result<(), ConfigError> {
    let machine = config.machine_id()?;
    let runner = config.runner();
    let home = config.paths.home().to_owned();
    let flow_stream = config.redis()?.map(|redis| redis.stream).unwrap_or_default();
    parts.gauge.send_replace(RunnerGauge {
        enabled: runner.enabled,
        slots_total: runner.slots as u64,
        ..RunnerGauge::default()
    });
    let runner = Arc::new(Runner {
        seat: Seat::of_boot(machine.clone(), &parts.boot),
        journal: Journal::new(&config.paths.queue(), parts.clock.clone()),
        table: Table::new(config.session().dir),
        session: config.session(),
        crew: config.crew(),
        spares: Spares::keep(
            if runner.enabled { runner.spare_hosts } else { 0 },
            policy::child_env(config.env(), &runner.env),
            shutdown,
        ),
        transitions: Transitions::start(flow, parts.clock.clone(), shutdown),
        queue: parts.queue,
        peers: parts.peers,
        flow_stream,
        facts: parts.facts,
        clock: parts.clock,
        config: runner,
        home,
        machine,
        shutdown: shutdown.clone(),
        disks: Arc::new(Semaphore::new(policy::DISKS_MAX)),
        running: Mutex::default(),
        busy: AtomicUsize::new(0),
        claiming: tokio::sync::Mutex::default(),
        freed: Notify::new(),
        told: watch::channel(None).0,
        other_life: Notify::new(),
        gauge: parts.gauge,
        awake: KeepAwake::new(),
    });
    drop(shutdown.spawn(adopt::adopt_then_claim(Arc::clone(&runner))));
    drop(shutdown.spawn(keeper::keep(runner)));
    Ok(())
}

impl Runner {
    fn free_slots(&self) -> usize {
        self.config.slots.saturating_sub(self.busy.load(Ordering::SeqCst))
    }

    /// Whether the Redis that answers knows what runs here. One that lost its newest writes would hand it out again.
    fn is_told(&self) -> bool {
        let server = self.queue.redis().server();
        let life = server.borrow().as_ref().map(|server| server.run_id.clone());
        let told = life.is_some() && *self.told.borrow() == life;
        if !told {
            self.other_life.notify_one();
        }
        told
    }

    /// Whether a claimed job is still this machine's; a Redis that forgot it is told.
    async fn ask(&self, claim: &Claim) -> Result<Beat, WorkError> {
        match self.queue.beat(&claim.id, &claim.token).await {
            Ok(Some(beat)) => Ok(beat),
            Ok(None) => {
                // What else it forgot it is told at once, too.
                self.other_life.notify_one();
                self.queue.resume(&self.seat, claim).await
            }
            Err(error) => Err(error),
        }
    }

    fn tell_gauge(&self, held: Option<bool>) {
        // Read where it is told: of two that tell, the later one tells what is later.
        self.gauge.send_if_modified(|gauge| {
            let busy = self.busy.load(Ordering::SeqCst);
            let draining = held.unwrap_or(gauge.draining);
            let now = RunnerGauge { slots_busy: busy as u64, draining, ..*gauge };
            std::mem::replace(gauge, now) != now
        });
        self.awake.set(|| self.busy.load(Ordering::SeqCst) > 0);
    }

    /// Takes a slot for a job; the worker gives it back by dropping it.
    fn take_slot(self: &Arc<Self>, id: &SessionId) -> Slot {
        self.busy.fetch_add(1, Ordering::SeqCst);
        let look = Arc::new(Notify::new());
        self.running_now().push((id.clone(), Arc::clone(&look)));
        self.tell_gauge(None);
        Slot { runner: Arc::clone(self), id: id.clone(), look }
    }

    fn running_now(&self) -> std::sync::MutexGuard<'_, Vec<(SessionId, Arc<Notify>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one job's worker ask Redis at once, or every worker.
    fn look(&self, id: Option<&SessionId>) {
        for (running, look) in self.running_now().iter() {
            if id.is_none_or(|id| id == running) {
                look.notify_one();
            }
        }
    }
}

/// A job's place on this machine.
struct Slot {
    runner: Arc<Runner>,
    id: SessionId,
    look: Arc<Notify>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.runner.running_now().retain(|(id, look)| *id != self.id || !Arc::ptr_eq(look, &self.look));
        self.runner.busy.fetch_sub(1, Ordering::SeqCst);
        self.runner.tell_gauge(None);
        self.runner.freed.notify_one();
    }
}
