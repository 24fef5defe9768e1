//! Finding jobs that nobody holds any longer. Every daemon runs one; all may do the same at once.
//!
//! Invariant: a job counts as lost when neither its token nor its heartbeat changed for the length of the lease
//! on this observer's own monotonic clock, of which one pause between two looks counts for a part only: an observer that
//! was stopped, or is slow, needs further looks. An error, a sleep and another server start all observations again, so
//! that an outage never looks like a death.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::claim::{backoff_ms, max_losses};
use super::queue::Queue;
use super::{WorkError, control, lane};
use crate::model::{JobState, SessionId};
use crate::util::Clock;
use crate::util::clock::whole_ms;
use crate::wire::{JobResult, JobSpec};

/// An entry that some runner took and nothing came of is delivered again after this part of the lease.
const STRAY: u32 = 2;

/// How long a consumer without entries stays; each start of a daemon makes one.
const CONSUMER_KEPT: Duration = Duration::from_hours(24);

/// How long the flow may take to show the end of a job that a 1.9 runner acknowledged.
const LEGACY_RESULT: Duration = Duration::from_mins(1);

/// Jobs in lanes that not everybody reads of which one look knows.
const WAITING_MAX: usize = 1000;

/// The part of the lease that one pause between two looks may count for.
const PAUSE: u32 = 3;

/// Jobs that Redis is asked about at a time, each by a script.
const AT_ONCE: usize = 32;

/// Jobs asked about in one write.
const CHUNK: usize = 500;

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its runner was lost; another attempt follows.
    Requeued(SessionId),
    /// It is not tried again: why. Its runner was lost, or a 1.9 runner never said how it ended.
    Dead(SessionId, String),
    /// It was cancelled and its runner was lost.
    Cancelled(SessionId),
    /// It had fallen out of its stream, and is in it again.
    Restored(SessionId),
    /// A 1.9 runner ended it so.
    Settled(SessionId, JobState),
}

struct Seen {
    token: String,
    beats: String,
    /// When they were looked at last.
    at: Instant,
    /// For how long they have not changed.
    still: Duration,
}

/// What a look begins with.
pub struct Glance {
    /// Which life of Redis answers.
    pub epoch: String,
    /// Whether this observer is the one that looks at what is queued.
    leads: bool,
    /// The jobs that have not ended.
    live: Vec<SessionId>,
}

/// One observer.
pub struct Reconciler {
    queue: Queue,
    clock: Clock,
    flow_stream: String,
    name: String,
    seen: HashMap<SessionId, Seen>,
    legacy: HashMap<SessionId, Instant>,
    last: Option<(Instant, Timestamp, String)>,
    waiting: Vec<(SessionId, String)>,
    next_due: Option<Duration>,
}

impl Reconciler {
    /// An observer called `name`, which nobody else is.
    pub fn new(queue: Queue, clock: Clock, (flow_stream, name): (String, String)) -> Self {
        let (seen, legacy) = (HashMap::new(), HashMap::new());
        Self {
            queue,
            clock,
            flow_stream,
            name,
            seen,
            legacy,
            last: None,
            waiting: Vec::new(),
            next_due: None,
        }
    }

    /// One look at every job that has not ended. Call it about every `queue.reconcile`.
    pub async fn look(&mut self) -> Result<Vec<Change>, WorkError> {
        let glance = self.glance().await?;
        self.look_at(glance).await
    }

    /// Asks what a look begins with, in one write: an idle machine is not woken by each question.
    pub async fn glance(&mut self) -> Result<Glance, WorkError> {
        // They are answered in this order.
        let asked = tokio::try_join!(self.queue.epoch(), self.leads(), self.queue.live_ids());
        if asked.is_err() {
            self.forget();
        }
        let (epoch, leads, live) = asked?;
        Ok(Glance { epoch, leads, live })
    }

    /// The look that a glance began.
    pub async fn look_at(&mut self, glance: Glance) -> Result<Vec<Change>, WorkError> {
        let looked = self.look_once(glance).await;
        if looked.is_err() {
            self.forget();
        }
        looked
    }

