//! What this machine remembers of the queue on its own disk, so that a Redis that lost its newest writes, or
//! all of them, can be told again: jobs that it published, and jobs that it runs or ran.
//!
//! Invariant: an entry is written before the process it stands for starts, before its session is told to end, and
//! before a result is told.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::Claim;
use super::claim::{Before, Outcome};
use super::entries::{ENTRY, Entries};
use crate::model::SessionId;
use crate::util::{Clock, clock};
use crate::wire::{JobResult, JobSpec, WorkJob};

/// Where an attempt of this machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RanState {
    /// It was claimed, and runs or is about to.
    Running,
    /// It ended so.
    Ended {
        /// `done`, `failed`, `cancelled` or `dead`.
        outcome: Outcome,
        /// Its result.
        result: Box<JobResult>,
        /// When, Unix milliseconds.
        at_ms: u64,
    },
}

/// Why an attempt's session was told to end. How the session ended does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopping {
    /// Somebody cancelled the job: why.
    Cancelled(String),
    /// Another attempt counts.
    Superseded,
    /// It may not run twice, and its lease may be over.
    Fenced,
}

/// An attempt of this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// Its token.
    pub token: String,
    /// Which attempt.
    pub attempt: u32,
    /// The job.
    pub job: WorkJob,
    /// What was said about it.
    pub spec: JobSpec,
    /// What the attempts before it came to.
    #[serde(default)]
    pub before: Before,
    /// Why its session was told to end, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Stopping>,
    /// Where it is.
    pub state: RanState,
}

impl Ran {
    /// The attempt of this claim, still running.
    pub fn of(claim: &Claim) -> Self {
        Self {
            token: claim.token.clone(),
            attempt: claim.attempt,
            job: claim.job.clone(),
            spec: claim.spec.clone(),
            before: claim.before,
            stopping: None,
            state: RanState::Running,
        }
    }

    /// The claim that it was begun with.
    pub fn claim(self) -> Claim {
        let Self { token, attempt, job, spec, before, .. } = self;
        Claim { id: spec.id.clone(), token, attempt, job, spec, cancel: None, before }
    }
}

#[derive(Serialize, Deserialize)]
struct PublishedEntry {
    job: WorkJob,
    spec: JobSpec,
    at_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct CancelledEntry {
    id: SessionId,
    at_ms: u64,
}

/// The journal of one home.
#[derive(Debug, Clone)]
pub struct Journal {
    ran: Entries,
    published: Entries,
    cancelled: Entries,
    clock: Clock,
}

impl Journal {
    /// Below this folder; makes nothing yet.
    pub fn new(dir: &Path, clock: Clock) -> Self {
        let below = |name: &str| Entries::new(dir.join(name), clock.clone());
        Self { ran: below("ran"), published: below("published"), cancelled: below("cancelled"), clock }
    }

    /// A job was claimed and will be started.
    pub fn running(&self, claim: &Claim) -> io::Result<()> {
        self.write_ran(&Ran::of(claim))
    }

    /// The session of an attempt is about to be told to end.
    pub fn stopping(&self, claim: &Claim, why: &Stopping) -> io::Result<()> {
        self.write_ran(&Ran { stopping: Some(why.clone()), ..Ran::of(claim) })
    }

    /// An attempt ended, and its result is about to be told.
    pub fn ended(&self, ran: &Ran, outcome: Outcome, result: &JobResult) -> io::Result<()> {
        let at_ms = clock::unix_ms(self.clock.now());
        let result = Box::new(result.clone());
        let state = RanState::Ended { outcome, result, at_ms };
        self.write_ran(&Ran { state, ..ran.clone() })
    }

    /// Redis has answered the result of an attempt that is kept as [`ended`](Self::ended). A name says so: each end
    /// of a job would take another file else.
    pub fn answered(&self, id: &SessionId, token: &str) -> io::Result<()> {
        let [kept, told] = attempt_files(id, token);
        self.ran.rename(&kept, &told)
    }

    fn write_ran(&self, ran: &Ran) -> io::Result<()> {
        let [name, _] = attempt_files(&ran.spec.id, &ran.token);
        self.ran.write(&name, ran)
    }

