//! Where a record goes: the audit chain where it is on, then the local file, each tried whatever became of
//! the other.
//!
//! Invariant: what is in the local file is durable in its order and has a [`Position`]; a sink that sends
//! records elsewhere reads them from there after its own last position, and is not a further child here.

use std::path::PathBuf;
use std::time::Duration;

use super::FlowError;
use super::audit::{AuditChain, AuditError, Head, Memory};
use super::line;
use super::read::writing_day;
use crate::config::FlowConfig;
use crate::model::{Day, FlowRecord, Position};
use crate::store::{AppendError, AppendLog, LOCK_PATIENCE, SyncPolicy};
use crate::util::Clock;

/// The sinks of one writer.
#[derive(Debug)]
pub struct Sinks {
    audit: Option<AuditChain>,
    local: LocalFile,
}

impl Sinks {
    /// The sinks that the configuration names; opens nothing yet.
    pub fn new(config: &FlowConfig) -> Self {
        let memory = Memory::beside(&config.dir);
        let audit = config.audit_dir.clone().map(|dir| AuditChain::new(dir).remembered(memory));
        Self { audit, local: LocalFile::new(config) }
    }

    /// The first record does not wait for the disk, unless each is to.
    pub fn sync_later(&mut self) {
        if self.local.policy == SyncPolicy::Interval {
            self.local.policy = SyncPolicy::Later;
        }
    }

    /// The audit chain of which nothing was left when the last record began another.
    pub fn take_gone(&mut self) -> Option<Head> {
        self.audit.as_mut().and_then(AuditChain::take_gone)
    }

    /// Appends to each sink. The audit chain's failure comes with what became of the local file.
    pub fn append(
        &mut self,
        record: &mut FlowRecord,
        clock: &Clock,
    ) -> (Result<(), AuditError>, Result<Position, FlowError>) {
        let line = match line::fit(record) {
            Ok(line) => line,
            Err(error) => return (Ok(()), Err(FlowError::Json(error))),
        };
        let audit = self.audit.as_mut().map_or(Ok(()), |audit| audit.append(record, Day::of(clock.now())));
        (audit, self.local.append(&line, clock))
    }

    /// As [`append`](Self::append) where nothing is waited for, neither another process nor the disk; `None` where that
    /// can't be: nothing was appended.
    pub fn append_at_once(
        &mut self,
        record: &mut FlowRecord,
        clock: &Clock,
    ) -> Option<Result<Position, FlowError>> {
        if self.audit.is_some() || self.local.policy != SyncPolicy::Later {
            return None;
        }
        self.local.patience = Duration::ZERO;
        let appended = self.append_locally(record, clock);
        self.local.patience = LOCK_PATIENCE;
        match appended {
            Err(FlowError::Local(AppendError::Lock { .. })) => None,
            appended => Some(appended),
        }
    }

    /// Appends to the local file alone.
    pub fn append_locally(&mut self, record: &mut FlowRecord, clock: &Clock) -> Result<Position, FlowError> {
        let line = line::fit(record)?;
        self.local.append(&line, clock)
    }

    /// Brings what was appended to the disk. The audit chain is there already.
    pub fn sync(&mut self) -> Result<(), FlowError> {
        self.local.sync()
    }
}

/// The day files, of which the newest is open.
#[derive(Debug)]
struct LocalFile {
    dir: PathBuf,
    policy: SyncPolicy,
    /// How long it waits for another process's append.
    patience: Duration,
    open: Option<(Day, AppendLog)>,
}

impl LocalFile {
    fn new(config: &FlowConfig) -> Self {
        let policy = if config.sync_always { SyncPolicy::Always } else { SyncPolicy::Interval };
        Self { dir: config.dir.clone(), policy, patience: LOCK_PATIENCE, open: None }
    }

    /// Appends to the file of the day that it is when the file's lock is held: a writer that had to wait over
    /// midnight adds nothing to a day that readers have left. Nor does one whose clock was set back: see
    /// [`writing_day`].
    fn append(&mut self, line: &[u8], clock: &Clock) -> Result<Position, FlowError> {
        loop {
            if let Some(position) = self.append_to(writing_day(&self.dir, clock), line, clock)? {
                return Ok(position);
            }
        }
    }

    fn append_to(&mut self, day: Day, line: &[u8], clock: &Clock) -> Result<Option<Position>, FlowError> {
        let header = line::header()?;
        let (mut log, ended) = match self.open.take() {
            Some((open, log)) if open == day => (log, None),
            other => (AppendLog::new(self.dir.join(day.file_name()), self.policy), other),
        };
        log.set_patience(self.patience);
        let appended = log.append(line, &header, || writing_day(&self.dir, clock) == day);
        self.open = Some((day, log));
        let offset = appended?;
        if let Some((_, mut ended)) = ended {
            ended.sync()?;
        }
        Ok(offset.map(|offset| Position { day, offset }))
    }

    fn sync(&mut self) -> Result<(), FlowError> {
        match &mut self.open {
            Some((_, log)) => Ok(log.sync()?),
            None => Ok(()),
        }
    }
}