    /// The jobs that waited at the last look in a lane that not everybody reads, with the lane's stream; empty
    /// unless this observer is the one that looks at what is queued.
    pub fn waiting(&self) -> &[(SessionId, String)] {
        &self.waiting
    }

    /// How long after the last look the next one of the jobs that wait for their time may be queued.
    pub fn next_due(&self) -> Option<Duration> {
        self.next_due
    }

    /// Starts all observations again.
    pub fn forget(&mut self) {
        self.seen.clear();
        self.next_due = None;
        self.last = None;
    }

    async fn look_once(&mut self, glance: Glance) -> Result<Vec<Change>, WorkError> {
        let Glance { epoch, leads: deep, live } = glance;
        self.notice_gaps(epoch);
        let jobs = self.queue.live(live).await?;
        let now = Instant::now();
        self.seen.retain(|id, _| jobs.iter().any(|job| job.id == *id));
        self.legacy.retain(|id, _| jobs.iter().any(|job| job.id == *id));
        let is_due = |job: &&Live| match job.state {
            Some(JobState::Running) => self.is_lost(job, now),
            Some(JobState::Queued) => deep,
            _ => true,
        };
        let due: Vec<&Live> = jobs.iter().filter(is_due).collect();
        let asked: Vec<_> = due.iter().map(|job| self.ask(job, deep)).collect();
        let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        self.next_due = answers.iter().filter_map(|answer| left_ms(answer.as_ref().ok()?)).min();
        let mut changes = Vec::new();
        for (job, answer) in due.into_iter().zip(answers) {
            let change = match answer {
                Ok(answer) => self.change(job, &answer).await,
                Err(error) => Err(error),
            };
            match change {
                Ok(change) => changes.extend(change),
                Err(error) if error.is_of_the_data() || !matches!(error, WorkError::Redis(_)) => {
                    // The others must not wait for the one whose hash somebody broke.
                    tracing::warn!(job = %job.id, %error, "a job cannot be reconciled");
                }
                Err(error) => return Err(error),
            }
        }
        let narrow = |job: &&Live| deep && job.state == Some(JobState::Queued) && !lane::is_open(&job.lane);
        let waiting = jobs.iter().filter(narrow).take(WAITING_MAX);
        self.waiting = waiting.map(|job| (job.id.clone(), job.lane.clone())).collect();
        if deep {
            let mut in_use: Vec<String> = jobs.into_iter().map(|job| job.lane).collect();
            in_use.sort();
            in_use.dedup();
            let queue = &self.queue;
            tokio::try_join!(
                queue.sweep_lanes(&in_use),
                queue.free_strays(in_use.clone()),
                queue.forget_ids()
            )?;
        }
        Ok(changes)
    }

    /// Starts again when this machine slept, or talks to another Redis than before.
    fn notice_gaps(&mut self, epoch: String) {
        let (now, wall) = (Instant::now(), self.clock.now());
        if let Some((then, wall_then, epoch_then)) = &self.last {
            let most = self.queue.config.reconcile * 3 + Duration::from_secs(1);
            let ran = now.duration_since(*then);
            let wall_ran = Duration::try_from(wall.duration_since(*wall_then)).unwrap_or_default();
            if wall_ran.abs_diff(ran) > most || epoch != *epoch_then {
                self.seen.clear();
            }
        }
        self.last = Some((now, wall, epoch));
    }

    /// Whether this observer is the one that also looks at what is queued.
    async fn leads(&self) -> Result<bool, WorkError> {
        let mut call = self.queue.scripts.lead.prepare_invoke();
        call.arg(&self.name).arg(whole_ms(self.queue.config.reconcile * 2));
        let answer = self.queue.send(&call).await?;
        Ok(answer.first().is_some_and(|word| word == "leads"))
    }

