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
pub const HOST_PROTOCOL: u32 = 2;

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WindowSize {
    /// Columns, at least 1.
    #[schema(minimum = 1)]
    pub cols: u16,
    /// Rows, at least 1.
    #[schema(minimum = 1)]
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
    /// The adapter that knows its program, such as `claude`; `None` is `shell`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The notices by which its agent asks, where it asks in no other way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asking_notices: Vec<AskingNotice>,
}

/// A notice (OSC 9) by which an agent asks. It does not say when it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskingNotice {
    /// How its text begins.
    pub begins: String,
    /// What it is, in a word: the report's label.
    pub label: String,
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

/// What the program of a session says of itself, over `DARKMUX_SOCKET` or by escape sequences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReport {
    /// A few words, such as `thinking`.
    #[serde(default)]
    pub label: String,
    /// Whether it is at work, rather than waiting for somebody.
    #[serde(default)]
    pub working: bool,
    /// Whether it says that something went wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub error: bool,
    /// What it waits for a person to say or to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_you: Option<String>,
    /// Whether a turn ended with this, said by an agent that does not say when it is at work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub turn_ended: bool,
}

/// What a program wants a person to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionNotice {
    /// What it is about; empty for OSC 9.
    #[serde(default)]
    pub title: String,
    /// What it says.
    #[serde(default)]
    pub body: String,
    /// When it said so.
    pub at: String,
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
    /// What only that process has of all that get its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_birth: Option<String>,
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
    /// The adapter that knows its program, such as `claude`; `None` is `shell`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The title that its program gave the terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_title: Option<String>,
    /// The title that its agent gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_title: Option<String>,
    /// The agent's own name for its conversation, by which it can be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session: Option<String>,
    /// Its readable name in URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// What its program says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<SessionReport>,
    /// Whether its agent ended a turn that nobody has looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// The newest notice of its program (OSC 9, OSC 777) that nobody has looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<SessionNotice>,
    /// How often its program was started: 1, and one more for each resume and restart.
    #[serde(default = "first_run")]
    pub runs: u32,
}

fn first_run() -> u32 {
    1
}

impl SessionStatus {
    /// What anybody on this machine may see of it: not what it was told or says, which stands in its titles, its
    /// report, and in its command's arguments.
    #[must_use]
    pub fn without_words(mut self) -> Self {
        self.title = None;
        self.terminal_title = None;
        self.agent_title = None;
        self.agent_session = None;
        self.slug = None;
        self.report = None;
        self.notice = None;
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
            role: spec.role.clone(),
            name: spec.name.clone(),
            title: spec.title.clone(),
            command: spec.argv.clone(),
            cwd: spec.cwd.clone(),
            size: spec.size,
            kind: spec.kind.clone(),
            ..Self::unknown(spec.id.clone(), spec.machine_id.clone(), spec.created_at.clone())
        }
    }

    /// A session of which nothing more is known.
    pub fn unknown(id: SessionId, machine_id: MachineId, created_at: String) -> Self {
        Self {
            schema: SESSION_SCHEMA,
            protocol: HOST_PROTOCOL,
            id,
            role: None,
            name: None,
            title: None,
            state: SessionState::Starting,
            machine_id,
            command: Vec::new(),
            cwd: PathBuf::new(),
            pid: None,
            process_birth: None,
            host_pid: None,
            created_at,
            started_at: None,
            ended_at: None,
            exit: None,
            exit_code: None,
            reason: None,
            error: None,
            size: WindowSize::default(),
            output: OutputRange::default(),
            kind: None,
            terminal_title: None,
            agent_title: None,
            agent_session: None,
            slug: None,
            report: None,
            unread: false,
            notice: None,
            runs: first_run(),
        }
    }
}