    /// The attempts that run here, or ended and are not told yet; each may be one that cannot be read now. However many
    /// have been told, these are all of them: they take a slot each, or wait for Redis.
    pub fn open(&self) -> io::Result<Vec<io::Result<Ran>>> {
        self.ran.all(|name| !is_told(name))
    }

    /// As [`open`](Self::open), where each counts.
    pub(super) fn all_open(&self) -> io::Result<Vec<Ran>> {
        self.open()?.into_iter().collect()
    }

    /// The attempts whose result Redis answered, of the last ten minutes.
    pub(super) fn told_lately(&self) -> io::Result<Vec<Ran>> {
        let mut told: Vec<Ran> = self.ran.recent(is_told)?;
        told.retain(
            |ran| matches!(ran.state, RanState::Ended { at_ms, .. } if !self.ran.is_old(time(at_ms))),
        );
        Ok(told)
    }

    /// The jobs of which an attempt runs here, or ended and is not told yet: its session is looked into for that.
    pub fn untold(&self) -> io::Result<HashSet<SessionId>> {
        Ok(self.all_open()?.into_iter().map(|ran| ran.spec.id).collect())
    }

    /// Nothing more is to be told of this attempt. Others at the same job have entries of their own.
    pub fn forget(&self, id: &SessionId, token: &str) -> io::Result<()> {
        attempt_files(id, token).iter().try_for_each(|name| self.ran.remove(name))
    }

    /// A job of this machine was accepted.
    pub fn published(&self, job: &WorkJob, spec: &JobSpec) -> io::Result<()> {
        let at_ms = clock::unix_ms(self.clock.now());
        let entry = PublishedEntry { job: job.clone(), spec: spec.clone(), at_ms };
        self.published.write(&file_name(&spec.id), &entry)
    }

    /// The end of a published job was seen.
    pub fn forget_published(&self, id: &SessionId) -> io::Result<()> {
        self.published.remove(&file_name(id))
    }

    /// Somebody cancelled a job of the fleet at this time of the Redis: it is not published again, and cancelled again
    /// where that was forgotten.
    pub fn cancelled(&self, id: &SessionId, at_ms: u64) -> io::Result<()> {
        self.cancelled.write(&file_name(id), &CancelledEntry { id: id.clone(), at_ms })?;
        self.forget_published(id)
    }

    /// The jobs that were cancelled in the last ten minutes, and when.
    pub(super) fn cancelled_lately(&self) -> io::Result<Vec<(SessionId, u64)>> {
        let entries: Vec<CancelledEntry> = self.cancelled.recent(|_| true)?;
        Ok(entries.into_iter().map(|entry| (entry.id, entry.at_ms)).collect())
    }

    /// The ids of the jobs that were published from here and whose end was not seen.
    pub(super) fn published_ids(&self) -> io::Result<Vec<SessionId>> {
        let names = self.published.names()?;
        Ok(names.iter().filter_map(|name| SessionId::new(name.strip_suffix(ENTRY)?).ok()).collect())
    }

    /// The jobs that were published from here in the last ten minutes.
    pub(super) fn published_lately(&self) -> io::Result<Vec<(WorkJob, JobSpec)>> {
        let mut entries: Vec<PublishedEntry> = self.published.recent(|_| true)?;
        entries.retain(|entry| !self.published.is_old(time(entry.at_ms)));
        Ok(entries.into_iter().map(|entry| (entry.job, entry.spec)).collect())
    }

    /// Drops what is older than ten minutes and has ended.
    pub fn prune(&self) -> io::Result<()> {
        self.ran.prune(is_told)?;
        self.published.prune(|_| true)?;
        self.cancelled.prune(|_| true)
    }
}

/// A time of an entry; one that no clock has is the beginning.
fn time(at_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at_ms)).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn file_name(id: &SessionId) -> String {
    format!("{id}{ENTRY}")
}

/// How the name of an attempt's entry ends whose result Redis has answered.
const TOLD: &str = ".told.json";

fn is_told(name: &str) -> bool {
    name.ends_with(TOLD)
}

/// The names that an attempt's entry may have: before its result was answered, and after. A token may come from
/// anybody who writes to Redis; its hash names a file.
fn attempt_files(id: &SessionId, token: &str) -> [String; 2] {
    let hash = blake3::hash(token.as_bytes()).to_hex();
    [ENTRY, TOLD].map(|end| format!("{id}.{}{end}", &hash[..12]))
}
