//! What the scripts do, without Redis: the streams with their group, and the job hashes.

use std::collections::BTreeMap;

use darkmux::model::JobState;
use darkmux::wire::Lane;
use darkmux::work::{Beat, Cancelled, Finish, Outcome};

/// One thing that happens. Tokens count from the newest.
#[derive(Debug, Clone)]
pub enum Op {
    Publish {
        job: usize,
        key: Option<usize>,
        delayed: bool,
        pinned: bool,
    },
    Claim {
        seat: usize,
        again: bool,
    },
    Beat(usize),
    Finish {
        token: usize,
        end: End,
        retries: u32,
    },
    Decline(usize),
    Refuse(usize),
    Resume(usize),
    Reassert {
        token: usize,
        end: End,
    },
    Cancel(usize),
    Retry(usize),
    /// It is offered to those that gave it back.
    Offer(usize),
    /// An observer remembers token and heartbeat of a job.
    Look(usize),
    Reconcile {
        job: usize,
        seen: Seen,
        deep: bool,
        stray: bool,
        max_losses: u32,
        at_once: bool,
    },
    /// The time comes that a waiting job waits for.
    Due(usize),
    StrangerAcks(usize),
    StrangerDeletes(usize),
    /// Another entry for a job that has one.
    StrangerAdds(usize),
    StrangerReads,
    Trim,
    DestroyGroups,
    FlushScripts,
    /// The state that [`Op::GoBack`] goes back to.
    Save,
    GoBack,
}

/// [`Outcome`], as proptest needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    Done,
    Failed,
    Cancelled,
    Dead,
}

impl End {
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Done => Outcome::Done,
            Self::Failed => Outcome::Failed,
            Self::Cancelled => Outcome::Cancelled,
            Self::Dead => Outcome::Dead,
        }
    }

    fn state(self) -> JobState {
        match self {
            Self::Done => JobState::Done,
            Self::Failed => JobState::Failed,
            Self::Cancelled => JobState::Cancelled,
            Self::Dead => JobState::Dead,
        }
    }
}

/// What the observer says that it saw.
#[derive(Debug, Clone, Copy)]
pub enum Seen {
    /// What is there now.
    Now,
    /// What the last [`Op::Look`] saw.
    Before,
    /// What is there now, with one heartbeat less.
    OneBeatAgo,
    /// Something that never was.
    Never,
}

/// `<attempt>-<nonce>`.
pub type Token = (i64, String);

#[derive(Debug, Clone)]
pub struct Job {
    pub state: JobState,
    pub token: Option<Token>,
    pub attempt: i64,
    pub beats: u64,
    pub lane: Lane,
    /// The lane that it was published to.
    pub own: Lane,
    pub losses: u32,
    pub fails: u32,
    since: i64,
    is_due: bool,
    is_cancelled: bool,
    entry: Option<u64>,
    /// Attempts that were given back.
    left: Vec<Token>,
}

#[derive(Debug, Clone, Default)]
struct Stream {
    entries: BTreeMap<u64, usize>,
    group: Option<Group>,
}

#[derive(Debug, Clone, Default)]
struct Group {
    last: u64,
    pending: BTreeMap<u64, usize>,
}

/// Everything that is in Redis.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub jobs: BTreeMap<usize, Job>,
    streams: BTreeMap<String, Stream>,
    keys: BTreeMap<usize, usize>,
    entries: u64,
}

/// A consumer that is no seat.
const STRANGER: usize = usize::MAX;

/// What a claim gives.
pub type Taken = Option<(usize, Token)>;

impl Model {
    /// Every running job with the token that holds it.
    pub fn holders(&self) -> Vec<(usize, Token)> {
        let running = self.jobs.iter().filter(|(_, job)| job.state == JobState::Running);
        running.filter_map(|(number, job)| Some((*number, job.token.clone()?))).collect()
    }

    fn stream(&mut self, lane: &Lane) -> &mut Stream {
        self.streams.entry(lane.stream().unwrap()).or_default()
    }

    fn enqueue(&mut self, job: usize, lane: &Lane) -> u64 {
        self.entries += 1;
        let entry = self.entries;
        let stream = self.stream(lane);
        stream.group.get_or_insert_default();
        stream.entries.insert(entry, job);
        entry
    }

