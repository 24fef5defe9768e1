//! A session's states and how it ended.

use serde::{Deserialize, Serialize};

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// Its host is being started.
    Starting,
    /// Its process runs.
    Running,
    /// Its process ended and how is known.
    Exited,
    /// Its host died; how the process ended is not known.
    Lost,
}

impl SessionState {
    /// The word in lists and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Lost => "lost",
        }
    }

    /// Whether nothing will follow.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Exited | Self::Lost)
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// The code a shell would report: the process's own, or 128 + signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Whether it is success.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// Why a session's process ended, where it was not by its own doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndReason {
    /// By itself.
    Exited,
    /// Its time limit was reached and it was ended.
    Timeout,
    /// A person or another program asked for it.
    Killed,
    /// It could not be started.
    Failed,
}

impl EndReason {
    /// The word in lists and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Timeout => "timeout",
            Self::Killed => "killed",
            Self::Failed => "failed",
        }
    }
}
