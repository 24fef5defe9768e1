//! What is known of the chain outside its folder: that there is one. Whoever deletes the folder leaves this.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chain::days;
use super::head::Head;
use crate::store::{Durability, ensure_private_dir, read_if_there, write_atomic};

/// Name of the file, in the folder of the day files.
const FILE: &str = "audit-chain.json";

/// The file is some 400 bytes.
const SIZE_MAX: u64 = 64 * 1024;

/// The chain as it was when its newest day began.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    dir: PathBuf,
    head: Head,
}

/// The memory of chains beside the day files.
#[derive(Debug, Clone)]
pub struct Memory {
    file: PathBuf,
}

impl Memory {
    /// That of the flow in `flows`.
    pub fn beside(flows: &Path) -> Self {
        Self { file: flows.join(FILE) }
    }

    /// The chain that was in `dir` before and of which nothing is there now.
    pub fn gone(&self, dir: &Path) -> Option<Head> {
        let bytes = read_if_there(&self.file, SIZE_MAX).ok().flatten()?;
        let known: Known = serde_json::from_slice(&bytes).ok()?;
        let empty = matches!(Head::read(dir), Ok(None)) && days(dir).is_ok_and(|days| days.is_empty());
        (known.dir == dir && empty).then_some(known.head)
    }

    /// Keeps that the chain in `dir` has got to `head`. It is no part of the chain: a disk that does not take it
    /// stops no record.
    pub(super) fn keep(&self, dir: &Path, head: &Head) {
        let known = Known { dir: dir.to_owned(), head: head.clone() };
        let kept = serde_json::to_vec(&known).map_err(std::io::Error::other).and_then(|text| {
            // The chain has a record before the day files have one.
            self.file.parent().map_or(Ok(()), ensure_private_dir)?;
            write_atomic(&self.file, &text, Durability::Ordered)
        });
        if let Err(error) = kept {
            tracing::debug!(%error, file = %self.file.display(), "the chain is not remembered");
        }
    }
}
