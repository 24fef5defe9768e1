//! What this machine remembers of the queue on its own disk, so that a Redis that lost its newest writes, or
//! all of them, can be told again: jobs that it published, and jobs that it runs or ran.
//!
//! Invariant: an entry is written before the process it stands for starts, before its session is told to end, and
//! before a result is told.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::claim::{Before, Finish, Outcome};
use super::{Claim, Published, Queue, Seat, WorkError};
use crate::model::SessionId;
use crate::store::{Durability, ensure_private_dir, read_if_there, write_atomic};
use crate::util::clock::whole_ms;
use crate::util::{Clock, clock};
use crate::wire::{JobResult, JobSpec, WorkJob};

/// How long what has ended is remembered: longer than any Redis goes back.
const KEPT: Duration = Duration::from_mins(10);

/// Largest entry, in bytes: message, spec and result.
const ENTRY_MAX: u64 = 2 * 1024 * 1024;

/// Most entries of one kind that are read.
const ENTRIES_MAX: usize = 10_000;

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
        /// Whether Redis has answered it.
        told: bool,
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

/// The journal of one home.
#[derive(Debug, Clone)]
pub struct Journal {
    ran: PathBuf,
    published: PathBuf,
    clock: Clock,
}

impl Journal {
    /// Below this folder; makes nothing yet.
    pub fn new(dir: &Path, clock: Clock) -> Self {
        Self { ran: dir.join("ran"), published: dir.join("published"), clock }
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
        let state = RanState::Ended { outcome, result, at_ms, told: false };
        self.write_ran(&Ran { state, ..ran.clone() })
    }

