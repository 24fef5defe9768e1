//! Claiming a job and what its holder does with it.

use std::time::Duration;

use std::collections::HashMap;

use redis::{FromRedisValue, ScriptInvocation, Value};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::finish::finished;
use super::queue::{KEY_KEPT, Queue, strange};
use super::{WorkError, sign};
use crate::model::{MachineId, SessionId};
use crate::util::clock::whole_ms;
use crate::wire::{JobResult, JobSpec, Lane, WorkJob};

/// Losses of its runner after which a job that may run again ends.
pub(super) const LOSSES_MAX: u32 = 3;

/// First pause before another attempt, in milliseconds; it doubles.
const BACKOFF_MS: u64 = 10_000;

/// Longest pause before another attempt, in milliseconds.
const BACKOFF_MAX_MS: u64 = 15 * 60 * 1000;

/// Longest raw text that a dead letter keeps, in bytes.
const RAW_MAX: usize = 4096;

/// Pause before a job is offered again to those that gave it back, the first time, in leases: longer than it takes to
/// find that nobody knows its role.
const OFFER_AGAIN: u32 = 2;

/// How often that pause doubles: up to 16 of the first.
pub(super) const OFFER_DOUBLINGS: u32 = 4;

/// Who claims: one runner in one run of its daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its machine.
    pub machine: MachineId,
    /// Its name in the consumer group, `<machine>:<nonce>`; another one at each start.
    pub consumer: String,
}

impl Seat {
    /// A seat of this machine for one run of a daemon.
    pub fn new(machine: MachineId) -> Self {
        Self::of_boot(machine, &Uuid::new_v4().simple().to_string())
    }

    /// The seat of the daemon that calls this run of it `boot`, as its signs of life do.
    pub fn of_boot(machine: MachineId, boot: &str) -> Self {
        let nonce: String = boot.chars().take(12).collect();
        let consumer = format!("{machine}:{nonce}");
        Self { machine, consumer }
    }
}

/// A job that this runner holds. Dropped without [`Queue::finish`], it stays held until the lease ends, and is
/// then run again or ends dead, as its spec says.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a claimed job must be finished, declined, or kept in the journal"]
pub struct Claim {
    /// The job.
    pub id: SessionId,
    /// The token that fences this attempt: `<attempt>-<nonce>`.
    pub token: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// What to do.
    pub job: WorkJob,
    /// What was said about it besides.
    pub spec: JobSpec,
    /// Why it should stop, when somebody cancelled it already.
    pub cancel: Option<String>,
    /// What the attempts before it came to.
    pub before: Before,
}

/// What earlier attempts at a job came to. A Redis that forgot it is told by the runner of the next attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Attempts that failed.
    pub fails: u32,
    /// Attempts whose runner was lost.
    pub losses: u32,
}

/// An entry that no job of ours stands behind: one of darkmux 1.9, or garbage.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// The stream it is in.
    pub stream: String,
    /// Its entry.
    pub entry: String,
    /// Its fields.
    pub fields: HashMap<String, Vec<u8>>,
}

/// What the queue has for a runner.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// A job.
    Job(Box<Claim>),
    /// A claimed job that must not run: why. It was ended as a dead letter.
    Refused {
        /// The job; `None` where what it is called is no id of one.
        id: Option<SessionId>,
        /// Why it must not run.
        why: String,
    },
    /// An entry that must be adopted or rejected.
    Foreign(Foreign),
    /// Nothing now.
    Nothing {
        /// Ask again after so many milliseconds, when that is not 0: a job has its machine's head start.
        wait_ms: u64,
        /// The newest entry of each stream: what to listen from.
        marks: Vec<String>,
    },
    /// The queue is paused.
    Paused,
    /// This machine is drained.
    Drained,
}

/// What a heartbeat learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// Go on.
    Held,
    /// Somebody cancelled it: why.
    Cancel(String),
    /// Somebody else has it, or it has ended: stop.
    Lost,
}

/// How an attempt ended, for [`Queue::finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// Another exit code, or it did not start.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It will not be tried again: a dead letter.
    Dead,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It is the job's result (or was, when it was told before).
    Accepted,
    /// It failed and will be tried again.
    Again,
    /// Another attempt counts; this one's result was refused.
    Fenced,
    /// Redis knows nothing of the claim: tell it with [`Queue::resume`], then finish again.
    Forgotten,
}

/// A claimed job, as the script answers.
struct Claimed<'a> {
    id: &'a str,
    token: &'a str,
    before: Before,
    record: &'a str,
    sealed: &'a str,
    lane: &'a str,
    cancel: &'a str,
    /// What time Redis has, in Unix milliseconds.
    now: &'a str,
}

