//! The audit chain: a copy of the flow in which every record carries the hash of the one before.
//!
//! A day file is one of darkmux 1.9: a header line, then records that each carry `prev_hash` and `hash`;
//! 1.9's checker accepts it. What 1.9 does not have: `head.json` says how far the chain goes, and the header
//! of a day's file says how the day before ended. So a cut tail, an emptied file and a missing file are found,
//! and an append reads neither the file nor the chain.
//!
//! Invariant: a record counts as kept once its line is on the disk and `head.json` tells of it. An append
//! that finds less than `head.json` tells of refuses; one that finds more (a crash in between, or a 1.9
//! writer) verifies the rest and goes on from there. Only one writer at a time: the lock of the folder keeps
//! ours apart, the lock of the day file keeps 1.9's out.
//!
//! A folder that is deleted as a whole is noticed by what [`Memory`] keeps beside the day files.
//!
//! Not here: a secret. Who may write the folder and recomputes everything from the tampered line on, the
//! head included, is not found out; keep a copy of `head.json` elsewhere against that.

mod chain;
mod check;
mod glance;
mod head;
mod header;
mod link;
mod memory;
#[cfg(test)]
mod tests;
mod walk;

pub use chain::AuditChain;
pub use check::{FileVerdict, check};
pub use glance::glance;
pub use head::Head;
pub use memory::Memory;

use std::io;
use std::path::PathBuf;

use crate::store::AppendError;

/// Why the audit chain did not take a record, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file of the chain could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A file of the chain could not be used.
    #[error("{path}: {action} failed: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The record cannot be written as JSON.
    #[error("the record cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// What is on the disk is not what the chain says; writing on would hide that.
    #[error(
        "the audit chain is not continued: {path}: {reason}. See `darkmux flow integrity-check`; to start a \
         new chain, move {dir} away and keep it as evidence"
    )]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The folder of the chain.
        dir: PathBuf,
    },
}

impl AuditError {
    fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }
}
