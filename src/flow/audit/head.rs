//! `head.json`: how far the chain goes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::AuditError;
use super::header::{Link, day_text};
use super::walk::Mark;
use crate::model::Day;
use crate::store::{Durability, read_if_there, write_atomic};

/// Name of the file.
pub const FILE: &str = "head.json";

/// A head is some 250 bytes.
const SIZE_MAX: u64 = 64 * 1024;

/// Version of the file's shape.
const SCHEMA: u32 = 1;

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    schema: u32,
    /// The day the chain begins with.
    #[serde(with = "day_text")]
    pub first_day: Day,
    /// The day of the newest file.
    #[serde(with = "day_text")]
    pub day: Day,
    /// Records in that file.
    pub count: u64,
    /// Hash of the last of them, or of the header where there is none.
    pub hash: String,
    /// Length of that file in bytes; 0 while it is about to be made.
    pub bytes: u64,
}

impl Head {
    /// A chain that is about to begin.
    pub fn beginning(day: Day) -> Self {
        Self { schema: SCHEMA, first_day: day, day, count: 0, hash: String::new(), bytes: 0 }
    }

    /// The same chain, ended at this place.
    #[must_use]
    pub fn at(&self, day: Day, mark: Mark) -> Self {
        let Mark { count, hash, bytes } = mark;
        Self { schema: SCHEMA, first_day: self.first_day, day, count, hash, bytes }
    }

    /// Its place in its file; `None` when the file is still to be made.
    pub fn mark(&self) -> Option<Mark> {
        (self.bytes > 0).then(|| Mark { count: self.count, hash: self.hash.clone(), bytes: self.bytes })
    }

    /// What the header of the next day says of it.
    pub fn link(&self) -> Option<Link> {
        (self.bytes > 0).then(|| Link { day: self.day, count: self.count, hash: self.hash.clone() })
    }

    /// The words for a chain of which nothing is left but this knowledge.
    pub fn gone(&self) -> String {
        format!(
            "the chain that was here is gone; it began on {} and had got to {} at least",
            self.first_day, self.day
        )
    }

    /// Reads the head of the chain in `dir`; `None` when there is none.
    pub fn read(dir: &Path) -> Result<Option<Self>, AuditError> {
        let path = path(dir);
        let bytes = read_if_there(&path, SIZE_MAX).map_err(AuditError::io(&path, "reading it"))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let refuse = |reason| AuditError::Refused { path: path.clone(), reason, dir: dir.to_owned() };
        let head: Self = serde_json::from_slice(&bytes)
            .map_err(|error| refuse(format!("it is no head of a chain: {error}")))?;
        if head.schema != SCHEMA {
            return Err(refuse(format!("it is of version {}, this program knows {SCHEMA}", head.schema)));
        }
        Ok(Some(head))
    }

    /// Replaces the head of the chain in `dir`.
    pub fn write(&self, dir: &Path) -> Result<(), AuditError> {
        let path = path(dir);
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        write_atomic(&path, &text, Durability::Ordered).map_err(AuditError::io(path, "replacing it"))
    }
}

/// The head's file.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}