    fn is_lost(&mut self, job: &Live, now: Instant) -> bool {
        let lease = self.queue.config.lease;
        let (token, beats) = (&job.token, &job.beats);
        let fresh = || Seen { token: token.clone(), beats: beats.clone(), at: now, still: Duration::ZERO };
        let seen = self.seen.entry(job.id.clone()).or_insert_with(fresh);
        if seen.token == *token && seen.beats == *beats {
            seen.still += now.duration_since(seen.at).min(lease / PAUSE);
            seen.at = now;
        } else {
            *seen = fresh();
        }
        seen.still >= lease
    }

    /// Has Redis do what is due for a job; what it says it did.
    async fn ask(&self, job: &Live, deep: bool) -> Result<Vec<String>, WorkError> {
        let spec = if job.state == Some(JobState::Running) { self.queue.spec(&job.id).await? } else { None };
        let backoff = backoff_ms(job.losses);
        let mut call = self.queue.scripts.reconcile.prepare_invoke();
        call.arg(job.id.as_str()).arg(&job.token).arg(&job.beats).arg(max_losses(spec.as_ref())).arg(backoff);
        call.arg(self.queue.config.dead_ttl.as_secs()).arg(whole_ms(self.queue.config.lease / STRAY));
        call.arg(u8::from(deep));
        self.queue.send(&call).await
    }

    /// What an answer means; a job that 1.9 runners had needs further questions.
    async fn change(&mut self, job: &Live, answer: &[String]) -> Result<Option<Change>, WorkError> {
        let id = job.id.clone();
        Ok(match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["requeued"] => Some(Change::Requeued(id)),
            ["dead"] => Some(Change::Dead(id, "its runner was lost".to_owned())),
            ["cancelled"] => Some(Change::Cancelled(id)),
            ["restored" | "redelivered"] => Some(Change::Restored(id)),
            ["legacy", machine, idle] => self.missed(&id, machine, idle.parse().unwrap_or(0)).await?,
            ["legacy-acked", machine] => self.settle(&id, machine).await?,
            _ => None,
        })
    }

    /// A 1.9 runner acknowledged the job: the flow says how it ended, soon or never.
    async fn settle(&mut self, id: &SessionId, machine: &str) -> Result<Option<Change>, WorkError> {
        let since = *self.legacy.entry(id.clone()).or_insert_with(Instant::now);
        if let Some((state, result)) = self.queue.legacy_end(&self.flow_stream, id.as_str()).await? {
            let settled = self.queue.end_queued(id, state, &result, "run by darkmux 1.9").await?;
            return Ok(settled.then(|| Change::Settled(id.clone(), state)));
        }
        if since.elapsed() < LEGACY_RESULT {
            return Ok(None);
        }
        let machine = crate::util::visible_line(machine);
        self.bury(id, &format!("the 1.9 runner `{machine}` took it and recorded no end within a minute"))
            .await
    }

    /// A 1.9 runner has held the job for `idle` milliseconds. One that died never comes back for it, and nobody
    /// else is given it: it ends when its time is long over and nothing was heard of the machine since. It may
    /// have run, so it is not run again.
    async fn missed(&self, id: &SessionId, machine: &str, idle: u64) -> Result<Option<Change>, WorkError> {
        let grace = whole_ms(LEGACY_RESULT);
        if idle <= grace {
            return Ok(None);
        }
        let Some(timeout) = self.queue.timeout_ms(id).await? else { return Ok(None) };
        let most = timeout.saturating_add(grace);
        if idle <= most {
            return Ok(None);
        }
        if let Some((state, result)) = self.queue.legacy_end(&self.flow_stream, id.as_str()).await? {
            let settled = self.queue.end_queued(id, state, &result, "run by darkmux 1.9").await?;
            return Ok(settled.then(|| Change::Settled(id.clone(), state)));
        }
        if self.queue.legacy_heard(&self.flow_stream, machine, most).await? {
            return Ok(None);
        }
        let machine = crate::util::visible_line(machine);
        let seconds = idle / 1000;
        let why = format!(
            "the 1.9 runner `{machine}` took it {seconds} s ago, never said how it ended, and is not heard of; \
             it may have run"
        );
        self.bury(id, &why).await
    }

    async fn bury(&self, id: &SessionId, why: &str) -> Result<Option<Change>, WorkError> {
        let result = JobResult { schema: 1, error: Some(why.to_owned()), ..JobResult::default() };
        let settled = self.queue.end_queued(id, JobState::Dead, &result, why).await?;
        Ok(settled.then(|| Change::Dead(id.clone(), why.to_owned())))
    }
}

