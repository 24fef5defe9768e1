//! Signs of life in Redis: JSON of darkmux 1.9 with keys of ours added. 1.9 reads the keys it knows and passes
//! over the others.

use serde::Serialize;

use super::SessionStatus;

/// A machine's sign of life: the value of `darkmux:presence:<machine_uid>`, and an element of
/// `/fleet/machines/live`. Beats of 1.9 have the first four keys alone; what is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MachineBeat {
    /// Identity of the machine.
    pub machine_uid: String,
    /// Its name, as 1.9 spells it.
    pub display_name: String,
    /// The flow format it writes.
    pub schema_version: String,
    /// Its clock when it was written, in milliseconds since the Unix epoch.
    pub beat_ts_ms: u64,
    /// One line about the hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub specs: Option<String>,
    /// Models that are loaded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loaded_models: Vec<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub darkmux_version: Option<String>,
    /// Where others reach its daemon: `host:port`; absent where it listens on loopback only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `macos` or `linux`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Such as `aarch64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u64>,
    /// Memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_total_bytes: Option<u64>,
    /// Memory that could still be used, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_free_bytes: Option<u64>,
    /// Load over the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load1: Option<f64>,
    /// Whose graphics processor it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Whether it runs on mains power.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ac_power: Option<bool>,
    /// How many jobs it runs at once, and how many it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<Slots>,
    /// Whether it claims jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<RunnerBeat>,
    /// Labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Command and shell roles that jobs may run there, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
    /// Roles that can run there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Agent CLIs that are there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// Models that its servers list, loaded or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Repositories in which jobs may run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repos: Vec<String>,
    /// Made anew at each start of its daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// When its daemon started, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at_ms: Option<u64>,
    /// The start of another daemon that writes as the same machine at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twin: Option<String>,
}

impl MachineBeat {
    /// Its name, in whichever key it stands.
    pub fn name(&self) -> &str {
        self.machine_id.as_deref().unwrap_or(&self.display_name)
    }

    /// Its system in one text, such as `macos aarch64`.
    pub fn system(&self) -> Option<String> {
        let os = self.os.as_deref()?;
        Some([Some(os), self.arch.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// Room for jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// Jobs at once.
    pub total: u64,
    /// Jobs that run.
    pub busy: u64,
}

/// Whether a machine claims jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RunnerBeat {
    /// It does.
    pub enabled: bool,
    /// It claims none until it is told to go on.
    pub draining: bool,
}

/// A session's sign of life: the value of `darkmux:session-presence:<session_id>`, and an element of
/// `/fleet/sessions/live`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SessionBeat {
    /// The session.
    pub session_id: String,
    /// Identity of its machine, in beats of 1.9: whose session ends when its beats do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_uid: Option<String>,
    /// Name of its machine.
    pub display_name: String,
    /// Its role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The clock of its machine, in milliseconds since the Unix epoch.
    pub beat_ts_ms: u64,
    /// Identity of its machine, in beats of ours: the daemon writes them, and the session outlives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_uid: Option<String>,
}

impl SessionBeat {
    /// The sign of life of a session whose machine is `owner_uid`, at `now` (Unix milliseconds).
    pub fn of(session: &SessionStatus, owner_uid: String, now: u64) -> Self {
        Self {
            session_id: session.id.to_string(),
            // 1.9 takes the end of beats with a `machine_uid` for the end of the session.
            machine_uid: None,
            display_name: session.machine_id.to_string(),
            role: session.role.clone().map(String::from),
            model: None,
            beat_ts_ms: now,
            owner_uid: Some(owner_uid),
        }
    }
}