impl Queue {
    /// Takes the next job of these streams, asked in their order. `retry` repeats a claim whose answer was lost:
    /// the same `nonce` gets the same job.
    pub async fn claim(
        &self,
        seat: &Seat,
        streams: &[String],
        nonce: &str,
        retry: bool,
    ) -> Result<Offer, WorkError> {
        let mut call = self.scripts.claim.prepare_invoke();
        claim_args(&mut call, seat, streams, (nonce, retry));
        self.offer(self.redis.script(&call).await?).await
    }

    /// What the answer to a claim says.
    pub(super) async fn offer(&self, answer: Vec<Value>) -> Result<Offer, WorkError> {
        if answer.len() == 4 && is_foreign(&answer[0]) {
            let (stream, entry) = (into_text(answer[1].clone()), into_text(answer[2].clone()));
            return Ok(Offer::Foreign(Foreign { stream, entry, fields: fields_of(&answer[3]) }));
        }
        let words: Vec<String> = answer.into_iter().map(into_text).collect();
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["run", id, token, record, sealed, lane, cancel, fails, losses, now] => {
                let count = |text: &str| text.parse().unwrap_or(0);
                let before = Before { fails: count(fails), losses: count(losses) };
                let claimed = Claimed { id, token, before, record, sealed, lane, cancel, now };
                self.open(claimed).await
            }
            ["none", wait, ..] => {
                let marks = words[2..].to_vec();
                Ok(Offer::Nothing { wait_ms: wait.parse().unwrap_or(0), marks })
            }
            ["paused"] => Ok(Offer::Paused),
            ["drained"] => Ok(Offer::Drained),
            _ => Err(strange(&words)),
        }
    }

    /// Checks what a claimed job's documents say; what must not run ends dead.
    async fn open(&self, claimed: Claimed<'_>) -> Result<Offer, WorkError> {
        let Claimed { id, token, before, record, sealed, lane, cancel, now } = claimed;
        let Ok(id) = SessionId::new(id) else {
            let why = "its id is none of a job".to_owned();
            self.refuse_id(id, token, &why).await?;
            return Ok(Offer::Refused { id: None, why });
        };
        let now_ms: u64 = now.parse().unwrap_or(0);
        let spec = sign::open(self.key.as_ref(), record, sealed)
            .and_then(|spec| serde_json::from_str::<JobSpec>(spec).map_err(|error| error.to_string()))
            .and_then(|spec| if spec.id == id { Ok(spec) } else { Err("it is another job's".to_owned()) });
        let spec = match spec {
            Ok(spec) if self.is_signed() && !self.is_its_lane(&id, &spec, lane).await? => {
                Err("it is in another lane than the one that was signed".to_owned())
            }
            // By the clock of Redis, as it was published: that of no machine decides.
            Ok(spec) if spec.not_after_ms < now_ms => {
                Err("its time to start is over; publish it again".to_owned())
            }
            spec => spec,
        };
        let opened = spec.and_then(|spec| Ok((WorkJob::parse(record.as_bytes())?, spec)));
        match opened {
            Ok((job, spec)) => Ok(Offer::Job(Box::new(Claim {
                id,
                token: token.to_owned(),
                attempt: token.split('-').next().and_then(|attempt| attempt.parse().ok()).unwrap_or(1),
                job,
                spec,
                cancel: (!cancel.is_empty()).then(|| cancel.to_owned()),
                before,
            }))),
            Err(why) => {
                self.refuse(&id, token, &why).await?;
                Ok(Offer::Refused { id: Some(id), why })
            }
        }
    }

    /// Whether a job was claimed from the lane that it was published to, or from one that leaves out runners that gave
    /// it back besides: whoever writes to Redis could else hand it to machines that it was not meant for.
    async fn is_its_lane(&self, id: &SessionId, spec: &JobSpec, stream: &str) -> Result<bool, WorkError> {
        if spec.lane.stream()? == stream {
            return Ok(true);
        }
        let Some(now) = self.lane_of(id).await? else { return Ok(false) };
        let is_named = now.stream()? == stream;
        Ok(is_named && Lane { not: spec.lane.not.clone(), ..now } == spec.lane)
    }

    /// Ends a claimed job as a dead letter. May be told again until it is answered.
    pub async fn refuse(&self, id: &SessionId, token: &str, why: &str) -> Result<Finish, WorkError> {
        self.refuse_id(id.as_str(), token, why).await
    }

    async fn refuse_id(&self, id: &str, token: &str, why: &str) -> Result<Finish, WorkError> {
        let result = JobResult { schema: 1, error: Some(why.to_owned()), ..JobResult::default() };
        let mut call = self.scripts.refuse.prepare_invoke();
        call.arg(id).arg(token).arg(why).arg(self.config.dead_ttl.as_secs()).arg(json(&result)?);
        finished(&self.send_until_answered(&call).await?)
    }

    /// Makes a job of a foreign entry that this seat claimed. `None` when it is no longer this seat's.
    pub async fn adopt(
        &self,
        seat: &Seat,
        foreign: &Foreign,
        nonce: &str,
        (job, spec): (WorkJob, JobSpec),
    ) -> Result<Option<Claim>, WorkError> {
        let (record, sealed) = self.documents(&job, &spec)?;
        let mut call = self.scripts.adopt.prepare_invoke();
        call.arg(spec.id.as_str()).arg(&seat.consumer).arg(seat.machine.as_str()).arg(nonce);
        call.arg(&foreign.stream).arg(&foreign.entry).arg(record).arg(sealed);
        let answer = self.send_until_answered(&call).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["run", token] => {
                let (id, token) = (spec.id.clone(), token.to_owned());
                Ok(Some(Claim { id, token, attempt: 1, job, spec, cancel: None, before: Before::default() }))
            }
            ["dup", _] | ["notmine"] => Ok(None),
            _ => Err(strange(&answer)),
        }
    }

    /// Moves a foreign entry to the dead letters, with why and its first bytes.
    pub async fn reject(&self, foreign: &Foreign, why: &str) -> Result<(), WorkError> {
        let raw = foreign.fields.get("record").map_or(&[][..], Vec::as_slice);
        let mut call = self.scripts.reject.prepare_invoke();
        call.arg(&foreign.stream).arg(&foreign.entry).arg(why).arg(&raw[..raw.len().min(RAW_MAX)]);
        self.send_until_answered(&call).await.map(|_| ())
    }

    /// Tells that the job still runs. `None`: Redis knows nothing of it. Go on, and tell it again with
    /// [`resume`](Self::resume).
    pub async fn beat(&self, id: &SessionId, token: &str) -> Result<Option<Beat>, WorkError> {
        let mut call = self.scripts.beat.prepare_invoke();
        call.arg(id.as_str()).arg(token);
        let answer = self.send(&call).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ok", ""] => Ok(Some(Beat::Held)),
            ["ok", why] => Ok(Some(Beat::Cancel(why.to_owned()))),
            ["lost", ..] => Ok(Some(Beat::Lost)),
            ["unknown"] => Ok(None),
            _ => Err(strange(&answer)),
        }
    }

    /// Tells that the attempt was lost without an end of its own: [`Finish::Again`] when another one follows,
    /// [`Finish::Accepted`] when that was the job's end.
    pub async fn lose(&self, claim: &Claim) -> Result<Finish, WorkError> {
        let mut call = self.scripts.lost.prepare_invoke();
        call.arg(claim.id.as_str()).arg(&claim.token).arg(max_losses(Some(&claim.spec)));
        call.arg(backoff_ms(claim.attempt)).arg(self.config.dead_ttl.as_secs());
        let answer = self.send_until_answered(&call).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["requeued"] => Ok(Finish::Again),
            ["dead" | "cancelled"] => Ok(Finish::Accepted),
            ["fenced", _] => Ok(Finish::Fenced),
            ["unknown"] => Ok(Finish::Forgotten),
            _ => Err(strange(&answer)),
        }
    }

    /// Gives a job back that this runner finds it cannot run; it is offered the job again after a pause, which grows
    /// each time.
    pub async fn decline(&self, seat: &Seat, claim: &Claim, why: &str) -> Result<(), WorkError> {
        self.decline_until(seat, claim, why, None).await
    }

    /// Pause before it is offered again, the first time.
    pub(super) fn offer_pause(&self) -> Duration {
        self.config.lease * OFFER_AGAIN
    }

    /// As [`decline`](Self::decline); it is offered the job again when its machine has this peer.
    pub async fn decline_until(
        &self,
        seat: &Seat,
        claim: &Claim,
        why: &str,
        peer: Option<&MachineId>,
    ) -> Result<(), WorkError> {
        // Where it stands now, which is another lane than it was published to when others gave it back before.
        let lane = self.lane_of(&claim.id).await?.unwrap_or_else(|| claim.spec.lane.clone());
        let lane = match peer {
            Some(peer) => lane.without_until(&seat.consumer, peer),
            None => lane.without(&seat.consumer),
        };
        let mut call = self.scripts.decline.prepare_invoke();
        call.arg(claim.id.as_str()).arg(&claim.token).arg(seat.machine.as_str()).arg(why);
        call.arg(lane.stream()?).arg(lane.to_json()?).arg(self.config.result_ttl.as_secs());
        match peer {
            Some(_) => call.arg(""),
            None => call.arg(whole_ms(self.offer_pause())),
        };
        call.arg(OFFER_DOUBLINGS);
        self.send_until_answered(&call).await.map(|_| ())
    }

    /// Tells a result to a server that forgot the job. `false` when another attempt counts.
    pub async fn reassert(
        &self,
        claim: (&WorkJob, &JobSpec),
        token: &str,
        outcome: Outcome,
        result: &JobResult,
    ) -> Result<bool, WorkError> {
        let (job, spec) = claim;
        let (record, sealed) = self.documents(job, spec)?;
        let mut call = self.scripts.reassert.prepare_invoke();
        call.arg(spec.id.as_str()).arg(token).arg(outcome.as_str()).arg(json(result)?);
        call.arg(self.config.result_ttl.as_secs()).arg(sealed).arg(record).arg(spec.lane.stream()?);
        call.arg(spec.lane.registered()?);
        call.arg(spec.key.as_deref().unwrap_or_default()).arg(whole_ms(KEY_KEPT));
        call.arg(result.machine.as_ref().map_or("?", MachineId::as_str)).arg(result.wall_ms.unwrap_or(0));
        let answer = self.send_until_answered(&call).await?;
        Ok(answer.first().is_some_and(|word| word != "fenced"))
    }

    /// Tells a server that forgot its claim that the job still runs here. [`Beat::Lost`] when it knows that this
    /// attempt is over, or that another one counts.
    pub async fn resume(&self, seat: &Seat, claim: &Claim) -> Result<Beat, WorkError> {
        let Claim { token, job, spec, before, .. } = claim;
        let (record, sealed) = self.documents(job, spec)?;
        let mut call = self.scripts.resume.prepare_invoke();
        call.arg(spec.id.as_str()).arg(token).arg(&seat.consumer).arg(seat.machine.as_str());
        call.arg(sealed).arg(record).arg(spec.lane.stream()?).arg(spec.lane.registered()?);
        call.arg(before.fails).arg(before.losses);
        call.arg(spec.key.as_deref().unwrap_or_default()).arg(whole_ms(KEY_KEPT));
        let answer = self.send_until_answered(&call).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ok", ""] => Ok(Beat::Held),
            ["ok", why] => Ok(Beat::Cancel(why.to_owned())),
            ["lost", ..] => Ok(Beat::Lost),
            _ => Err(strange(&answer)),
        }
    }
}

