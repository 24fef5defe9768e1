//! The writing side: appends a record to the chain without reading what is there.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::AuditError;
use super::head::{self, Head};
use super::header::Header;
use super::link;
use super::memory::Memory;
use super::walk::{Mark, Stop, Walked, first_line, walk};
use crate::model::{Day, FlowRecord};
use crate::store::{AppendError, AppendLog, Locked, SyncPolicy, ensure_private_dir, open_in};

/// The lock that keeps the writers of one chain apart.
pub(super) const LOCK: &str = "lock";

/// The chain in one folder.
#[derive(Debug)]
pub struct AuditChain {
    dir: PathBuf,
    lock: AppendLog,
    files: Files,
    memory: Option<Memory>,
    gone: Option<Head>,
}

impl AuditChain {
    /// The chain in `dir`; opens nothing yet.
    pub fn new(dir: PathBuf) -> Self {
        let lock = AppendLog::new(dir.join(LOCK), SyncPolicy::Interval);
        Self { files: Files { dir: dir.clone(), open: None }, dir, lock, memory: None, gone: None }
    }

    /// The same chain, kept in mind outside its folder.
    #[must_use]
    pub fn remembered(self, memory: Memory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// The chain of which nothing was left when the last append began another; told once.
    pub fn take_gone(&mut self) -> Option<Head> {
        self.gone.take()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends the record to the file of `day`, or of the newest day of the chain when that is later: a clock
    /// that went back does not fork the chain. It is on the disk when the call returns.
    pub fn append(&mut self, record: &FlowRecord, day: Day) -> Result<(), AuditError> {
        let _lock = self.lock.lock()?;
        let files = &mut self.files;
        let head = files.head(day)?.filter(|head| head.bytes > 0);
        match head {
            Some(head) if head.day >= day => return files.extend(&head, record),
            Some(head) => files.begin(Some(head), day, record)?,
            None => {
                let gone = self.memory.as_ref().and_then(|memory| memory.gone(&self.dir));
                files.begin(None, day, record)?;
                self.gone = gone;
            }
        }
        if let (Some(memory), Some(head)) = (&self.memory, Head::read(&self.dir)?) {
            memory.keep(&self.dir, &head);
        }
        Ok(())
    }
}

/// The files of the chain, while its lock is held.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
    /// The file of the last append.
    open: Option<(Day, AppendLog)>,
}

impl Files {
    /// The end of the chain, with every file in it that is not of a later day than `day` or the head's own.
    fn head(&mut self, day: Day) -> Result<Option<Head>, AuditError> {
        let Some(mut head) = self.known_head(day)? else { return Ok(None) };
        if head.day >= day && head.bytes > 0 {
            return Ok(Some(head));
        }
        if head.bytes > 0 || self.path(head.day).exists() {
            head = self.lock(head.day, |locked, files| files.roll(locked, &head))?;
        }
        if head.bytes == 0 && head.day < day {
            // The chain never began there.
            match fs::remove_file(self.path(head.day)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(AuditError::io(self.path(head.day), "removing the empty file")(error));
                }
                _ => {}
            }
        }
        let known = head.day;
        for later in days(&self.dir)?.into_iter().filter(|later| *later > known) {
            if head.bytes == 0 {
                head = Head::beginning(later);
            }
            head = self.lock(later, |locked, files| files.take_in(locked, later, &head))?;
        }
        Ok(Some(head))
    }

    /// The head on the disk; where there is none, that of a chain that 1.9 wrote.
    fn known_head(&mut self, day: Day) -> Result<Option<Head>, AuditError> {
        if let Some(head) = Head::read(&self.dir)? {
            return Ok(Some(head));
        }
        let days = days(&self.dir)?;
        for of in &days {
            let header =
                first_line(&self.read(*of)?).map_err(AuditError::io(self.path(*of), "reading it"))?;
            if header.is_some_and(|header| header.is_chained()) {
                let reason = format!("it is missing, but {} belongs to a chain", of.file_name());
                return Err(self.refused(head::path(&self.dir), reason));
            }
        }
        let Some(newest) = days.last().copied() else { return Ok(None) };
        let head = if newest < day {
            self.finished(newest)?
        } else {
            self.lock(newest, |locked, files| files.take_in(locked, newest, &Head::beginning(newest)))?
        };
        if head.bytes == 0 {
            return Ok(None);
        }
        head.write(&self.dir)?;
        Ok(Some(head))
    }

