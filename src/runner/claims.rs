//! Claiming: one task that asks for jobs while slots are free, and listens otherwise.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::bell::{Arm, Bell};
use super::transitions::Transition;
use super::{Runner, worker};
use crate::fleet;
use crate::model::{Level, Requirement, SessionId};
use crate::util::Backoff;
use crate::wire::v1::LinkState;
use crate::wire::{JobSpec, WorkJob};
use crate::work::{Claim, Finish, Foreign, Hint, NOT_SIGNED, Offer, PEER, Told, WorkError, adopted_spec};

/// How often the lanes are looked at without a hint: what a machine can do changes, too.
const LANES_EVERY: Duration = Duration::from_secs(10);

/// How soon it is looked again whether Redis knows what runs here.
const SOON: Duration = Duration::from_millis(250);

/// Pause after an error, growing to the second figure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How often a claim whose answer was lost is asked for again before it is left to its lease.
const ASK_AGAIN: u32 = 20;

/// Claims until the daemon stops.
pub async fn claim_until_stopped(runner: Arc<Runner>) {
    let mut bell = Bell::hang(&runner);
    let mut claims = Claims { runner, backoff: Backoff::new(PAUSE.0, PAUSE.1) };
    let stopped = claims.runner.shutdown.stopped();
    tokio::pin!(stopped);
    loop {
        let wait = match claims.take_all(&bell).await {
            Ok(wait) => {
                claims.backoff.reset();
                wait
            }
            Err(error) => {
                tracing::debug!(%error, "no claim");
                claims.runner.claiming.lock().await.looked = None;
                claims.backoff.pause()
            }
        };
        tokio::select! {
            () = &mut stopped => return,
            () = claims.runner.freed.notified() => {}
            () = tokio::time::sleep(wait) => {}
            rang = bell.rang.recv() => match rang {
                None => return,
                Some(hint) => claims.heed(hint).await,
            },
        }
    }
}

/// What a claim asks with. Whoever claims holds it until the answer is there: the queue remembers one claim of a
/// runner, its last.
#[derive(Debug, Default)]
pub struct Claiming {
    streams: Vec<String>,
    looked: Option<Instant>,
    /// The nonce of a claim whose answer was lost, and how often it was asked for again.
    open: Option<(String, u32)>,
}

struct Claims {
    runner: Arc<Runner>,
    backoff: Backoff,
}

impl Claims {
    async fn heed(&mut self, hint: Option<Hint>) {
        match hint {
            // What a Redis that forgets it is told.
            Some(Hint::Cancelled(id, at_ms)) => {
                // Before its runner is asked to look.
                note(&id, self.runner.journal.cancelled(&id, at_ms));
                self.runner.look(Some(&id));
            }
            Some(Hint::Over(id)) => note(&id, self.runner.journal.forget_published(&id)),
            // Whether it was paused is told to a Redis that forgets all; a job's time may come before the next look.
            Some(Hint::Life | Hint::Gate | Hint::Due) => self.runner.other_life.notify_one(),
            None | Some(Hint::Lanes) => self.runner.claiming.lock().await.looked = None,
            Some(Hint::Work | Hint::Nudge | Hint::Quiet) => {}
        }
    }

    /// Claims for every free slot; returns how long nothing need be done unless something rings.
    async fn take_all(&mut self, bell: &Bell) -> Result<Duration, WorkError> {
        look_at_lanes(&self.runner, &mut *self.runner.claiming.lock().await).await?;
        if !self.runner.is_told() {
            return Ok(SOON);
        }
        if let Some(why) = refuses(&self.runner) {
            self.runner.tell_gauge(Some(true));
            tracing::error!(why, "this machine claims no jobs; `darkmux doctor` says more");
            return Ok(LANES_EVERY);
        }
        while self.runner.free_slots() > 0 && !self.runner.shutdown.is_stopping() {
            match claim(&self.runner).await? {
                offer @ (Offer::Paused | Offer::Drained) => {
                    self.runner.tell_gauge(Some(offer == Offer::Drained));
                    return Ok(LANES_EVERY);
                }
                Offer::Nothing { wait_ms, marks } => {
                    self.runner.tell_gauge(Some(false));
                    let streams = self.runner.claiming.lock().await.streams.clone();
                    if bell.arm(Arm { streams, marks }) {
                        self.runner.queue.nudge().await?;
                    }
                    let head_start = Duration::from_millis(wait_ms);
                    return Ok(if wait_ms == 0 { LANES_EVERY } else { head_start });
                }
                offer => take(&self.runner, offer).await?,
            }
        }
        Ok(LANES_EVERY)
    }
}