/// What the claiming script is called with.
pub(super) fn claim_args(
    call: &mut ScriptInvocation<'_>,
    seat: &Seat,
    streams: &[String],
    (nonce, retry): (&str, bool),
) {
    call.arg(&seat.consumer).arg(seat.machine.as_str()).arg(nonce).arg(u8::from(retry)).arg(streams);
}

/// Most losses of a job with this spec, its first included.
pub(super) fn max_losses(spec: Option<&JobSpec>) -> u32 {
    match spec.map(|spec| spec.on_loss) {
        Some(crate::model::OnLoss::Rerun) => LOSSES_MAX,
        _ => 1,
    }
}

/// The pause before the attempt after this one, half of it random, in milliseconds.
pub(super) fn backoff_ms(attempt: u32) -> u64 {
    let full = BACKOFF_MS.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(BACKOFF_MAX_MS);
    let (random, _) = Uuid::new_v4().as_u64_pair();
    full / 2 + random % (full / 2)
}

pub(super) fn json(value: &impl Serialize) -> Result<String, WorkError> {
    serde_json::to_string(value).map_err(|error| WorkError::Invalid(error.to_string()))
}

/// A reply as text; what is no text is empty.
fn into_text(value: Value) -> String {
    String::from_redis_value(value).unwrap_or_default()
}

/// The fields of an entry, whatever their names are.
fn fields_of(value: &Value) -> HashMap<String, Vec<u8>> {
    let Value::Array(flat) = value else { return HashMap::new() };
    let bytes = |value: &Value| Vec::<u8>::from_redis_value(value.clone()).unwrap_or_default();
    let name = |value: &Value| String::from_utf8_lossy(&bytes(value)).into_owned();
    flat.chunks_exact(2).map(|pair| (name(&pair[0]), bytes(&pair[1]))).collect()
}

fn is_foreign(value: &Value) -> bool {
    matches!(value, Value::BulkString(word) if word == b"foreign")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds() {
        for attempt in [1, 2, 7, 30, u32::MAX] {
            let pause = backoff_ms(attempt);
            assert!((BACKOFF_MS / 2..=BACKOFF_MAX_MS).contains(&pause), "{attempt}: {pause}");
        }
    }

    #[test]
    fn a_seat_is_no_runner_of_1_9() {
        let seat = Seat::new(MachineId::new("studio").unwrap());
        assert!(
            seat.consumer.starts_with("studio:") && seat.consumer != Seat::new(seat.machine.clone()).consumer
        );
    }
}
