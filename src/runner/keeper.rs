//! What every daemon does for the queue as a whole: finding lost jobs, and telling a Redis that forgot.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::transitions::Transition;
use super::{Runner, parked};
use crate::fleet::PresenceReader;
use crate::model::{JobState, Level, SessionId};
use crate::util::{SleepWatch, jitter};
use crate::work::{Change, Gates, Reconciler, WorkError};

/// How often the journal is pruned.
const PRUNE_EVERY: Duration = Duration::from_mins(1);

/// How much its period varies, in percent, so that the daemons of a fleet do not all look at once.
const SPREAD: u32 = 30;

/// How soon it is tried again to tell a Redis that was away what ran here: before others hand it out again.
const SOON: Duration = Duration::from_millis(500);

/// How long the other machines of the fleet have to tell a Redis that forgot what they run, before anything is
/// published again or claimed here. Longer than [`SOON`]; shorter with a quick beat.
const GRACE: Duration = Duration::from_secs(1);

/// Looks after the queue until the daemon stops.
pub async fn keep(runner: Arc<Runner>) {
    let observer = (runner.flow_stream.clone(), runner.seat.consumer.clone());
    let mut reconciler = Reconciler::new(runner.queue.clone(), runner.clock.clone(), observer);
    let reader = PresenceReader::new(runner.queue.redis().clone());
    let mut keeper = Keeper::new(Arc::clone(&runner));
    let mut unknown = parked::Unknown::default();
    let mut server = runner.queue.redis().server();
    let mut sleep = SleepWatch::new(runner.clock.clone());
    let stopped = runner.shutdown.stopped();
    tokio::pin!(stopped);
    let mut pause = Duration::MAX;
    loop {
        let period = jitter(runner.queue.config().reconcile, SPREAD);
        tokio::select! {
            () = &mut stopped => return,
            () = runner.other_life.notified() => {}
            Ok(()) = server.changed() => {}
            () = tokio::time::sleep(period.min(pause)) => {}
        }
        notice_sleep(&runner, &mut sleep);
        runner.queue.redis().follow_master().await;
        let looked = keeper.look(&mut reconciler).await;
        pause = if keeper.owes { SOON } else { reconciler.next_due().unwrap_or(Duration::MAX) };
        match looked {
            Ok(changes) => {
                for change in changes {
                    tell(&runner, &change).await;
                }
            }
            Err(error) => tracing::debug!(%error, "the queue cannot be looked at"),
        }
        if let Err(error) = parked::look(&runner, &reader, reconciler.waiting(), &mut unknown).await {
            tracing::debug!(%error, "it is not known which jobs nobody can run");
        }
        keeper.prune();
    }
}

/// Makes every worker ask Redis first thing after a sleep: another runner may have its job by now.
fn notice_sleep(runner: &Runner, watch: &mut SleepWatch) {
    if let Some(slept) = watch.look() {
        let seconds = slept.as_secs();
        tracing::info!(seconds, "the machine slept; every job asks whether it is still its own");
        runner.look(None);
    }
}

struct Keeper {
    runner: Arc<Runner>,
    epoch: Option<String>,
    /// Redis was not told what ran here, or is not known to have been.
    owes: bool,
    /// That life of Redis has not heard of every job that was published here.
    unpublished: bool,
    /// What kept jobs back in that life when it was looked at last.
    gates: Gates,
    /// Why it is told anything.
    why: &'static str,
    pruned: Instant,
}

impl Keeper {
    fn new(runner: Arc<Runner>) -> Self {
        let (gates, pruned) = (Gates::default(), Instant::now());
        Self { runner, epoch: None, owes: true, unpublished: false, gates, why: "", pruned }
    }

    /// A look at the queue, once a Redis of another life was told.
    async fn look(&mut self, reconciler: &mut Reconciler) -> Result<Vec<Change>, WorkError> {
        self.owes = true;
        let runner = Arc::clone(&self.runner);
        // In one write.
        let (glance, gates) = tokio::join!(reconciler.glance(), runner.queue.gates(&runner.machine));
        let glance = glance?;
        let another = self.epoch.as_ref() != Some(&glance.epoch);
        match self.notice_loss(&glance.epoch).await {
            Ok(()) => {
                self.owes = false;
                if !another {
                    // What stands where they should is nobody's word.
                    self.gates = gates.unwrap_or(self.gates);
                    self.forget_ended().await;
                }
            }
            // A journal that is broken hides no lost job of others.
            Err(error) => tracing::debug!(%error, "Redis is not told what ran here"),
        }
        // What it was told belongs to the look.
        if another { reconciler.look().await } else { reconciler.look_at(glance).await }
    }

    /// What has ended is not published to a life of Redis that forgets it.
    async fn forget_ended(&self) {
        if let Err(error) = self.runner.journal.forget_ended(&self.runner.queue).await {
            tracing::debug!(%error, "the journal does not know what has ended");
        }
    }

