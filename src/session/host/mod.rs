//! The session host: the process that owns one session's terminal. It is darkmux itself under a hidden verb,
//! started detached, and lives until its process has ended and its clients know.
//!
//! Invariant: the state file says `running` only while the process may run, and `exited` once it is known how
//! it ended, before any client is told; when the disk does not take that, the clients are told so.

mod agent;
mod api;
mod attach;
mod begin;
mod events;
mod expect;
mod keys;
mod listen;
mod model;
mod places;
mod register;
mod spare;
mod supervise;
mod terminal;
mod told;
mod viewers;
mod watch;

pub use spare::{SpareError, run_spare};

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::output::Output;
use super::screen::possible;
use super::{HOST_FAILED, files, socket_path, table};
use crate::config::Config;
use crate::flow::Flow;
use crate::model::{EndReason, SessionState};
use crate::pty::{self, ProcessTree, Window};
use crate::store::{Durability, FileLock, write_atomic};
use crate::util::{Clock, clock};
use crate::wire::{SessionSpec, SessionStatus, WindowSize};
use model::Model;
use told::Told;
use viewers::Viewers;

/// How long clients may take to read the rest after the end.
const LINGER: Duration = Duration::from_secs(5);

/// Pieces of input that wait for the terminal; the sender waits when it is full.
const INPUT_QUEUE: usize = 64;

/// Requests to end the session that wait; more than one says the same.
const STOP_QUEUE: usize = 4;

/// Exit code of a session whose host could not do its work, that of darkmux's own failures.
const HOST_FAILED_CODE: i32 = 125;

/// How often a state file that the disk refuses is tried again, and how many times.
const STATE_RETRY: (Duration, u32) = (Duration::from_secs(1), 300);

/// Why a host could not do its work. It stands in the host's log and in the starter's message.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file of the session's folder.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The specification is not one.
    #[error("{path}: {source}")]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Another host has the lease.
    #[error("the session has a host already, process {0}")]
    HasHost(String),
    /// Nobody waits for this host any longer.
    #[error("the session host came too late: the session counts as lost; start it again")]
    GivenUp,
    /// The system refused something.
    #[error("the session host failed: {0}")]
    System(#[from] std::io::Error),
}

/// What the host's parts share.
#[derive(Debug)]
struct Host {
    folder: PathBuf,
    spec: SessionSpec,
    clock: Clock,
    output: Arc<Output>,
    status: Mutex<SessionStatus>,
    window: Window,
    tree: ProcessTree,
    input: mpsc::Sender<Bytes>,
    stop: mpsc::Sender<Duration>,
    viewers: Viewers,
    model: Arc<Model>,
    told: Told,
}

impl Host {
    fn status(&self) -> MutexGuard<'_, SessionStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state with what is held of the output.
    fn status_now(&self) -> SessionStatus {
        let mut status = self.status().clone();
        status.output = self.output.range();
        if let (None, Some(error)) = (&status.error, self.output.log_error()) {
            status.error = Some(format!("the output is not kept on disk: {error}"));
        }
        status
    }

    /// Gives the terminal another size, for the viewer who owns it from now on.
    fn resize(&self, size: WindowSize, owner: Option<u64>) -> std::io::Result<()> {
        let size = possible(size);
        if self.status().size != size {
            self.window.resize(size)?;
            self.model.resized(size);
            self.change(|status| {
                status.size = size;
                true
            });
        }
        self.viewers.set(size, owner);
        Ok(())
    }
}

/// Runs the host of the session in `folder` to its end. Tells the starter on stdout, in one line, that the
/// session runs or why it does not.
pub fn run(folder: &Path, config: &Config, clock: &Clock) -> Result<(), HostError> {
    // It leads a kernel session already when it was started by hand.
    let _ = pty::detach();
    run_on(None, folder, config, clock)
}

/// What runs a host's tasks: one thread.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Runs the host on `ready`, where that was made ahead.
fn run_on(ready: Option<Runtime>, folder: &Path, config: &Config, clock: &Clock) -> Result<(), HostError> {
    let lease = folder.join(files::LEASE);
    let _lease = FileLock::try_take(&lease)
        .map_err(|source| HostError::File { path: lease, source })
        .inspect_err(tell_failed)?
        .map_err(HostError::HasHost)?;
    if folder.join(files::GIVEN_UP).exists() {
        tell_failed(&HostError::GivenUp);
        return Err(HostError::GivenUp);
    }
    let done = live(ready, folder, config, clock);
    if let Err(error) = &done {
        give_up(folder, error, clock);
    }
    done
}

fn live(ready: Option<Runtime>, folder: &Path, config: &Config, clock: &Clock) -> Result<(), HostError> {
    let runtime = match ready {
        Some(ready) => ready,
        None => runtime()?,
    };
    let spec = read_spec(&folder.join(files::SPEC))?;
    let flow = config.flow().map(|flow| Flow::new(flow, clock.clone()));
    let done = runtime.block_on(begin::host(folder, spec, config, flow, clock));
    // A thread that still waits for a slow disk is not waited for.
    runtime.shutdown_background();
    done
}

/// The host cannot do its work: the state says so, as far as the disk takes it, and the starter is told.
fn give_up(folder: &Path, error: &HostError, clock: &Clock) {
    let status = table::read_state(folder).ok().flatten();
    if let Some(mut status) = status.filter(|status| !status.state.is_final()) {
        end_state(&mut status, EndReason::Failed, clock);
        status.exit_code = Some(HOST_FAILED_CODE);
        status.error = Some(error.to_string());
        if let Err(error) = write_state(folder, &status, Durability::Cached) {
            tracing::error!(%error, "the state cannot be written");
        }
    }
    tell_failed(error);
}

/// Tells the starter that nothing runs, and why.
fn tell_failed(error: &HostError) {
    tell_starter(format!("{HOST_FAILED}{error}").as_bytes());
}

fn read_spec(path: &Path) -> Result<SessionSpec, HostError> {
    let bytes = crate::store::read_bounded(path, super::STATE_MAX)
        .map_err(|source| HostError::File { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| HostError::Spec { path: path.to_owned(), source })
}

/// Writes the state file.
fn write_state(folder: &Path, status: &SessionStatus, durability: Durability) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(status)?;
    text.push(b'\n');
    write_atomic(&folder.join(files::STATE), &text, durability)
}

/// One line to the starter, which ends its wait.
fn tell_starter(line: &[u8]) {
    // A starter that has gone away learns from the state file.
    let _ = std::io::stdout().write_all(line);
    let _ = std::io::stdout().flush();
    if let Err(error) = pty::close_stdout() {
        tracing::warn!(%error, "stdout stays open");
    }
}

/// Marks the end in the state: everything but what the caller knows about the exit.
fn end_state(status: &mut SessionStatus, reason: EndReason, clock: &Clock) {
    status.state = SessionState::Exited;
    status.reason = Some(reason);
    status.ended_at = Some(clock::millis(clock.now()));
}
