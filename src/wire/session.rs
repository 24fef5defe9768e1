//! What a session is asked to be (`spec.json`) and what it is (`state.json`, the host's `/v1/status`,
//! `session ls --json`, the daemon's `/sessions`).

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{EndReason, ExitStatus, MachineId, RoleId, SessionId, SessionState};

/// Version of [`SessionSpec`] and [`SessionStatus`].
pub const SESSION_SCHEMA: u32 = 1;

/// Version of the protocol between a session host and its clients. A client speaks to hosts of this version
/// and of the two before it.
pub const HOST_PROTOCOL: u32 = 1;

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Columns, at least 1.
    pub cols: u16,
    /// Rows, at least 1.
    pub rows: u16,
}

impl Default for WindowSize {
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

/// What a session host is asked to run. The environment is not in it: the host inherits it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// [`SESSION_SCHEMA`].
    pub schema: u32,
    /// The session's id.
    pub id: SessionId,
    /// The role it runs, when it is a job.
    pub role: Option<RoleId>,
    /// The name the user gave.
    pub name: Option<String>,
    /// One line about what it does: the beginning of a job's message.
    pub title: Option<String>,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Folder to run in.
    pub cwd: PathBuf,
    /// File in the session's folder that is fed to the process before anything else.
    pub stdin_file: Option<PathBuf>,
    /// Time limit, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Time between the polite signals and KILL, in milliseconds.
    pub grace_ms: u64,
    /// Output kept in memory, in bytes.
    pub scrollback_bytes: usize,
    /// Output kept on disk, in bytes.
    pub log_bytes: u64,
    /// First size of the terminal.
    pub size: WindowSize,
    /// The machine it runs on.
    pub machine_id: MachineId,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Variables that the process gets besides the host's environment.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// What its flow records say besides; `None` writes no records.
    pub dispatch: Option<DispatchFacts>,
}

/// What the records of a dispatch say besides the session's own facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatchFacts {
    /// `shell`, `command`, or the agent CLI that runs the role.
    pub runtime: String,
    /// Characters of the message.
    pub prompt_chars: u64,
    /// Characters of the role's prompt.
    pub system_chars: u64,
    /// The job of the queue that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_id: Option<String>,
    /// Which attempt at that job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// Offsets of the output that is still held, counted in bytes from the session's first output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRange {
    /// Oldest byte that is held, in memory or on disk.
    pub start: u64,
    /// After the newest byte.
    pub end: u64,
}

/// What a session is. Times are RFC 3339, UTC, with milliseconds; what is not known is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// [`SESSION_SCHEMA`].
    pub schema: u32,
    /// [`HOST_PROTOCOL`] of the host.
    pub protocol: u32,
    /// The session's id.
    pub id: SessionId,
    /// The role it runs, when it is a job.
    pub role: Option<RoleId>,
    /// The name the user gave.
    pub name: Option<String>,
    /// One line about what it does: the beginning of a job's message.
    #[serde(default)]
    pub title: Option<String>,
    /// Where it is in its life.
    pub state: SessionState,
    /// The machine it runs on.
    pub machine_id: MachineId,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Folder it was started in.
    pub cwd: PathBuf,
    /// Its process, which is also its process group and its kernel session.
    pub pid: Option<u32>,
    /// The process that owns its terminal.
    pub host_pid: Option<u32>,
    /// When it was asked for.
    pub created_at: String,
    /// When its process started.
    pub started_at: Option<String>,
    /// When its process ended.
    pub ended_at: Option<String>,
    /// How its process ended.
    pub exit: Option<ExitStatus>,
    /// The code a shell would report: the process's own, or 128 + signal; 124 after a time limit.
    pub exit_code: Option<i32>,
    /// Why it ended.
    pub reason: Option<EndReason>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// Size of the terminal.
    pub size: WindowSize,
    /// The output that is held.
    pub output: OutputRange,
}

impl SessionStatus {
    /// What anybody on this machine may see of it: not what it was told, which stands in its title and in its
    /// command's arguments.
    #[must_use]
    pub fn without_words(mut self) -> Self {
        self.title = None;
        self.command.truncate(1);
        self
    }

    /// How long its process ran, by the machine's clock; `None` while that is not known.
    pub fn ran(&self) -> Option<SignedDuration> {
        let moment = |text: &Option<String>| text.as_ref()?.parse::<Timestamp>().ok();
        Some(moment(&self.ended_at)?.duration_since(moment(&self.started_at)?))
    }

    /// The state of a session that is about to be started.
    pub fn starting(spec: &SessionSpec) -> Self {
        Self {
            schema: SESSION_SCHEMA,
            protocol: HOST_PROTOCOL,
            id: spec.id.clone(),
            role: spec.role.clone(),
            name: spec.name.clone(),
            title: spec.title.clone(),
            state: SessionState::Starting,
            machine_id: spec.machine_id.clone(),
            command: spec.argv.clone(),
            cwd: spec.cwd.clone(),
            pid: None,
            host_pid: None,
            created_at: spec.created_at.clone(),
            started_at: None,
            ended_at: None,
            exit: None,
            exit_code: None,
            reason: None,
            error: None,
            size: spec.size,
            output: OutputRange::default(),
        }
    }
}