    fn drop_entry(&mut self, job: usize) {
        let Some((lane, Some(entry))) = self.jobs.get(&job).map(|job| (job.lane.clone(), job.entry)) else {
            return;
        };
        let stream = self.stream(&lane);
        stream.entries.remove(&entry);
        if let Some(group) = &mut stream.group {
            group.pending.remove(&entry);
        }
    }

    fn requeue(&mut self, job: usize) {
        self.drop_entry(job);
        let lane = self.jobs[&job].lane.clone();
        let entry = self.enqueue(job, &lane);
        let job = self.jobs.get_mut(&job).unwrap();
        (job.state, job.entry) = (JobState::Queued, Some(entry));
    }

    fn running(&mut self, job: usize, token: &Token) -> Option<&mut Job> {
        let job = self.jobs.get_mut(&job)?;
        (job.state == JobState::Running && job.token.as_ref() == Some(token)).then_some(job)
    }

    /// The job that the publisher is told of when it was there before.
    pub fn publish(&mut self, job: usize, key: Option<usize>, delayed: bool, lane: Lane) -> Option<usize> {
        if let Some(before) = key.and_then(|key| self.keys.get(&key)) {
            return Some(*before);
        }
        if self.jobs.contains_key(&job) {
            return Some(job);
        }
        let entry = (!delayed).then(|| self.enqueue(job, &lane));
        let state = if delayed { JobState::Waiting } else { JobState::Queued };
        self.jobs.insert(job, Job { state, entry, ..new(lane) });
        if let Some(key) = key {
            self.keys.insert(key, job);
        }
        None
    }

    /// The job that a claim of this nonce gave, as long as its entry stands among what the seat took.
    fn held_by(&self, seat: usize, nonce: &str, streams: &[String]) -> Taken {
        streams.iter().filter_map(|name| self.streams.get(name)).find_map(|stream| {
            let pending = stream.group.as_ref()?.pending.iter().filter(|(_, by)| **by == seat);
            pending.filter_map(|(entry, _)| stream.entries.get(entry)).find_map(|id| {
                let job = self.jobs.get(id).filter(|job| job.state == JobState::Running)?;
                Some((*id, job.token.clone().filter(|token| token.1 == nonce)?))
            })
        })
    }

    pub fn claim(&mut self, seat: usize, nonce: &str, again: bool, streams: &[String]) -> Taken {
        if again && let Some(taken) = self.held_by(seat, nonce, streams) {
            return Some(taken);
        }
        for name in streams {
            for _ in 0..16 {
                let stream = self.streams.entry(name.clone()).or_default();
                let group = stream.group.get_or_insert_default();
                let Some((entry, id)) = stream.entries.range(group.last + 1..).next() else { break };
                let (entry, id) = (*entry, *id);
                group.last = entry;
                group.pending.insert(entry, seat);
                let job = self.jobs.get_mut(&id).unwrap();
                if job.state == JobState::Queued && job.entry == Some(entry) {
                    job.attempt += 1;
                    let token = (job.attempt, nonce.to_owned());
                    (job.state, job.token, job.beats) = (JobState::Running, Some(token.clone()), 0);
                    return Some((id, token));
                }
                stream.entries.remove(&entry);
                group.pending.remove(&entry);
            }
        }
        None
    }

    /// Whether nothing is known of the claim that gave this token, and nobody else began the job since.
    fn has_forgotten(&self, job: usize, token: &Token) -> bool {
        self.jobs.get(&job).is_none_or(|job| {
            let waits = matches!(job.state, JobState::Queued | JobState::Waiting);
            waits && job.attempt < token.0 && job.since < token.0
        })
    }

    pub fn beat(&mut self, job: usize, token: &Token) -> Option<Beat> {
        if self.has_forgotten(job, token) {
            return None;
        }
        let held = self.running(job, token).map(|job| {
            job.beats += 1;
            held(job)
        });
        Some(held.unwrap_or(Beat::Lost))
    }

    pub fn finish(&mut self, job: usize, token: &Token, end: End, retries: u32) -> Finish {
        match self.jobs.get(&job) {
            _ if self.has_forgotten(job, token) => return Finish::Forgotten,
            Some(job) if job.token.as_ref() != Some(token) => return Finish::Fenced,
            Some(job) if matches!(job.state, JobState::Queued | JobState::Waiting) => return Finish::Again,
            Some(job) if job.state != JobState::Running => return Finish::Accepted,
            _ => {}
        }
        self.drop_entry(job);
        let job = self.jobs.get_mut(&job).unwrap();
        job.fails += u32::from(end == End::Failed);
        if end == End::Failed && job.fails <= retries {
            if job.is_cancelled {
                job.state = JobState::Cancelled;
                return Finish::Accepted;
            }
            (job.state, job.is_due, job.entry) = (JobState::Waiting, false, None);
            return Finish::Again;
        }
        job.state = end.state();
        Finish::Accepted
    }

