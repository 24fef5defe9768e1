//! The repository that travels with a job: what was checked out, with everything that is not committed, becomes one
//! commit and a bundle; the machine that runs the job makes a folder of it; what the job made of it comes back as a branch.
//!
//! Invariants: of the caller's repository only objects, `refs/darkmux-jobs/<job>` and the branch `darkmux/<job>` are
//! written, and files only by an `apply` that was asked for; a job's folder is a repository of its own that borrows
//! objects, so nothing that a job does to hooks, settings or refs reaches another repository; git never runs with
//! settings that a job could have written; what comes from elsewhere is bounded before it is unpacked and checked
//! before a ref or a file leads to it.
//!
//! Not here: the way through Redis (`work`), when a job gets its folder (`runner`).

mod apply;
mod aside;
mod borrowed;
mod changes;
mod collect;
mod git;
mod head;
mod left;
mod mirror;
mod pack;
mod place;
mod record;
mod snapshot;
mod source;
mod tree;

pub use apply::{Applied, Change, Own};
pub use borrowed::borrowed;
pub use changes::Changes;
pub use collect::Left;
pub use git::{Pieces, Printed};
pub use left::{Kept, KeptResults};
pub use mirror::Mirror;
pub use pack::Packed;
pub use place::Placing;
pub use record::{Record, Records, Where};
pub use snapshot::Snapshot;
pub use source::{Branch, Source};

use crate::model::MachineId;

/// What branches with a job's result begin with.
pub const BRANCH_PREFIX: &str = "darkmux/";

/// What a machine says of itself that can take workspaces: it has git. Jobs that bring one require it.
pub const LABEL: &str = "workspace";

/// Why a repository does not travel. Each message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceError {
    /// The program is missing.
    #[error("this is a git repository, and there is no `git` on PATH; install it")]
    NoGit,
    /// Git failed.
    #[error("git {verb}: {why}")]
    Git {
        /// What it was to do.
        verb: String,
        /// Its own words.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{0}")]
    File(String),
    /// This machine has not what it builds upon; another one may.
    #[error("{0}")]
    Lacks(String),
    /// This machine does not get it from that one, which is not its peer, or is away.
    #[error("{1}")]
    NoPeer(MachineId, String),
    /// It may not be.
    #[error("{0}")]
    Refused(String),
}

impl WorkspaceError {
    fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File(format!("{}: {error}", path.display()))
    }
}
