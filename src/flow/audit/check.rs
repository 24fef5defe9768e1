//! The checker: reads a whole chain, changes nothing, and says of every file whether it is what was written.
//!
//! It looks at the files as they were at one moment (the writers' lock is held while their lengths are
//! noted), so that records which arrive meanwhile are no finding.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::AuditError;
use super::chain::LOCK;
use super::head::{self, Head};
use super::walk::{Stop, Walked, first_line, walk};
use crate::model::Day;
use crate::store::{lock_shared_within, open_in};

/// How long the lengths of the files may have to wait for an append.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileVerdict {
    /// The file.
    pub path: String,
    /// Records that were verified.
    pub records_checked: u64,
    /// Whether it is what was written; `None` when it has a form that is not verified here.
    pub chain_valid: Option<bool>,
    /// The line where it is not, counted from 1 with the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub break_at_line: Option<u64>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub break_reason: Option<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl FileVerdict {
    fn absent(path: &Path, reason: String) -> Self {
        Self {
            path: path.display().to_string(),
            records_checked: 0,
            chain_valid: Some(false),
            break_at_line: None,
            break_reason: Some(reason),
            note: None,
        }
    }

    /// Nothing is left of a chain that was in `dir`.
    pub fn gone(dir: &Path, known: &Head) -> Self {
        Self::absent(dir, known.gone())
    }

    fn of(path: &Path, walked: &Walked) -> Self {
        let mut verdict = Self { break_reason: None, ..Self::absent(path, String::new()) };
        verdict.records_checked = walked.end.count;
        verdict.chain_valid = Some(true);
        match &walked.stop {
            None => {}
            Some(Stop::Torn) => verdict.breaks(walked.line(), "the last line has no end".to_owned()),
            Some(Stop::Break(reason)) => verdict.breaks(walked.line(), reason.clone()),
            Some(Stop::Unknown(what)) => {
                verdict.chain_valid = None;
                verdict.note = Some(what.clone());
            }
        }
        verdict
    }

    /// Whether the file is not what was written.
    pub fn is_broken(&self) -> bool {
        self.chain_valid == Some(false)
    }

    /// The first break of a file stands.
    fn breaks(&mut self, line: u64, reason: String) {
        if self.chain_valid == Some(true) {
            self.chain_valid = Some(false);
            self.break_at_line = Some(line);
            self.break_reason = Some(reason);
        }
    }
}

/// Checks the chain in a folder, or one day file: with what the head beside it and the next day say of it, or by
/// itself where there is no head.
pub fn check(path: &Path) -> Result<Vec<FileVerdict>, AuditError> {
    let meta = fs::metadata(path).map_err(AuditError::io(path, "looking at it"))?;
    if meta.is_dir() {
        return Chain::at_this_moment(path)?.verdicts();
    }
    if let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
        && Day::of_file_name(name).is_some()
    {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        if head::path(dir).exists() {
            let verdict = Chain::at_this_moment(dir)?.verdict_of(name)?;
            return Ok(vec![FileVerdict { path: path.display().to_string(), ..verdict }]);
        }
    }
    let file = File::open(path).map_err(AuditError::io(path, "opening it"))?;
    let walked = walk(&file, None, meta.len(), None).map_err(AuditError::io(path, "reading it"))?;
    let mut verdict = FileVerdict::of(path, &walked);
    empty_is_a_break(&mut verdict, &walked);
    Ok(vec![verdict])
}

fn empty_is_a_break(verdict: &mut FileVerdict, walked: &Walked) {
    if walked.header.is_none() && walked.stop.is_none() {
        verdict.breaks(1, "the file is empty; a day file begins with a header line".to_owned());
    }
}

/// The files of a chain and their lengths at one moment.
struct Chain<'a> {
    dir: &'a Path,
    head: Result<Option<Head>, AuditError>,
    files: BTreeMap<String, u64>,
}

/// A day file and what was found in it.
struct Checked {
    day: Option<Day>,
    walked: Walked,
    verdict: FileVerdict,
}