fn note(id: &SessionId, noted: io::Result<()>) {
    if let Err(error) = noted {
        tracing::warn!(job = %id, %error, "the journal does not know what became of it");
    }
}

/// Does with an offer what is to be done with it.
async fn take(runner: &Arc<Runner>, offer: Offer) -> Result<(), WorkError> {
    match offer {
        Offer::Job(claim) => begin(runner, *claim).await,
        Offer::Refused { id: None, why } => {
            tracing::error!(why, "a job of the queue cannot be run by anybody");
        }
        Offer::Refused { id: Some(id), why } => {
            let transition = Transition {
                action: "job.dead",
                level: Level::Error,
                id: &id,
                role: None,
                attempt: None,
                payload: json!({ "why": why }),
            };
            runner.transitions.tell(transition).await;
        }
        Offer::Foreign(foreign) => take_foreign(runner, &foreign).await?,
        Offer::Paused | Offer::Drained | Offer::Nothing { .. } => {}
    }
    Ok(())
}

/// The end of a job on a full runner, and the next job for its slot, in one round trip; the caller still holds the
/// slot, so that nobody else fills it. `None` when that is not to be done now, or the answer was lost: the end is
/// told by itself then.
pub async fn turn(runner: &Arc<Runner>, told: Told<'_>) -> Option<Finish> {
    let is_full = runner.busy.load(Ordering::SeqCst) == runner.config.slots;
    if !is_full
        || !runner.config.enabled
        || runner.shutdown.is_stopping()
        || refuses(runner).is_some()
        || !runner.is_told()
    {
        return None;
    }
    let (finish, offer) = {
        let mut claiming = runner.claiming.try_lock().ok()?;
        let is_fresh = claiming.looked.is_some_and(|looked| looked.elapsed() < LANES_EVERY);
        if !is_fresh || claiming.open.is_some() {
            return None;
        }
        let nonce = Uuid::new_v4().simple().to_string();
        match runner.queue.finish_and_claim(told, &runner.seat, &claiming.streams, &nonce).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(job = %told.id, %error, "no turn");
                claiming.open = Some((nonce, 0));
                return None;
            }
        }
    };
    if let Err(error) = take(runner, offer).await {
        tracing::debug!(%error, "what was offered could not be taken");
    }
    Some(finish)
}

/// Why this Redis is none to take jobs from.
fn refuses(runner: &Runner) -> Option<&'static str> {
    let redis = runner.queue.redis();
    let server = redis.server();
    let server = server.borrow();
    // Nothing is claimed from one that has not answered yet.
    let server = server.as_ref()?;
    if !matches!(server.maxmemory_policy.as_str(), "" | "noeviction") {
        Some("Redis may forget jobs when its memory is full: set its maxmemory-policy to noeviction")
    } else if !server.is_local && !redis.target().has_password() {
        Some("whoever reaches Redis could run commands here: give it a password")
    } else {
        None
    }
}

async fn look_at_lanes(runner: &Runner, claiming: &mut Claiming) -> Result<(), WorkError> {
    if claiming.looked.is_some_and(|looked| looked.elapsed() < LANES_EVERY) {
        return Ok(());
    }
    let Runner { seat, facts, .. } = runner;
    let lanes = runner.queue.lanes().await?;
    // Nobody's requirements, nothing to ask of this machine.
    let asks = lanes.iter().any(|(_, lane)| !lane.require.is_empty());
    let facts = if asks { Some(facts.recent().await) } else { None };
    let meets = |text: &str| {
        if let Some(peer) = text.strip_prefix(PEER) {
            let status = runner.peers.status(peer).map(|peer| peer.status);
            let is_up = status == Some(LinkState::Connected);
            return if is_up { Ok(()) } else { Err(format!("{peer} is no peer of this machine")) };
        }
        let requirement: Requirement = text.parse().map_err(|error| format!("{error}"))?;
        facts.as_ref().map_or(Ok(()), |facts| fleet::meets(facts, &requirement))
    };
    let admitted = lanes
        .into_iter()
        .filter(|(_, lane)| lane.admits(seat.machine.as_str(), &seat.consumer, meets).is_ok());
    claiming.streams = admitted.map(|(stream, _)| stream).collect();
    claiming.looked = Some(Instant::now());
    Ok(())
}

