//! What a run is remembered by, so that another run goes on with it: `checkpoint.json` in the session's folder, written
//! after every turn.
//!
//! Invariant: it is whole or absent, readable by its owner alone, and holds no key.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::conversation::Conversation;
use super::model::{Message, Style};
use super::tools::PlanItem;
use crate::session::agent_result;
use crate::store::{Durability, read_if_there, write_atomic};
use crate::wire::{Check, Totals};
use crate::work::CHECKPOINT_MAX;

/// Version of [`Checkpoint`].
const SCHEMA: u32 = 1;

/// The file.
const FILE: &str = "checkpoint.json";

/// The word of a result that says that the session was ended from outside.
pub const TERMINATED: &str = "terminated";

/// Largest checkpoint, in bytes.
const SIZE_MAX: u64 = 64 * 1024 * 1024;

/// What the model is told of it.
const MOVED: &str = "The machine that you worked on was lost. You go on with the same task on another one, in the folder \
                     {folder}, which is as it was when the task began: nothing of what you changed, made or started \
                     is there. Look before you rely on it, and do again what is needed.";

/// The same, where what it had changed came along.
const MOVED_WITH_FILES: &str = "The machine that you worked on was lost. You go on with the same task on another one, in the \
                                folder {folder}: its files are as they were about then, also those that you had changed. \
                                What git ignores, what is outside of the folder and what you started is not there. Look \
                                before you rely on it, and do again what is needed.";

/// What the model is told that was broken off in the middle.
const INTERRUPTED: &str = "You were interrupted, and your last turn may have been made in part. The shell starts in the \
                           work directory again, with a new $TMPDIR, and nothing that you started runs. Look before you \
                           repeat anything.";

/// The same, where it had given its last message.
const LATER: &str = "This goes on later, in a new shell: it starts in the work directory again, with a new $TMPDIR, and \
                     nothing that you started runs.";

/// Where a run stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    schema: u32,
    /// The conversation.
    pub talk: Conversation,
    /// The checklist.
    #[serde(default)]
    pub plan: Vec<PlanItem>,
    /// What it took so far.
    #[serde(default)]
    pub totals: Totals,
    /// Turns and tokens when a person said something last, or a limit was reached: what its limits count from.
    #[serde(default)]
    pub since: (u64, u64),
    /// Files that were changed.
    #[serde(default)]
    pub changed: Vec<PathBuf>,
    /// Commands that were run.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The folder it works in.
    pub folder: PathBuf,
    /// The model, as `endpoint/model`.
    pub model: String,
    /// How tools are spoken of.
    #[serde(default)]
    pub style: Style,
    /// Its window, where that was found out to be another than it was said to be.
    #[serde(default)]
    pub window: Option<u64>,
    /// Whether the last answer ended the work.
    #[serde(default)]
    pub is_done: bool,
    /// How often the hint was given with which its role tries once more.
    #[serde(default)]
    pub hints: u32,
    /// Whether it was made on a machine that is gone, and the folder is another one.
    #[serde(default)]
    pub moved: bool,
    /// Whether what it had changed is in that folder.
    #[serde(default)]
    pub with_files: bool,
}

/// Where an attempt stood that was lost in the middle.
#[derive(Debug, Clone)]
pub struct Left {
    /// The folder it worked in.
    pub folder: PathBuf,
    /// Its checkpoint, for the folder of the session that goes on with it: name and content.
    pub file: (PathBuf, Vec<u8>),
}

/// What the session in `folder` left of work that never came to an end; `None` when it ended, or was another program.
pub fn left(folder: &Path) -> Option<Left> {
    // One that was ended from outside, or with its host, says so.
    if agent_result(folder).is_some_and(|result| result.result != TERMINATED) {
        return None;
    }
    let mut checkpoint = Checkpoint::read(folder).ok().flatten().filter(|left| left.folder.is_dir())?;
    // Without a result it is not: nobody may be there who would say what is next.
    checkpoint.is_done = false;
    let text = serde_json::to_vec(&checkpoint).ok()?;
    Some(Left { folder: checkpoint.folder, file: (PathBuf::from(FILE), text) })
}

/// A session's newest checkpoint, as it stands in its folder.
pub fn checkpoint(folder: &Path) -> io::Result<Option<Vec<u8>>> {
    read_if_there(&folder.join(FILE), CHECKPOINT_MAX)
}

/// What tells a session's newest checkpoint from the one before it; `None` where there is none.
pub fn checkpoint_stamp(folder: &Path) -> Option<(u64, SystemTime)> {
    let meta = std::fs::metadata(folder.join(FILE)).ok()?;
    Some((meta.ino(), meta.modified().ok()?))
}

/// The checkpoint of an attempt on another machine, for the folder of the session that goes on with it in `cwd`: name and
/// content. `with_files` says that what it had changed is there. `None` when this version can't read it.
pub fn moved(bytes: &[u8], cwd: &Path, with_files: bool) -> Option<(PathBuf, Vec<u8>)> {
    let read: Checkpoint = serde_json::from_slice(bytes).ok()?;
    if read.schema != SCHEMA {
        return None;
    }
    let changed = if with_files { read.changed } else { Vec::new() };
    let (folder, checks) = (cwd.to_owned(), Vec::new());
    let moved = Checkpoint { folder, changed, checks, is_done: false, moved: true, with_files, ..read };
    Some((PathBuf::from(FILE), serde_json::to_vec(&moved).ok()?))
}

impl Checkpoint {
    /// A run that begins.
    pub fn new(talk: Conversation, folder: PathBuf, model: String) -> Self {
        Self {
            schema: SCHEMA,
            talk,
            plan: Vec::new(),
            totals: Totals::default(),
            since: (0, 0),
            changed: Vec::new(),
            checks: Vec::new(),
            folder,
            model,
            style: Style::default(),
            window: None,
            is_done: false,
            hints: 0,
            moved: false,
            with_files: false,
        }
    }

    /// Goes on in another folder; the model is told what of its work is there. `system` says where that is.
    pub fn settle(&mut self, system: String, folder: &Path) {
        self.moved = false;
        self.talk.begin_with(system);
        let words = if self.with_files { MOVED_WITH_FILES } else { MOVED };
        self.talk.push(Message::User { text: words.replace("{folder}", &folder.display().to_string()) });
    }

    /// Goes on in the same folder; the model is told what of its work did not last.
    pub fn go_on(&mut self) {
        let words = if self.is_done { LATER } else { INTERRUPTED };
        let is_told = matches!(self.talk.messages().last(), Some(Message::User { text }) if text == words);
        if !is_told {
            self.talk.push(Message::User { text: words.to_owned() });
        }
    }

    /// What an earlier run left; `None` when there was none.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        let Some(bytes) = read_if_there(&folder.join(FILE), SIZE_MAX)? else { return Ok(None) };
        let read: Self = serde_json::from_slice(&bytes)?;
        if read.schema == SCHEMA {
            return Ok(Some(read));
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is of another version of darkmux"))
    }

    /// Keeps it in the session's folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write_atomic(&folder.join(FILE), &serde_json::to_vec(self)?, Durability::Cached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_without_a_result_is_not_done_whatever_it_thought() {
        let dir = tempfile::tempdir().unwrap();
        let talk = Conversation::new("system".into(), "task".into());
        let mut at = Checkpoint::new(talk, dir.path().to_owned(), "a/m".into());
        (at.is_done, at.hints) = (true, 1);
        at.write(dir.path()).unwrap();
        let left: Checkpoint = serde_json::from_slice(&left(dir.path()).unwrap().file.1).unwrap();
        assert!(!left.is_done && left.hints == 1);
    }
}
