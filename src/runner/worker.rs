//! One claim's life on this machine.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::end::{self, Verdict};
use super::start::{self, NoSession, start};
use super::workspace::{self, Interrupted};
use super::{Runner, Slot, checkpoint, output};
use crate::model::{EndReason, Level, MachineId, OnLoss, SessionState};
use crate::session::HostClient;
use crate::util::{Backoff, BootTime, jitter};
use crate::wire::SessionStatus;
use crate::work::{Beat, Claim, Outcome, Stopping};

/// Pause between two looks at a session that cannot be followed.
pub const LOOK: Duration = Duration::from_millis(100);

/// How much the time between beats varies, in percent, so that many jobs do not beat at once.
const SPREAD: u32 = 10;

/// [`begin`] by a type with a name: the end of a job begins the next one.
pub fn life(runner: Arc<Runner>, slot: Slot, claim: Claim) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(begin(runner, slot, claim))
}

/// A claimed job: journal, session, and what follows.
async fn begin(runner: Arc<Runner>, slot: Slot, claim: Claim) {
    if let Err(error) = runner.journal.running(&claim) {
        // Without the journal a restart would lose it; another machine may have room.
        decline(&runner, &claim, &format!("the journal cannot be written: {error}"), None).await;
        return;
    }
    if claim.cancel.is_some() {
        end::tell(&runner, &claim, Outcome::Cancelled, end::unstarted(&runner, &claim, "cancelled")).await;
        return;
    }
    match start(&runner, &claim).await {
        Ok(()) => Box::pin(follow(runner, slot, claim, None)).await,
        Err(NoSession::Declined(why)) => decline(&runner, &claim, &why.to_string(), None).await,
        Err(NoSession::NoPeer(machine, why)) => decline(&runner, &claim, &why, Some(&machine)).await,
        Err(NoSession::Failed(why)) => {
            end::tell(&runner, &claim, Outcome::Failed, end::unstarted(&runner, &claim, &why)).await;
        }
        Err(NoSession::Never(why)) => end::refused(&runner, &claim, &why).await,
        Err(NoSession::Interrupted(Interrupted::Superseded)) => end::superseded(&runner, &claim).await,
        Err(NoSession::Interrupted(Interrupted::Cancelled(why))) => {
            end::tell(&runner, &claim, Outcome::Cancelled, end::unstarted(&runner, &claim, &why)).await;
        }
        // The next daemon begins it.
        Err(NoSession::Interrupted(Interrupted::Stopped)) => {}
    }
}

async fn decline(runner: &Runner, claim: &Claim, why: &str, peer: Option<&MachineId>) {
    tracing::info!(job = %claim.id, why, "given back");
    // Until it is answered: a job that nobody beats for counts as one that may have run.
    let mut backoff = Backoff::new(LOOK * 2, LOOK * 50);
    while let Err(error) = runner.queue.decline_until(&runner.seat, claim, why, peer).await {
        if error.is_of_the_data() {
            tracing::error!(job = %claim.id, %error, "cannot be given back; its lease ends it");
            break;
        }
        tracing::debug!(job = %claim.id, %error, "waits to be given back");
        if !runner.shutdown.rest(backoff.pause()).await {
            // It is in the journal: the next daemon begins it, and gives it back.
            return;
        }
    }
    end::forget(runner, claim);
    runner.transitions.of_claim(claim, ("job.declined", Level::Warn), json!({ "why": why })).await;
}

/// A job that was claimed before the daemon died, and has no session: begun now, if it is still this machine's.
pub fn begin_if_ours(
    runner: Arc<Runner>,
    slot: Slot,
    claim: Claim,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        loop {
            match runner.ask(&claim).await {
                Ok(Beat::Lost) => return end::superseded(&runner, &claim).await,
                Ok(Beat::Cancel(why)) => {
                    return life(runner, slot, Claim { cancel: Some(why), ..claim }).await;
                }
                Ok(Beat::Held) => return life(runner, slot, claim).await,
                Err(error) if error.is_of_the_data() => {
                    // Nothing of it runs here; its lease ends it.
                    end::untold(&runner, &claim, &error).await;
                    return end::forget(&runner, &claim);
                }
                Err(error) => tracing::debug!(job = %claim.id, %error, "whose it is is not known yet"),
            }
            if runner.shutdown.is_stopping() {
                return;
            }
            tokio::time::sleep(LOOK * 5).await;
        }
    })
}

/// An attempt that was told to end and left no session behind.
pub async fn end_without_session(runner: Arc<Runner>, slot: Slot, claim: Claim, why: Stopping) {
    let status = end::no_session(&runner, &claim);
    finish(&runner, &claim, status, Some(why)).await;
    drop(slot);
}

/// What the daemon that began the session left in the journal.
pub struct Adopted {
    /// Why it told the session to end, if it did.
    pub stopping: Option<Stopping>,
}

