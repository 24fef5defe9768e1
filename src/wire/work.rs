//! Jobs on the wire: darkmux 1.9's [`WorkJob`], which every entry of the queue carries, and what we say about a
//! job besides ([`JobSpec`]), which stands beside it and never inside.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Workspace, WorkspaceResult};
use crate::model::{EndReason, MachineId, OnLoss, RoleId, SessionId};

/// Version of [`JobSpec`] and of the job documents of our verbs and routes.
pub const JOB_SCHEMA: u32 = 1;

/// The version that entries carry in their field `schema`, that of darkmux 1.9.
pub const WORK_SCHEMA: &str = "3";

/// Longest message of a job, in bytes: 1.9's limit.
pub const JOB_MESSAGE_MAX: usize = 262_144;

/// Longest time limit that 1.9's field can say, in seconds.
pub const WORK_TIMEOUT_MAX: u32 = 3600;

/// Longest path of a folder, in bytes: 1.9's limit.
const WORKDIR_MAX: usize = 4096;

/// A job in the words of darkmux 1.9; the fields stand in its order. Unknown fields are an error, as there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // The names are the format's; the ones that need a word have it.
pub struct WorkJob {
    /// Advisory: which machine it is meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_machine: Option<String>,
    pub role_id: RoleId,
    pub message: String,
    pub session_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sprint_id: Option<String>,
    /// `internal` or `openclaw`: how 1.9 would run it. Our runners go by the role.
    #[serde(default = "internal")]
    pub runtime: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    pub timeout_seconds: u32,
    pub published_at_unix_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_by_machine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_by_orchestrator: Option<String>,
    /// Always 1 in 1.9.
    pub attempt: u32,
}

fn internal() -> String {
    "internal".to_owned()
}

impl WorkJob {
    /// Reads an entry's `record` by 1.9's rules. The error says which rule it breaks.
    pub fn parse(record: &[u8]) -> Result<Self, String> {
        let job: Self = serde_json::from_slice(record).map_err(|error| format!("it is no job: {error}"))?;
        job.check().map(|()| job)
    }

    /// The machine it is meant for, when that is not this one.
    pub fn meant_for_another(&self, here: &MachineId) -> Option<&str> {
        self.target_machine.as_deref().filter(|target| *target != here.as_str())
    }

    fn check(&self) -> Result<(), String> {
        let target = self.target_machine.as_deref().map(MachineId::new).transpose();
        let image = |c: char| c.is_ascii_alphanumeric() || "._/:@-".contains(c);
        if let Err(error) = target {
            Err(format!("target_machine: {error}"))
        } else if self.message.len() > JOB_MESSAGE_MAX {
            Err(format!("its message has more than {JOB_MESSAGE_MAX} bytes"))
        } else if self.message.contains('\0') {
            Err("its message holds a NUL".to_owned())
        } else if self.session_id.is_empty() || self.session_id.len() > 256 {
            Err("its session_id has 1 to 256 bytes".to_owned())
        } else if self.workdir.as_ref().is_some_and(|dir| dir.len() > WORKDIR_MAX) {
            Err(format!("its workdir has more than {WORKDIR_MAX} bytes"))
        } else if !matches!(self.runtime.as_str(), "internal" | "openclaw") {
            Err("its runtime is neither `internal` nor `openclaw`".to_owned())
        } else if !(1..=WORK_TIMEOUT_MAX).contains(&self.timeout_seconds) {
            Err(format!("its timeout_seconds is not 1 to {WORK_TIMEOUT_MAX}"))
        } else if self
            .image
            .as_ref()
            .is_some_and(|name| name.len() > 256 || name.starts_with('-') || !name.chars().all(image))
        {
            Err("its image is no image name".to_owned())
        } else {
            Ok(())
        }
    }
}