/// How long a job still waits for its time, by the answer about it.
fn left_ms(answer: &[String]) -> Option<Duration> {
    let [word, left] = answer else { return None };
    (word == "wait").then(|| left.parse().ok().map(Duration::from_millis)).flatten()
}

/// What the observer reads of each job.
struct Live {
    id: SessionId,
    state: Option<JobState>,
    token: String,
    beats: String,
    losses: u32,
    lane: String,
}

impl Queue {
    async fn live_ids(&self) -> Result<Vec<SessionId>, WorkError> {
        let mut ask = redis::cmd("SMEMBERS");
        ask.arg("darkmux:live");
        self.ids(&ask).await
    }

    /// Those of these jobs that have ended.
    pub(super) async fn ended(&self, ids: Vec<SessionId>) -> Result<Vec<SessionId>, WorkError> {
        let jobs = self.live(ids).await?.into_iter();
        Ok(jobs.filter(|job| job.state.is_some_and(JobState::is_final)).map(|job| job.id).collect())
    }

    async fn live(&self, ids: Vec<SessionId>) -> Result<Vec<Live>, WorkError> {
        let mut jobs = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut commands = redis::pipe();
            for id in chunk {
                commands
                    .cmd("HMGET")
                    .arg(format!("darkmux:job:{id}"))
                    .arg(&["state", "tok", "hb", "losses", "lane"]);
            }
            for (id, mut row) in chunk.iter().zip(self.rows(&commands).await?) {
                row.resize(5, None);
                let mut word = |at: usize| row[at].take().unwrap_or_default();
                jobs.push(Live {
                    id: id.clone(),
                    state: control::state_of(&word(0)).ok(),
                    token: word(1),
                    beats: word(2),
                    losses: word(3).parse().unwrap_or(0),
                    lane: word(4),
                });
            }
        }
        Ok(jobs)
    }

    /// Lets entries be delivered again that a runner took and nothing came of, and forgets consumers that are gone.
    async fn free_strays(&self, mut lanes: Vec<String>) -> Result<(), WorkError> {
        // Entries of 1.9 come to this one alone, and no job speaks for them.
        lanes.retain(|lane| lane.starts_with(lane::PREFIX));
        lanes.push(lane::MAIN.to_owned());
        for stream in lanes {
            let mut call = self.scripts.stray.prepare_invoke();
            call.arg(stream).arg(whole_ms(self.config.lease / STRAY)).arg(whole_ms(CONSUMER_KEPT));
            self.send(&call).await?;
        }
        Ok(())
    }

    /// Takes the ids of jobs that are gone out of the list of all.
    async fn forget_ids(&self) -> Result<(), WorkError> {
        let mut call = self.scripts.outlive.prepare_invoke();
        call.arg(whole_ms(self.config.result_ttl.max(self.config.dead_ttl)));
        self.send(&call).await.map(|_| ())
    }

    /// What was said about a job. `None` when Redis does not know it or says what cannot be read.
    pub(super) async fn spec(&self, id: &SessionId) -> Result<Option<JobSpec>, WorkError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(format!("darkmux:job:{id}")).arg("spec");
        let sealed: Option<Vec<u8>> = self.redis.query(&ask).await?;
        let sealed = sealed.and_then(|sealed| String::from_utf8(sealed).ok());
        let spec = sealed.as_deref().and_then(|sealed| sealed.split_once('\n'));
        Ok(spec.and_then(|(_, spec)| serde_json::from_str(spec).ok()))
    }
}