    pub fn refuse(&mut self, job: usize, token: &Token) {
        if self.running(job, token).is_some() {
            self.drop_entry(job);
            self.jobs.get_mut(&job).unwrap().state = JobState::Dead;
        }
    }

    pub fn decline(&mut self, job: usize, token: &Token, consumer: &str) {
        if self.running(job, token).is_some() {
            self.drop_entry(job);
            let declined = self.jobs.get_mut(&job).unwrap();
            (declined.token, declined.attempt) = (None, declined.attempt - 1);
            declined.left.push(token.clone());
            if declined.is_cancelled {
                declined.state = JobState::Cancelled;
                return;
            }
            let lane = declined.lane.clone().without(consumer);
            let entry = self.enqueue(job, &lane);
            let job = self.jobs.get_mut(&job).unwrap();
            (job.state, job.entry, job.lane) = (JobState::Queued, Some(entry), lane);
        }
    }

    /// Whether a runner with this token may tell its result late.
    fn is_free_for(&self, job: usize, token: &Token) -> bool {
        self.jobs
            .get(&job)
            .is_none_or(|job| job.state != JobState::Running && job.attempt <= token.0 && job.since < token.0)
    }

    /// `before` is what failed and was lost before the claim.
    pub fn resume(
        &mut self,
        job: usize,
        token: &Token,
        (lane, key): (Lane, Option<usize>),
        before: (u32, u32),
    ) -> Beat {
        if let Some(job) = self.running(job, token) {
            job.beats += 1;
            return held(job);
        }
        let was_left = self.jobs.get(&job).is_some_and(|job| job.left.contains(token));
        if was_left || !self.has_forgotten(job, token) {
            return Beat::Lost;
        }
        self.drop_entry(job);
        self.remember_key(job, key);
        let job = self.jobs.entry(job).or_insert_with(|| new(lane));
        (job.state, job.token, job.attempt) = (JobState::Running, Some(token.clone()), token.0);
        (job.beats, job.entry) = (1, None);
        (job.fails, job.losses) = (job.fails.max(before.0), job.losses.max(before.1));
        held(job)
    }

    /// A job that was forgotten has its key again, unless that means another one by now.
    fn remember_key(&mut self, job: usize, key: Option<usize>) {
        if let (Some(key), false) = (key, self.jobs.contains_key(&job)) {
            self.keys.entry(key).or_insert(job);
        }
    }

    pub fn reassert(
        &mut self,
        job: usize,
        token: &Token,
        end: End,
        (lane, key): (Lane, Option<usize>),
    ) -> bool {
        let known = self.jobs.get(&job);
        if known.is_some_and(|job| job.state.is_final()) {
            return true;
        }
        if self.running(job, token).is_none() {
            if !self.is_free_for(job, token) {
                return false;
            }
            if self.jobs.get(&job).is_some_and(|job| job.token.as_ref() == Some(token)) {
                return true;
            }
        }
        if self.jobs.get(&job).is_some_and(|job| job.attempt > token.0 || job.since >= token.0) {
            return false;
        }
        self.drop_entry(job);
        self.remember_key(job, key);
        let job = self.jobs.entry(job).or_insert_with(|| new(lane));
        (job.state, job.token, job.attempt) = (end.state(), Some(token.clone()), token.0);
        true
    }

    pub fn cancel(&mut self, job: usize) -> Option<Cancelled> {
        let state = self.jobs.get(&job)?.state;
        if state.is_final() {
            return Some(Cancelled::Ended(state));
        }
        self.jobs.get_mut(&job)?.is_cancelled = true;
        if state == JobState::Running {
            return Some(Cancelled::Asked);
        }
        self.drop_entry(job);
        self.jobs.get_mut(&job)?.state = JobState::Cancelled;
        Some(Cancelled::Now)
    }