/// What we say about a job besides its [`WorkJob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// [`JOB_SCHEMA`].
    pub schema: u32,
    /// The job's id, which is its session's.
    pub id: SessionId,
    /// The name the user gave.
    #[serde(default)]
    pub name: Option<String>,
    /// The lane it is published to.
    pub lane: Lane,
    /// Machines that may claim it before all others, by `--machine` and `--prefer`.
    #[serde(default)]
    pub first: Vec<MachineId>,
    /// What `--prefer` asked for.
    #[serde(default)]
    pub prefer: Vec<String>,
    /// Its time limit, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// How often it is tried again after it failed.
    #[serde(default)]
    pub retries: u32,
    /// What becomes of it when its runner is lost.
    #[serde(default)]
    pub on_loss: OnLoss,
    /// When it may start at the earliest after it was published, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// The caller's key: a second job with it is the first one.
    #[serde(default)]
    pub key: Option<String>,
    /// After this moment (Unix, milliseconds) nobody starts it.
    pub not_after_ms: u64,
    /// The machine that published it.
    #[serde(default)]
    pub published_by: Option<MachineId>,
    /// Set when darkmux 1.9 published it: the session id that its publisher waits for.
    #[serde(default)]
    pub legacy_session: Option<String>,
    /// The repository that it was dispatched from; null for a job that brings none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
}

/// Which runners may run a job, and when: one stream of the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lane {
    /// Who goes first.
    #[serde(default)]
    pub priority: crate::model::Priority,
    /// The one machine that may run it.
    #[serde(default)]
    pub pin: Option<MachineId>,
    /// What a machine must have: `key` or `key=value`, sorted.
    #[serde(default)]
    pub require: Vec<String>,
    /// Runners (consumers) that gave the job back, sorted.
    #[serde(default)]
    pub not: Vec<String>,
}

/// How an attempt ended; what `job show`, `crew dispatch --wait` and the viewer tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResult {
    /// [`JOB_SCHEMA`].
    pub schema: u32,
    /// The machine it ran on.
    pub machine: Option<MachineId>,
    /// Which attempt.
    pub attempt: u32,
    /// The code a shell would report.
    pub exit_code: Option<i32>,
    /// Why it ended.
    pub reason: Option<EndReason>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// When it started, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
    /// How long it ran, in milliseconds.
    pub wall_ms: Option<u64>,
    /// Bytes of output, of which Redis keeps the newest.
    pub output_bytes: u64,
    /// The folder it ran in.
    pub workdir: Option<PathBuf>,
    /// What it made of its workspace; null for a job that brought none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceResult>,
    /// Further facts of the runtime.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED_BY_1_9: &str = r#"{"target_machine":"ghost-box","role_id":"coder","message":"do it","session_id":"crew-dispatch-coder-1795304012268872-0","runtime":"internal","timeout_seconds":1,"published_at_unix_ms":1795304012271,"published_by_machine":"laptop","published_by_orchestrator":"claude-code","attempt":1}"#;

    #[test]
    fn a_job_of_1_9_is_read_and_written_byte_for_byte() {
        let job = WorkJob::parse(PUBLISHED_BY_1_9.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&job).unwrap(), PUBLISHED_BY_1_9);
        let least = r#"{"role_id":"coder","message":"","session_id":"s","timeout_seconds":3600,"published_at_unix_ms":0,"attempt":1}"#;
        assert_eq!(WorkJob::parse(least.as_bytes()).unwrap().runtime, "internal");
    }

    #[test]
    fn what_1_9_refuses_is_refused() {
        for (from, to) in [
            (r#""attempt":1"#, r#""attempt":1,"extra":1"#),
            (r#""timeout_seconds":1"#, r#""timeout_seconds":0"#),
            (r#""timeout_seconds":1"#, r#""timeout_seconds":3601"#),
            ("ghost-box", "Ghost Box"),
            (r#""role_id":"coder""#, r#""role_id":"../x""#),
            (r#""message":"do it","#, ""),
            ("internal", "docker"),
        ] {
            let broken = PUBLISHED_BY_1_9.replacen(from, to, 1);
            assert_ne!(broken, PUBLISHED_BY_1_9);
            assert!(WorkJob::parse(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(WorkJob::parse(b"\xff").is_err());
    }
}