impl<'a> Chain<'a> {
    fn at_this_moment(dir: &'a Path) -> Result<Self, AuditError> {
        let _lock = lock_if_there(&dir.join(LOCK)).map_err(AuditError::io(dir, "locking it"))?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(AuditError::io(dir, "listing it"))? {
            let entry = entry.map_err(AuditError::io(dir, "listing it"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if Path::new(&name).extension().is_some_and(|end| end == "jsonl") {
                let meta = entry.metadata().map_err(AuditError::io(entry.path(), "looking at it"))?;
                files.insert(name, meta.len());
            }
        }
        let head = match Head::read(dir) {
            Err(error @ AuditError::Io { .. }) => return Err(error),
            other => other,
        };
        Ok(Self { dir, head, files })
    }

    fn verdicts(&self) -> Result<Vec<FileVerdict>, AuditError> {
        let mut checked = Vec::new();
        for (name, len) in &self.files {
            checked.push(self.check_file(name, *len)?);
        }
        let mut lost = Vec::new();
        match &self.head {
            Err(error) => lost.push(FileVerdict::absent(&head::path(self.dir), error.to_string())),
            Ok(Some(head)) => self.compare_head(head, &mut checked, &mut lost),
            Ok(None) if checked.iter().any(Checked::is_chained) => {
                let reason = "it is missing; whether records at the end are missing with it is not known";
                lost.push(FileVerdict::absent(&head::path(self.dir), reason.to_owned()));
            }
            Ok(None) => {}
        }
        self.compare_links(&mut checked, &mut lost);
        self.judge_empty(&mut checked);
        let mut verdicts: Vec<_> = checked.into_iter().map(|file| file.verdict).chain(lost).collect();
        verdicts.sort_by(|a, b| a.path.cmp(&b.path));
        verdicts.dedup_by(|b, a| a.path == b.path);
        Ok(verdicts)
    }

    /// One file, with what the head and the day after it say of it.
    fn verdict_of(&self, name: &str) -> Result<FileVerdict, AuditError> {
        let len = self.files.get(name).copied().unwrap_or_default();
        let mut checked = vec![self.check_file(name, len)?];
        // Names of day files sort as their days.
        if let Some((next, _)) = self.files.iter().find(|(other, _)| other.as_str() > name) {
            let path = self.dir.join(next);
            let file = open_in(self.dir, next).map_err(AuditError::io(&path, "opening it"))?;
            let header = first_line(&file).map_err(AuditError::io(&path, "reading it"))?;
            let verdict = FileVerdict::absent(&path, String::new());
            let walked = Walked { header, ..Walked::default() };
            checked.push(Checked { day: Day::of_file_name(next), walked, verdict });
        }
        // What is wrong with other files is not asked.
        let mut others = Vec::new();
        match &self.head {
            Ok(Some(head)) => self.compare_head(head, &mut checked, &mut others),
            Ok(None) => {}
            Err(error) => {
                let verdict = &mut checked[0].verdict;
                verdict.note.get_or_insert_with(|| format!("whether it is whole is not known: {error}"));
            }
        }
        self.compare_links(&mut checked, &mut others);
        self.judge_empty(&mut checked);
        Ok(checked.swap_remove(0).verdict)
    }

    fn check_file(&self, name: &str, len: u64) -> Result<Checked, AuditError> {
        let path = self.dir.join(name);
        let day = Day::of_file_name(name);
        let head = self.head.as_ref().ok().and_then(Option::as_ref);
        let watch = head.filter(|head| Some(head.day) == day).map(|head| head.bytes);
        let file = match open_in(self.dir, name) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(AuditError::io(path, "opening it")(error));
            }
            Err(error) => {
                let verdict = FileVerdict::absent(&path, format!("it can't be opened: {error}"));
                return Ok(Checked { day, walked: Walked::default(), verdict });
            }
        };
        let walked = walk(&file, None, len, watch).map_err(AuditError::io(&path, "reading it"))?;
        let mut verdict = FileVerdict::of(&path, &walked);
        // What follows the last record that was acknowledged is the rest of a write that a crash cut short.
        if walked.stop == Some(Stop::Torn) && watch.is_some_and(|bytes| bytes <= walked.end.bytes) {
            verdict = FileVerdict {
                chain_valid: Some(true),
                break_at_line: None,
                break_reason: None,
                note: Some("ends with an unfinished line, which the next append takes away".to_owned()),
                ..verdict
            };
        }
        Ok(Checked { day, walked, verdict })
    }