    /// The head of a chain that ends with the file of `day`, which is only read; a head without bytes when
    /// that file is broken or not of 1.9, so that a chain of its own begins after it.
    fn finished(&self, day: Day) -> Result<Head, AuditError> {
        let path = self.path(day);
        let file = self.read(day)?;
        let len = file.metadata().map_err(AuditError::io(&path, "reading it"))?.len();
        let walked = walk(&file, None, len, None).map_err(AuditError::io(path, "verifying it"))?;
        let beginning = Head::beginning(day);
        Ok(if walked.stop.is_none() { beginning.at(day, walked.end) } else { beginning })
    }

    /// Appends to the file of the head.
    fn extend(&mut self, head: &Head, record: &FlowRecord) -> Result<(), AuditError> {
        self.lock(head.day, |locked, files| {
            let head = files.roll(locked, head)?;
            files.write(locked, &head, &[], record)
        })
    }

    /// Begins the file of `day`.
    fn begin(&mut self, head: Option<Head>, day: Day, record: &FlowRecord) -> Result<(), AuditError> {
        let link = head.as_ref().and_then(Head::link);
        let head = head.unwrap_or_else(|| Head::beginning(day));
        if link.is_none() {
            // Said before the file is there, so that a crash in between does not look like a lost head.
            ensure_private_dir(&self.dir).map_err(AuditError::io(&self.dir, "making the folder"))?;
            Head::beginning(day).write(&self.dir)?;
        }
        let header = serde_json::to_vec(&Header::after(link))?;
        self.lock_or_make(day, |locked, files| {
            if !locked.is_empty() {
                // Another writer made it just now.
                let head = files.take_in(locked, day, &head)?;
                return files.write(locked, &head, &[], record);
            }
            let mark = Mark { count: 0, hash: link::hash(&header), bytes: 0 };
            files.write(locked, &head.at(day, mark), &header, record)?;
            let synced = File::open(&files.dir).and_then(|dir| dir.sync_all());
            synced.map_err(AuditError::io(&files.dir, "syncing the folder"))
        })
    }