    pub fn offer(&mut self, job: usize) -> bool {
        let Some(given) = self.jobs.get(&job).cloned() else { return false };
        if given.state != JobState::Queued || given.lane == given.own {
            return false;
        }
        self.drop_entry(job);
        let entry = self.enqueue(job, &given.own);
        let job = self.jobs.get_mut(&job).unwrap();
        (job.entry, job.lane) = (Some(entry), given.own);
        true
    }

    /// Whether it was queued again.
    pub fn retry(&mut self, job: usize) -> Option<bool> {
        let ended = self.jobs.get_mut(&job)?;
        if !ended.state.is_final() {
            return Some(false);
        }
        (ended.token, ended.losses, ended.fails, ended.is_cancelled) = (None, 0, 0, false);
        (ended.since, ended.state) = (ended.attempt, JobState::Queued);
        let lane = ended.own.clone();
        ended.lane = lane.clone();
        let entry = self.enqueue(job, &lane);
        self.jobs.get_mut(&job)?.entry = Some(entry);
        Some(true)
    }

    /// `seen` is token and heartbeat as the observer saw them.
    pub fn reconcile(
        &mut self,
        id: usize,
        seen: &(Option<Token>, u64),
        (deep, stray): (bool, bool),
        (max_losses, at_once): (u32, bool),
    ) {
        let Some(job) = self.jobs.get(&id).cloned() else { return };
        match job.state {
            JobState::Waiting if job.is_due => self.requeue(id),
            JobState::Queued if deep => {
                let entry = job.entry.unwrap();
                let stream = self.stream(&job.lane);
                let there = stream.entries.contains_key(&entry);
                let group = stream.group.get_or_insert_default();
                let fell_out =
                    if group.pending.contains_key(&entry) { stray } else { !there || entry <= group.last };
                if fell_out {
                    self.requeue(id);
                }
            }
            JobState::Running if (&job.token, job.beats) == (&seen.0, seen.1) => {
                self.drop_entry(id);
                let job = self.jobs.get_mut(&id).unwrap();
                job.losses += 1;
                job.token = None;
                if job.is_cancelled {
                    job.state = JobState::Cancelled;
                } else if job.losses >= max_losses {
                    job.state = JobState::Dead;
                } else {
                    (job.state, job.entry, job.is_due) = (JobState::Waiting, None, at_once);
                    if at_once || job.losses == 1 {
                        self.requeue(id);
                    }
                }
            }
            _ => {}
        }
    }

    pub fn due(&mut self, job: usize) {
        if let Some(job) = self.jobs.get_mut(&job) {
            job.is_due = true;
        }
    }

    /// The stream and the number of a job's entry.
    pub fn stranger(&mut self, job: usize, acks: bool) {
        let Some((lane, Some(entry))) = self.jobs.get(&job).map(|job| (job.lane.clone(), job.entry)) else {
            return;
        };
        let stream = self.stream(&lane);
        if !acks {
            stream.entries.remove(&entry);
        } else if let Some(group) = &mut stream.group {
            group.pending.remove(&entry);
        }
    }

    pub fn stranger_adds(&mut self, job: usize) {
        if self.jobs.contains_key(&job) {
            self.entries += 1;
            let entry = self.entries;
            self.stream(&Lane::default()).entries.insert(entry, job);
        }
    }

    pub fn stranger_reads(&mut self, streams: &[String]) {
        for name in streams {
            let Some(stream) = self.streams.get_mut(name) else { continue };
            let Some(group) = &mut stream.group else { continue };
            let Some((entry, _)) = stream.entries.range(group.last + 1..).next() else { continue };
            group.last = *entry;
            group.pending.insert(*entry, STRANGER);
        }
    }

    pub fn trim(&mut self) {
        self.streams.values_mut().for_each(|stream| stream.entries.clear());
    }

    pub fn destroy_groups(&mut self) {
        self.streams.values_mut().for_each(|stream| stream.group = None);
    }
}

fn new(lane: Lane) -> Job {
    Job {
        state: JobState::Queued,
        token: None,
        attempt: 0,
        beats: 0,
        own: lane.clone(),
        lane,
        losses: 0,
        fails: 0,
        since: 0,
        is_due: false,
        is_cancelled: false,
        entry: None,
        left: Vec::new(),
    }
}

fn held(job: &Job) -> Beat {
    if job.is_cancelled { Beat::Cancel("enough".into()) } else { Beat::Held }
}