    /// What the head says of its own file.
    fn compare_head(&self, head: &Head, checked: &mut [Checked], lost: &mut Vec<FileVerdict>) {
        let Some(mark) = head.mark() else { return };
        let said = format!("head.json counts {} records in {} bytes", head.count, head.bytes);
        match checked.iter_mut().find(|file| file.day == Some(head.day)) {
            None => lost.push(self.missing(head.day, &said)),
            Some(Checked { walked, verdict, .. }) => match &walked.seen {
                Some(seen) if *seen == mark => {}
                Some(_) => verdict.breaks(walked.line(), format!("{said}, and another last hash")),
                None => verdict.breaks(walked.line(), format!("the file was cut short: {said}")),
            },
        }
        for file in checked.iter_mut().filter(|file| file.is_chained() && file.day.is_some()) {
            let begins = file.day == Some(head.first_day);
            let linked = file.walked.header.as_ref().is_some_and(|header| header.link().is_some());
            if !begins && (!linked || file.day < Some(head.first_day)) {
                let reason =
                    format!("the file is of another chain: head.json's begins on {}", head.first_day);
                file.verdict.breaks(1, reason);
            }
        }
    }

    /// What each header says of the day before.
    fn compare_links(&self, checked: &mut [Checked], lost: &mut Vec<FileVerdict>) {
        for at in 0..checked.len() {
            let (Some(day), Some(header)) = (checked[at].day, &checked[at].walked.header) else { continue };
            let Some(link) = header.link() else { continue };
            let said = format!("the header of {} counts {} records in it", day.file_name(), link.count);
            for file in checked.iter_mut().filter(|file| file.is_between(link.day, day)) {
                let reason = format!("the file is not of the chain: {} follows {}", day, link.day);
                file.verdict.breaks(1, reason);
            }
            match checked.iter_mut().find(|file| file.day == Some(link.day)) {
                None => lost.push(self.missing(link.day, &said)),
                Some(Checked { walked, verdict, .. }) if walked.end.count < link.count => {
                    verdict.breaks(walked.line(), format!("the file was cut short: {said}"));
                }
                Some(Checked { walked, verdict, .. }) if walked.end.count > link.count => {
                    verdict.breaks(link.count + 2, format!("records were added later: {said}"));
                }
                Some(Checked { walked, verdict, .. }) if walked.end.hash != link.hash => {
                    verdict.breaks(walked.line(), format!("{said}, and another last hash"));
                }
                Some(_) => {}
            }
        }
    }

    /// An empty file is what an append to a full disk leaves, where the chain knows that nothing was in it.
    fn judge_empty(&self, checked: &mut [Checked]) {
        let first = self.head.as_ref().ok().and_then(Option::as_ref).map(|head| head.first_day);
        for Checked { day, walked, verdict } in checked {
            if first.is_none_or(|first| day.is_none_or(|day| day < first)) {
                empty_is_a_break(verdict, walked);
            }
        }
    }

    fn missing(&self, day: Day, said: &str) -> FileVerdict {
        FileVerdict::absent(&self.dir.join(day.file_name()), format!("the file is missing: {said}"))
    }
}

impl Checked {
    fn is_chained(&self) -> bool {
        self.walked.header.as_ref().is_some_and(super::header::Header::is_chained)
    }

    fn is_between(&self, after: Day, before: Day) -> bool {
        let holds_something = self.walked.header.is_some() || self.walked.stop.is_some();
        holds_something && self.day.is_some_and(|day| after < day && day < before)
    }
}

fn lock_if_there(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    lock_shared_within(&file, PATIENCE)?;
    Ok(Some(file))
}