/// A job whose session runs (or ran): beats, output, end.
pub async fn follow(runner: Arc<Runner>, slot: Slot, claim: Claim, adopted: Option<Adopted>) {
    let is_adopted = adopted.is_some();
    let mut hold = Hold { runner: &runner, claim: &claim, good: BootTime::now(), stopping: None };
    if let Some(why) = adopted.and_then(|adopted| adopted.stopping) {
        hold.stopping = Some(why);
        // It may not have heard of it.
        hold.end_session().await;
    }
    let ended = {
        let out = output::carry(&runner, &claim);
        tokio::pin!(out);
        let checkpoints = checkpoint::carry(&runner, &claim);
        tokio::pin!(checkpoints);
        let stopped = runner.shutdown.stopped();
        tokio::pin!(stopped);
        let mut beat = Instant::now() + runner.queue.config().beat;
        loop {
            tokio::select! {
                ended = &mut out => break Some(ended),
                // The session goes on; the next daemon adopts it.
                () = &mut stopped => break None,
                never = &mut checkpoints => match never {},
                () = slot.look.notified() => {}
                () = tokio::time::sleep_until(beat) => {}
            }
            hold.beat().await;
            beat = Instant::now() + jitter(runner.queue.config().beat, SPREAD);
        }
    };
    let mut stopping = hold.stopping;
    let Some(status) = ended else { return };
    if is_adopted && stopping.is_none() && !ended_well(&status) {
        match why_ended(&runner, &claim).await {
            Ok(why) => stopping = why,
            // The next daemon asks.
            Err(Stopped) => return,
        }
    }
    finish(&runner, &claim, status, stopping).await;
    drop(slot);
}

/// By itself, and with nothing to complain of.
fn ended_well(status: &SessionStatus) -> bool {
    status.exit_code == Some(0) && status.reason == Some(EndReason::Exited)
}

/// The daemon stops.
struct Stopped;

/// What Redis says of an attempt that ended while no daemon looked: a cancellation that nobody here heard of may be
/// why.
async fn why_ended(runner: &Runner, claim: &Claim) -> Result<Option<Stopping>, Stopped> {
    let stopped = runner.shutdown.stopped();
    tokio::pin!(stopped);
    loop {
        match runner.ask(claim).await {
            Ok(Beat::Held) => return Ok(None),
            Ok(Beat::Cancel(why)) => return Ok(Some(Stopping::Cancelled(why))),
            Ok(Beat::Lost) => return Ok(Some(Stopping::Superseded)),
            // What it is told is refused as well, and that is said then.
            Err(error) if error.is_of_the_data() => return Ok(None),
            Err(error) => tracing::debug!(job = %claim.id, %error, "why it ended is not known yet"),
        }
        tokio::select! {
            () = &mut stopped => return Err(Stopped),
            () = tokio::time::sleep(LOOK * 5) => {}
        }
    }
}

async fn finish(runner: &Arc<Runner>, claim: &Claim, status: SessionStatus, stopping: Option<Stopping>) {
    let mut verdict = end::verdict(runner, claim, &status);
    let mut stopping = stopping;
    let is_told = !matches!(stopping, Some(Stopping::Superseded | Stopping::Fenced));
    if is_told && status.state != SessionState::Lost {
        match workspace::collect(runner, claim, &status).await {
            Ok(left) => verdict.result.workspace = left,
            Err(Interrupted::Superseded) => stopping = Some(Stopping::Superseded),
            // The next daemon finds the session as this one did.
            Err(Interrupted::Stopped | Interrupted::Cancelled(_)) => return,
        }
    }
    match stopping {
        Some(Stopping::Superseded) => end::superseded(runner, claim).await,
        Some(Stopping::Cancelled(why)) => {
            let Verdict { mut result, .. } = verdict;
            result.error = Some(why);
            end::tell(runner, claim, Outcome::Cancelled, result).await;
        }
        // As when the machine had gone: it is not run again, and nobody takes it for refused.
        Some(Stopping::Fenced) => end::lost(runner, claim).await,
        None if status.state == SessionState::Lost => end::lost(runner, claim).await,
        None => end::tell(runner, claim, verdict.outcome, verdict.result).await,
    }
}

/// What a worker knows of its hold on the job.
struct Hold<'a> {
    runner: &'a Runner,
    claim: &'a Claim,
    /// When Redis last said that the job is ours. The lease goes on while this machine sleeps.
    good: BootTime,
    stopping: Option<Stopping>,
}

impl Hold<'_> {
    async fn beat(&mut self) {
        match self.runner.ask(self.claim).await {
            Ok(Beat::Held) => self.good = BootTime::now(),
            Ok(Beat::Cancel(why)) => {
                self.good = BootTime::now();
                self.stop(Stopping::Cancelled(why)).await;
            }
            Ok(Beat::Lost) => self.stop(Stopping::Superseded).await,
            Err(error) => {
                tracing::debug!(job = %self.claim.id, %error, "no beat");
                let over = self.good.elapsed() >= self.runner.queue.config().lease;
                if over && self.claim.spec.on_loss == OnLoss::Stop {
                    self.stop(Stopping::Fenced).await;
                }
            }
        }
    }

    async fn stop(&mut self, why: Stopping) {
        if self.stopping.is_none() {
            // First: a daemon that comes after this one finds a session that ended, and not why.
            if let Err(error) = self.runner.journal.stopping(self.claim, &why) {
                tracing::error!(job = %self.claim.id, %error, "why it is ended is not in the journal");
            }
            self.stopping = Some(why);
        }
        self.end_session().await;
    }

    async fn end_session(&self) {
        if !start::has_session(self.runner, self.claim).unwrap_or(false) {
            // Another attempt's session has the job's id by now, or nobody knows: it is asked again with the next beat.
            return;
        }
        let folder = self.runner.table.folder(&self.claim.id);
        let stopped = async { HostClient::connect(&folder).await?.stop(None).await };
        if let Err(error) = stopped.await {
            tracing::debug!(job = %self.claim.id, %error, "its session could not be told to end");
        }
    }
}