    /// Writes a line, and the header before it where there is one, and moves the head.
    fn write(
        &self,
        locked: &mut Locked<'_>,
        head: &Head,
        header: &[u8],
        record: &FlowRecord,
    ) -> Result<(), AuditError> {
        let (line, hash) = link::seal(record, &head.hash)?;
        let mut bytes = Vec::with_capacity(header.len() + line.len() + 2);
        if !header.is_empty() {
            bytes.extend_from_slice(header);
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(&line);
        bytes.push(b'\n');
        let before = locked.len();
        let end = locked.write(&bytes)?;
        let path = self.path(head.day);
        // The line is on the disk before the head that tells of it: after a power loss there may be more than
        // the head says, never less.
        let kept =
            locked.file().sync_data().map_err(|source| AppendError::Sync { path, source }.into()).and_then(
                |()| head.at(head.day, Mark { count: head.count + 1, hash, bytes: end }).write(&self.dir),
            );
        if kept.is_err() {
            locked.truncate(before)?;
        }
        kept
    }

    /// Goes on from the head to the end of its file: nothing to do, unless a crash came between the two or
    /// another writer appended.
    fn roll(&self, locked: &mut Locked<'_>, head: &Head) -> Result<Head, AuditError> {
        let path = self.path(head.day);
        if locked.len() == head.bytes {
            return Ok(head.clone());
        }
        if locked.len() < head.bytes {
            let reason = format!(
                "it has {} bytes, but held {} bytes with {} records when the last one was kept",
                locked.len(),
                head.bytes,
                head.count
            );
            return Err(self.refused(path, reason));
        }
        let walked = walk(locked.file(), head.mark(), locked.len(), None)
            .map_err(AuditError::io(&path, "verifying its end"))?;
        self.usable(head.day, &walked)?;
        if walked.end.bytes < locked.len() {
            locked.truncate(walked.end.bytes)?;
        }
        Ok(head.at(head.day, walked.end))
    }

    /// Takes the file of `day` into the chain after `head`: one that a crash left without a head, or one of a
    /// 1.9 writer.
    fn take_in(&self, locked: &mut Locked<'_>, day: Day, head: &Head) -> Result<Head, AuditError> {
        let path = self.path(day);
        let walked =
            walk(locked.file(), None, locked.len(), None).map_err(AuditError::io(&path, "verifying it"))?;
        self.usable(day, &walked)?;
        if walked.end.bytes < locked.len() {
            locked.truncate(walked.end.bytes)?;
        }
        match walked.header {
            None => Ok(head.clone()),
            Some(header) if header.is_chained() && header.link() != head.link() => {
                let reason = format!("it does not follow the end of {}", head.day.file_name());
                Err(self.refused(path, reason))
            }
            Some(_) => Ok(head.at(day, walked.end)),
        }
    }

    /// A torn end was never acknowledged and may go; anything else stops the chain.
    fn usable(&self, day: Day, walked: &Walked) -> Result<(), AuditError> {
        let reason = match &walked.stop {
            None | Some(Stop::Torn) => return Ok(()),
            Some(Stop::Break(reason)) => format!("the chain breaks at line {}: {reason}", walked.line()),
            Some(Stop::Unknown(what)) => what.clone(),
        };
        Err(self.refused(self.path(day), reason))
    }

    fn path(&self, day: Day) -> PathBuf {
        self.dir.join(day.file_name())
    }

    fn refused(&self, path: PathBuf, reason: String) -> AuditError {
        AuditError::Refused { path, reason, dir: self.dir.clone() }
    }

    fn read(&self, day: Day) -> Result<File, AuditError> {
        open_in(&self.dir, &day.file_name()).map_err(AuditError::io(self.path(day), "opening it"))
    }

    /// Runs `with` on the locked file of a day that has one.
    fn lock<T>(
        &mut self,
        day: Day,
        with: impl FnOnce(&mut Locked<'_>, &Self) -> Result<T, AuditError>,
    ) -> Result<T, AuditError> {
        // Opening would make it, and an emptied file says less than a missing one.
        match fs::symlink_metadata(self.path(day)) {
            Ok(_) => self.lock_or_make(day, with),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(self.refused(self.path(day), "it is missing".to_owned()))
            }
            Err(error) => Err(AuditError::io(self.path(day), "looking for it")(error)),
        }
    }

    fn lock_or_make<T>(
        &mut self,
        day: Day,
        with: impl FnOnce(&mut Locked<'_>, &Self) -> Result<T, AuditError>,
    ) -> Result<T, AuditError> {
        let mut log = match self.open.take() {
            Some((open, log)) if open == day => log,
            _ => AppendLog::new(self.path(day), SyncPolicy::Interval),
        };
        let done = log.lock().map_err(AuditError::from).and_then(|mut locked| with(&mut locked, self));
        self.open = Some((day, log));
        done
    }
}

/// The days that have a file in `dir`, in order.
pub(super) fn days(dir: &Path) -> Result<Vec<Day>, AuditError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(AuditError::io(dir, "listing it")(error)),
    };
    let mut days = Vec::new();
    for entry in entries {
        let entry = entry.map_err(AuditError::io(dir, "listing it"))?;
        days.extend(entry.file_name().to_str().and_then(Day::of_file_name));
    }
    days.sort_unstable();
    Ok(days)
}
