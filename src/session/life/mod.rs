//! A session's life after its start: its end, its next run, and its removal. Everything works without a daemon.
//!
//! Invariants: a folder is changed under its session's lease only, which a living host holds; what is being
//! removed is marked first, so that whoever comes after a crash goes on; every wait has a limit.
//!
//! Not here: what an ended agent's next command is (`crew`).

mod dismiss;
mod end;
mod name;
mod read;
mod remains;
mod rerun;
mod retain;
mod sweep;
mod torn;

pub use dismiss::{dismiss, finish_dismissals};
pub use end::end;
pub use name::set_name;
pub use read::mark_read;
pub use remains::Remains;
pub use rerun::{Rerun, may_run_again, rerun};
pub use retain::{Keep, retain, retain_folders};
pub use sweep::Sweeper;
pub use torn::clear_torn;

pub(super) use dismiss::is_dismissed;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{NameError, StartError};
use crate::model::SessionId;

/// Why a session does not do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// There is none.
    #[error("no session `{0}`; it may have been dismissed")]
    None(SessionId),
    /// It must have ended first.
    #[error("session {0} still runs; end it first, or restart it")]
    Alive(SessionId),
    /// It was lost with its host, and its program goes on without.
    #[error(
        "session {id} lost its host, but its program ({program}) still runs as process {pid}; `darkmux session kill {id}` \
         ends it, `darkmux session restart {id}` runs it anew as well"
    )]
    Outlived {
        /// The session.
        id: SessionId,
        /// What runs.
        program: String,
        /// Its process.
        pid: u32,
    },
    /// It does not get the name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its name means another one that runs now.
    #[error(
        "`{name}` names session {other}, which runs; `darkmux session rename {id} NAME` gives this one another name first"
    )]
    NotItsName {
        /// The session.
        id: SessionId,
        /// Its name.
        name: String,
        /// The one that runs.
        other: SessionId,
    },
    /// The runner still looks into it.
    #[error(
        "session {0} is an attempt of a job whose end is not told yet; `darkmux job cancel {0}` ends the job, and once \
         Redis has answered the session can be dismissed"
    )]
    Untold(SessionId),
    /// It cannot be run again.
    #[error("session {id} cannot be run again: {why}")]
    NotResumable {
        /// The session.
        id: SessionId,
        /// Why.
        why: &'static str,
    },
    /// It did not end.
    #[error(
        "session {id} did not end within {} s; its host may be stopped (`kill -CONT` wakes it) or wait for a \
         slow viewer",
        .limit.as_secs()
    )]
    Slow {
        /// The session.
        id: SessionId,
        /// How long it had.
        limit: Duration,
    },
    /// It may still run without its host.
    #[error(
        "session {id} lost its host, and its program may still run: processes of kernel session {pid} do, and nothing proves \
         that they are its own, so they are left alone; `ps -o pid,args -s {pid}` shows them"
    )]
    Remains {
        /// The session.
        id: SessionId,
        /// The kernel session.
        pid: u32,
    },
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A file of its folder.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LifeError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