    /// Redis has answered the result of an attempt that is kept as [`ended`](Self::ended). A name says so: each end
    /// of a job would take another file else.
    pub fn answered(&self, id: &SessionId, token: &str) -> io::Result<()> {
        let [kept, told] = attempt_files(id, token).map(|name| self.ran.join(name));
        match std::fs::rename(kept, told) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn write_ran(&self, ran: &Ran) -> io::Result<()> {
        let [name, _] = attempt_files(&ran.spec.id, &ran.token);
        write(&self.ran, &name, ran)
    }

    /// The attempts that run or ended lately.
    pub fn ran(&self) -> io::Result<Vec<Ran>> {
        let named = |(path, mut ran): (PathBuf, Ran)| {
            let answered = path.to_str().is_some_and(|path| path.ends_with(TOLD));
            if let RanState::Ended { told, .. } = &mut ran.state {
                *told |= answered;
            }
            ran
        };
        Ok(read_all(&self.ran)?.into_iter().map(named).collect())
    }

    /// The jobs of which an attempt runs here, or ended and is not told yet: its session is looked into for that.
    pub fn untold(&self) -> io::Result<HashSet<SessionId>> {
        let is_told = |state: &RanState| matches!(state, RanState::Ended { told: true, .. });
        Ok(self.ran()?.into_iter().filter(|ran| !is_told(&ran.state)).map(|ran| ran.spec.id).collect())
    }

    /// The newest attempt at this job.
    pub fn find(&self, id: &SessionId) -> io::Result<Option<Ran>> {
        let attempts = self.ran()?.into_iter().filter(|ran| ran.spec.id == *id);
        Ok(attempts.max_by_key(|ran| ran.attempt))
    }

    /// Nothing more is to be told of this attempt. Others at the same job have entries of their own.
    pub fn forget(&self, id: &SessionId, token: &str) -> io::Result<()> {
        attempt_files(id, token).into_iter().try_for_each(|name| remove(&self.ran.join(name)))
    }

    /// A job of this machine was accepted.
    pub fn published(&self, job: &WorkJob, spec: &JobSpec) -> io::Result<()> {
        let at_ms = clock::unix_ms(self.clock.now());
        write(
            &self.published,
            &file_name(&spec.id),
            &PublishedEntry { job: job.clone(), spec: spec.clone(), at_ms },
        )
    }

    /// The end of a published job was seen.
    pub fn forget_published(&self, id: &SessionId) -> io::Result<()> {
        remove(&self.published.join(file_name(id)))
    }

    /// Drops what is older than ten minutes and has ended.
    pub fn prune(&self) -> io::Result<()> {
        let now = clock::unix_ms(self.clock.now());
        let is_old = |at_ms: u64| at_ms + whole_ms(KEPT) < now;
        for ran in self.ran()? {
            if matches!(ran.state, RanState::Ended { at_ms, told: true, .. } if is_old(at_ms)) {
                self.forget(&ran.spec.id, &ran.token)?;
            }
        }
        for (_, entry) in read_all::<PublishedEntry>(&self.published)? {
            if is_old(entry.at_ms) {
                self.forget_published(&entry.spec.id)?;
            }
        }
        Ok(())
    }

    /// Tells a Redis that forgot it what still runs here. Whether it is lost meanwhile each job's worker finds out.
    pub async fn resume_running(&self, queue: &Queue, seat: &Seat) -> Result<(), WorkError> {
        for ran in self.ran().map_err(|error| unreadable(&error))? {
            if ran.state == RanState::Running {
                let claim = ran.claim();
                let resumed = queue.resume(seat, &claim).await.map(|_| ());
                resumed.or_else(|error| unless_its_own(&claim.id, error))?;
            }
        }
        Ok(())
    }

    /// Tells a Redis that forgot them the results of the last ten minutes; returns the ids it did not know.
    pub async fn reassert(&self, queue: &Queue, seat: &Seat) -> Result<Vec<SessionId>, WorkError> {
        let mut told = Vec::new();
        let mut attempts = self.ran().map_err(|error| unreadable(&error))?;
        // What an attempt came to counts before the one after it.
        attempts.sort_by_key(|ran| ran.attempt);
        for ran in attempts {
            let RanState::Ended { outcome, result, .. } = ran.state.clone() else { continue };
            let claim = ran.claim();
            match reassert(queue, seat, (&claim, outcome), &result).await {
                Ok(false) => {}
                Ok(true) => told.push(claim.id),
                Err(error) => unless_its_own(&claim.id, error)?,
            }
        }
        Ok(told)
    }

    /// Publishes the jobs of the last ten minutes once more; returns the ids that Redis did not know.
    pub async fn republish(&self, queue: &Queue) -> Result<Vec<SessionId>, WorkError> {
        let mut told = Vec::new();
        for (_, entry) in read_all::<PublishedEntry>(&self.published).map_err(|error| unreadable(&error))? {
            match queue.publish(&entry.job, &entry.spec).await {
                Ok(Published::New) => told.push(entry.spec.id),
                Ok(Published::Before(_)) => {}
                Err(error @ WorkError::Full(_)) => {
                    tracing::warn!(job = %entry.spec.id, %error, "Redis forgot it and has no room for it");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(told)
    }
}

/// `true` when Redis did not know it.
async fn reassert(
    queue: &Queue,
    seat: &Seat,
    (claim, ended): (&Claim, Outcome),
    result: &JobResult,
) -> Result<bool, WorkError> {
    let Claim { id, token, job, spec, .. } = claim;
    if queue.job(id).await?.is_some_and(|job| job.state.is_final()) {
        // It knows how the job ended.
        return Ok(false);
    }
    if ended == Outcome::Failed && spec.retries > 0 {
        // Another try may follow: only the queue knows how many there were.
        let failed = Outcome::Failed;
        return Ok(queue.finish(id, token, failed, (result, spec.retries)).await? == Finish::Forgotten
            && queue.finish_forgotten(seat, claim, failed, result).await? != Finish::Fenced);
    }
    queue.reassert((job, spec), token, ended, result).await
}

/// What is wrong with one job's data holds up nobody else's.
fn unless_its_own(id: &SessionId, error: WorkError) -> Result<(), WorkError> {
    if !error.is_of_the_data() {
        return Err(error);
    }
    tracing::error!(job = %id, %error, "Redis cannot be told of it");
    Ok(())
}

fn unreadable(error: &io::Error) -> WorkError {
    WorkError::Invalid(format!("the journal cannot be read: {error}"))
}

impl Queue {
    /// Which life of the Redis this is: another text after it was started again, promoted or emptied.
    pub async fn epoch(&self) -> Result<String, WorkError> {
        let mut call = self.scripts.epoch.prepare_invoke();
        call.arg(Uuid::new_v4().to_string());
        let mark = self.send(&call).await?.into_iter().next();
        let server = self.redis.server();
        let run_id = server.borrow().as_ref().map(|server| server.run_id.clone());
        Ok(format!("{}/{}", run_id.unwrap_or_default(), mark.unwrap_or_default()))
    }
}

fn file_name(id: &SessionId) -> String {
    format!("{id}.json")
}

/// How the name of an attempt's entry ends whose result Redis has answered.
const TOLD: &str = ".told.json";

/// The names that an attempt's entry may have: before its result was answered, and after. A token may come from
/// anybody who writes to Redis; its hash names a file.
fn attempt_files(id: &SessionId, token: &str) -> [String; 2] {
    let hash = blake3::hash(token.as_bytes()).to_hex();
    [".json", TOLD].map(|end| format!("{id}.{}{end}", &hash[..12]))
}

fn write(dir: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    ensure_private_dir(dir)?;
    let text = serde_json::to_vec(value)?;
    if text.len() as u64 > ENTRY_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the job has more than 2 MiB"));
    }
    write_atomic(&dir.join(name), &text, Durability::Cached)
}

/// An entry; one that cannot be read stands for nothing, and hides no other.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    let entry = read_if_there(path, ENTRY_MAX)
        .and_then(|bytes| Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?));
    entry.unwrap_or_else(|error| {
        tracing::warn!(%error, path = %path.display(), "an entry of the journal cannot be read");
        None
    })
}

fn read_all<T: for<'de> Deserialize<'de>>(dir: &Path) -> io::Result<Vec<(PathBuf, T)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let ours = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    Ok(ours.take(ENTRIES_MAX).filter_map(|path| read(&path).map(|entry| (path, entry))).collect())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