    /// Another life of the Redis than before may have lost its newest writes: the journal tells it.
    async fn notice_loss(&mut self, epoch: &str) -> Result<(), WorkError> {
        let mut told = Vec::new();
        let done = self.retell(epoch, &mut told).await;
        // Also what was told before something failed: it is not told twice.
        for id in &told {
            tracing::warn!(job = %id, "Redis had forgotten it and was told again");
            tell_one(&self.runner, ("queue.rollback", Level::Warn), id, json!({ "why": self.why })).await;
        }
        done
    }

    /// Adds to `told` what this life of Redis did not know.
    async fn retell(&mut self, epoch: &str, told: &mut Vec<SessionId>) -> Result<(), WorkError> {
        let runner = Arc::clone(&self.runner);
        let server = runner.queue.redis().server();
        let life = server.borrow().as_ref().map(|server| server.run_id.clone());
        if self.epoch.as_deref() == Some(epoch) {
            runner.told.send_replace(life);
            return self.republish(told).await;
        }
        let first = self.epoch.is_none();
        self.why = if first { "told at the start" } else { "Redis lost its newest writes" };
        // Nothing is claimed here until it knows what runs here, and had the time to learn what runs elsewhere.
        runner.told.send_replace(None);
        runner.journal.resume_running(&runner.queue, &runner.seat).await?;
        // Their workers learn at once whether that was in time.
        runner.look(None);
        runner.journal.reassert(&runner.queue, &runner.seat, told).await?;
        runner.journal.cancel_again(&runner.queue).await?;
        self.close_gates().await?;
        if first {
            // This daemon has seen no other life of it: it may claim what is there.
            self.claim_from(life.clone());
        }
        tokio::time::sleep(runner.queue.config().beat.min(GRACE)).await;
        let is_over = runner.queue.epoch().await? != epoch;
        self.epoch = Some(epoch.to_owned());
        self.unpublished = true;
        if is_over {
            // It went back once more meanwhile, and everybody tells it anew.
            runner.told.send_replace(None);
            runner.other_life.notify_one();
            return Ok(());
        }
        self.republish(told).await?;
        self.claim_from(life);
        Ok(())
    }

    /// What was kept back in the life before is kept back in this one, until its operator says otherwise.
    async fn close_gates(&self) -> Result<(), WorkError> {
        let (queue, machine) = (&self.runner.queue, &self.runner.machine);
        let now = match queue.gates(machine).await {
            Err(error) if error.is_of_the_data() => return Ok(()),
            now => now?,
        };
        if self.gates.paused && !now.paused {
            tracing::warn!("Redis forgot that the queue is paused; it is paused again");
            queue.set_paused(true).await?;
        }
        if self.gates.drained && !now.drained {
            tracing::warn!("Redis forgot that this machine is drained; it is drained again");
            queue.set_drained(machine, true).await?;
        }
        Ok(())
    }

    /// Publishes what this life of Redis has not heard yet, until all of it went well once.
    async fn republish(&mut self, told: &mut Vec<SessionId>) -> Result<(), WorkError> {
        if self.unpublished {
            self.runner.journal.republish(&self.runner.queue, told).await?;
            self.unpublished = false;
        }
        Ok(())
    }

    /// From now on jobs are claimed from this life of Redis.
    fn claim_from(&self, life: Option<String>) {
        self.runner.told.send_replace(life);
        self.runner.freed.notify_one();
    }

    fn prune(&mut self) {
        if self.pruned.elapsed() >= PRUNE_EVERY {
            self.pruned = Instant::now();
            if let Err(error) = self.runner.journal.prune() {
                tracing::warn!(%error, "the journal of jobs cannot be pruned");
            }
        }
    }
}

async fn tell(runner: &Runner, change: &Change) {
    let (action, level, id, payload) = match change {
        Change::Requeued(id) => ("job.lost", Level::Warn, id, json!({ "then": "queued again" })),
        Change::Dead(id, why) => ("job.dead", Level::Error, id, json!({ "why": why })),
        Change::Cancelled(id) => ("job.cancelled", Level::Info, id, json!({ "why": "its runner was lost" })),
        Change::Restored(id) => ("job.restored", Level::Warn, id, Value::Null),
        Change::Settled(id, state) => {
            let level = if *state == JobState::Done { Level::Info } else { Level::Warn };
            ("job.settled", level, id, json!({ "state": state }))
        }
    };
    if matches!(change, Change::Dead(..) | Change::Cancelled(_)) {
        tell_publisher(runner, id).await;
    }
    tell_one(runner, (action, level), id, payload).await;
}

/// A publisher of darkmux 1.9 waits for a record, whoever ended its job.
async fn tell_publisher(runner: &Runner, id: &SessionId) {
    let Ok(Some(job)) = runner.queue.job(id).await else { return };
    let role = job.role.unwrap_or_default();
    if let Some(session) = job.spec.and_then(|spec| spec.legacy_session) {
        runner.transitions.tell_1_9((&session, &role), 1, None).await;
    }
}

async fn tell_one(runner: &Runner, (action, level): (&'static str, Level), id: &SessionId, payload: Value) {
    runner.transitions.tell(Transition { action, level, id, role: None, attempt: None, payload }).await;
}
