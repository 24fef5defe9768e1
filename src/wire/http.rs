//! JSON bodies of the daemon's HTTP surface. Keys are sorted, as in darkmux 1.9.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SessionStatus;

/// What the return key types.
pub const RETURN: &[u8] = b"\r";

/// Header that tells the offset of the first byte of output in the body.
pub const OUTPUT_START: &str = "darkmux-output-start";

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The daemon's version.
    pub darkmux_version: String,
    /// [`crate::model::FLOW_SCHEMA`] of the daemon.
    pub flow_schema_version: String,
    /// Its machine.
    #[serde(default)]
    pub machine_id: Option<String>,
    /// Its machine's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_uid: Option<String>,
    /// Always true.
    #[serde(default)]
    pub ok: bool,
}

/// `GET /flow-days`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowDays {
    /// Newest first.
    pub days: Vec<DayEntry>,
    /// Milliseconds since the Unix epoch.
    pub generated_at_ms: u64,
}

/// One day of the flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayEntry {
    /// Lines that are no record: torn, too long, not UTF-8, not JSON.
    #[serde(default)]
    pub bad: u64,
    /// Size of the day's file, in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// `YYYY-MM-DD`, UTC.
    pub date: String,
    /// Records that start a dispatch.
    pub dispatches: u64,
    /// The fleet's flow has records of this day; those of other machines are not counted here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fleet: bool,
    /// Missions named by the records.
    pub missions: Vec<String>,
    /// Records of the day.
    pub records: u64,
}

/// `GET /sessions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionList {
    /// Milliseconds since the Unix epoch.
    pub generated_at_ms: u64,
    /// Version of this shape.
    pub schema: u32,
    /// Newest first.
    pub sessions: Vec<SessionStatus>,
    /// Those of the peers, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote: Vec<RemoteLine>,
}

/// A session of a peer, as anybody on this machine may see it: not what it was told or says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoteLine {
    /// Its id here: `x@desktop`, `x@dev@server`.
    pub id: String,
    /// The direct peer that it came from.
    pub peer: String,
    /// Whether its program runs, as its owner said.
    pub alive: bool,
    /// The adapter that knows its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The machine it runs on; only darkmux says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// When it was asked for: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Since when its peer is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnected_since: Option<String>,
}

/// `GET /machine/specs`. What is not known is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineSpecs {
    /// Name of the processor.
    pub cpu_brand: Option<String>,
    /// The daemon's version.
    pub darkmux_version: String,
    /// [`crate::model::FLOW_SCHEMA`] of the daemon.
    pub flow_schema_version: String,
    /// Milliseconds since the Unix epoch.
    pub generated_at_ms: u64,
    /// No model endpoint answered within 300 ms.
    pub lms_unreachable: bool,
    /// Identifiers of the models that are loaded.
    pub loaded_models: Vec<String>,
    /// This machine.
    pub machine_id: Option<String>,
    /// Such as `linux x86_64`.
    pub os: String,
    /// Memory a model could still take, in bytes.
    pub ram_free_for_ai_bytes: Option<u64>,
    /// Memory of the machine, in bytes.
    pub ram_total_bytes: Option<u64>,
    /// The Redis URL without its password.
    pub redis_url_redacted: Option<String>,
    /// 1.9's small helper model: `{id, loaded}`.
    pub utility_model: Option<Value>,
}
