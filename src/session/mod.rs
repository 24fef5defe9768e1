//! Sessions: durable terminals. A small host process owns each session's terminal and outlives whoever
//! started it; everybody else is its client, or reads what it left on disk.
//!
//! Invariants: only the host writes in a session's folder after its start, and it holds the folder's lease
//! while it lives; a state file is complete; output is addressed by offsets from the session's first byte,
//! which stay true for ever.
//!
//! Not here: what a role is, and who may see a session.

mod agent_side;
mod attachment;
mod choose;
mod client;
mod duplex;
mod handing;
mod host;
mod host_events;
mod id;
mod last_screen;
pub mod life;
pub mod live;
mod log;
mod name;
mod output;
mod records;
mod rename;
mod result;
mod screen;
mod settle;
mod spare;
mod spawn;
mod table;
pub mod terminal;
mod text;
mod title;

pub use agent_side::AgentSide;
pub use attachment::{Attachment, Event, Events, Input};
pub use choose::{Fits, few};
pub use client::{HostClient, OldHost, ScreenAttach, ScreenFormat};
pub use handing::Handed;
pub use host::{HostError, SpareError, run as run_host, run_spare};
pub use host_events::{HostEvent, HostEvents};
pub use id::{GMUX, new_id, new_session_id, session_id_of};
pub use last_screen::{drawn_row, drawn_rows, last_output, last_rows, last_screen};
pub use log::{LogReader, LogWriter};
pub use name::{NameError, check_free_name, hold_name, parse_name};
pub use rename::{first_spec_in, rename, spec_in};
pub use result::{agent_result, task_message};
pub use screen::{Screen, View};
pub use settle::{Settling, settle};
pub use spare::Spares;
pub use spawn::{Command, StartError, start, start_again};
pub use table::{FindError, Table};
pub use text::TextFinder;
pub use title::{AGENT, Activity, kind, question, title, what};

use std::path::{Path, PathBuf};

use crate::store::SocketKey;

/// Names of the files in a session's folder (0700).
pub mod files {
    /// What the session was asked to be.
    pub const SPEC: &str = "spec.json";
    /// What it was asked to be first, once it was run again.
    pub const FIRST_SPEC: &str = "first.json";
    /// What the session is; written by its host.
    pub const STATE: &str = "state.json";
    /// Locked by the host while it lives.
    pub const LEASE: &str = "lease";
    /// Locked by who runs the session again, until its host is there.
    pub const AGAIN: &str = "again";
    /// The host's own log.
    pub const HOST_LOG: &str = "host.log";
    /// There when the session is to be removed, and is not yet.
    pub const DISMISSED: &str = "dismissed";
    /// There when nobody waits for its host any longer, which had not come: it does nothing if it does come.
    pub const GIVEN_UP: &str = "given-up";
    /// Files that were pasted into the session.
    pub const CLIPBOARD: &str = "clipboard";
    /// Segments of the output.
    pub const OUTPUT: &str = "output";
    /// The host's socket.
    pub const SOCKET: &str = "host.sock";
}

/// What a host tells its starter once its process runs.
const STARTED: &str = "ok";

/// What begins a host's word to its starter about a failure of its own, not of the process.
const HOST_FAILED: char = '!';

/// Largest state or spec file read, in bytes. A message may stand in a command line.
const STATE_MAX: u64 = 4 * 1024 * 1024;

/// What opens the socket of the host of the session in `folder`: a key beside the folder of all sessions, as the daemon
/// has it.
fn socket_key(folder: &Path) -> SocketKey {
    let home = folder.ancestors().nth(2).unwrap_or(Path::new("/"));
    SocketKey::new(home.join("socket-key"))
}

/// Where a session's host listens: in its folder, or, where that path is too long for a socket, in a private
/// folder below the system's temporary one, under a name made from the folder's.
pub fn socket_path(folder: &Path) -> PathBuf {
    crate::store::socket_path(folder.join(files::SOCKET), folder)
}