/// Asks for one job. A claim whose answer was lost is asked for again before any other.
async fn claim(runner: &Runner) -> Result<Offer, WorkError> {
    let mut claiming = runner.claiming.lock().await;
    let (nonce, tries) = match claiming.open.take() {
        Some((nonce, tries)) if tries < ASK_AGAIN => (nonce, tries + 1),
        _ => (Uuid::new_v4().simple().to_string(), 0),
    };
    let Runner { seat, queue, .. } = runner;
    let offer = queue.claim(seat, &claiming.streams, &nonce, tries > 0).await;
    if offer.is_err() {
        claiming.open = Some((nonce, tries));
    }
    offer
}

/// Makes a job of an entry that darkmux 1.9 published; what is none becomes a dead letter, and its publisher is
/// told.
async fn take_foreign(runner: &Arc<Runner>, foreign: &Foreign) -> Result<(), WorkError> {
    let adopted = match adopted_spec(foreign, runner.queue.now_ms().await?) {
        // Its entry has no place for a signature.
        Ok(_) if runner.queue.is_signed() => Err(NOT_SIGNED.to_owned()),
        adopted => adopted,
    };
    match adopted {
        Ok(adopted) => {
            let nonce = Uuid::new_v4().simple().to_string();
            match adopt(runner, foreign, &nonce, adopted).await {
                Ok(Some(claim)) => begin(runner, claim).await,
                Ok(None) => {}
                // Another thing has its key.
                Err(error) if error.is_of_the_data() => reject(runner, foreign, &error.to_string()).await?,
                Err(error) => return Err(error),
            }
        }
        Err(why) => reject(runner, foreign, &why).await?,
    }
    Ok(())
}

/// It is a dead letter, and its publisher is told.
async fn reject(runner: &Runner, foreign: &Foreign, why: &str) -> Result<(), WorkError> {
    runner.queue.reject(foreign, why).await?;
    tell_rejected(runner, foreign, why).await;
    Ok(())
}

/// Asks until it is answered: an entry that is a job already, and whose claimer does not know it, would be lost.
async fn adopt(
    runner: &Runner,
    foreign: &Foreign,
    nonce: &str,
    adopted: (WorkJob, JobSpec),
) -> Result<Option<Claim>, WorkError> {
    let mut tries = 0;
    loop {
        let answer = runner.queue.adopt(&runner.seat, foreign, nonce, adopted.clone()).await;
        tries += 1;
        let is_settled = answer.as_ref().map_or_else(WorkError::is_of_the_data, |_| true);
        if is_settled || tries >= ASK_AGAIN || runner.shutdown.is_stopping() {
            return answer;
        }
        tokio::time::sleep(PAUSE.0).await;
    }
}

async fn tell_rejected(runner: &Runner, foreign: &Foreign, why: &str) {
    tracing::warn!(entry = %foreign.entry, why, "an entry of the queue is no job");
    let record = foreign.fields.get("record").map_or(&[][..], Vec::as_slice);
    let record: Value = serde_json::from_slice(record).unwrap_or_default();
    let text = |name: &str| record[name].as_str().filter(|text| text.len() <= 256);
    let Some(session) = text("session_id") else { return };
    let role = text("role_id").unwrap_or_default();
    runner.transitions.tell_1_9((session, role), 1, None).await;
    if let Ok(id) = session.parse() {
        let (level, payload) = (Level::Error, json!({ "why": why }));
        let role = Some(role);
        let dead = Transition { action: "job.dead", level, id: &id, role, attempt: None, payload };
        runner.transitions.tell(dead).await;
    }
}

async fn begin(runner: &Arc<Runner>, claim: Claim) {
    let slot = runner.take_slot(&claim.id);
    let target = claim.job.meant_for_another(&runner.machine);
    let payload = match target {
        // 1.9's soft warning: the hint is advisory.
        Some(target) => {
            json!({ "target_machine": target, "note": "claimed by another machine than its target" })
        }
        None => Value::Null,
    };
    let action = if claim.attempt > 1 { "job.reclaimed" } else { "job.claimed" };
    let level = if target.is_some() { Level::Warn } else { Level::Info };
    runner.transitions.of_claim(&claim, (action, level), payload).await;
    drop(runner.shutdown.spawn(worker::life(Arc::clone(runner), slot, claim)));
    // It goes first: somebody waits for the job, nobody for the next claim.
    tokio::task::yield_now().await;
}
