//! How the flow is doing: the object of `flow status --json` and `/flow-status`, in the shape of 1.9 with
//! keys of ours added. Reads a line of each file, no records, and writes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::audit::{Head, Memory, glance};
use super::line::WRITER;
use super::shared::RedisStatus;
use super::ship::ShipStatus;
use crate::config::FlowConfig;
use crate::model::{Day, FLOW_SCHEMA};
use crate::store::open_in;

/// Longest header line that is read.
const HEADER_MAX: usize = 4 * 1024;

/// The whole object.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // The names are the format's; the ones that need a word have it.
pub struct Status {
    pub schema_version: &'static str,
    pub sinks: SinksStatus,
    /// Absent for a machine that works alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisStatus>,
    /// Ours; absent for a machine that works alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipper: Option<ShipStatus>,
    pub disk: DiskStatus,
    /// Ours; absent where the audit chain is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditStatus>,
    pub schema: SchemaStatus,
    pub overall_state: State,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warn_reasons: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fail_reasons: Vec<&'static str>,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Records are kept.
    Ok,
    /// Records are kept, something needs a look.
    Warn,
    /// Records are lost.
    Fail,
}

impl State {
    fn of(fail_reasons: &[&str], warn_reasons: &[&str]) -> Self {
        match (fail_reasons.is_empty(), warn_reasons.is_empty()) {
            (false, _) => Self::Fail,
            (true, false) => Self::Warn,
            (true, true) => Self::Ok,
        }
    }

    /// The word in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Where records go.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct SinksStatus {
    pub info: SinkInfo,
    pub active_kinds: Vec<&'static str>,
    /// The sinks as one line, such as `Tee[AuditFile, LocalFile]`.
    pub composition: String,
}

/// One sink.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct SinkInfo {
    pub kind: &'static str,
    pub config: Value,
    pub children: Vec<SinkInfo>,
}

/// The day files.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct DiskStatus {
    pub flows_dir: String,
    pub exists: bool,
    pub day_files: u64,
    pub total_bytes: u64,
    /// Versions in the header lines.
    pub observed_disk_schemas: Vec<String>,
}

/// The end of the audit chain.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct AuditStatus {
    pub dir: String,
    /// Absent while the chain has no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// What is wrong with the end of the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Versions of the records' format.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct SchemaStatus {
    pub writer_version: &'static str,
    pub observed_versions: Vec<String>,
    pub skew_detected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_reason: Option<String>,
}

/// Looks at the flow as it is configured here.
pub fn status(config: &FlowConfig) -> Status {
    let (disk, readable) = disk(&config.dir);
    let audit = config.audit_dir.as_deref().map(|dir| audit(dir, &config.dir));
    let schema = schema(&disk.observed_disk_schemas);
    let mut warn_reasons = Vec::new();
    let mut fail_reasons = Vec::new();
    if !disk.exists {
        warn_reasons.push("flows_dir_absent");
    }
    if schema.skew_detected {
        warn_reasons.push("schema_skew_detected");
    }
    if disk.exists && !readable {
        fail_reasons.push("flows_dir_unreadable");
    }
    if audit.as_ref().is_some_and(|audit| audit.error.is_some()) {
        fail_reasons.push("audit_chain_unusable");
    }
    let overall_state = State::of(&fail_reasons, &warn_reasons);
    let sinks = sinks(config);
    Status {
        schema_version: FLOW_SCHEMA,
        sinks,
        redis: None,
        shipper: None,
        disk,
        audit,
        schema,
        overall_state,
        warn_reasons,
        fail_reasons,
    }
}

impl Status {
    /// With how the fleet's flow is doing.
    #[must_use]
    pub fn with_fleet(mut self, redis: RedisStatus, shipper: ShipStatus) -> Self {
        if !redis.reachable {
            self.warn_reasons.push("redis_unreachable");
        }
        if redis.near_max_len {
            self.warn_reasons.push("redis_stream_near_maxlen");
        }
        if !shipper.running && shipper.lag_bytes > 0 {
            self.warn_reasons.push("records_wait_for_a_daemon");
        }
        if redis.reachable && shipper.error.is_some() {
            self.warn_reasons.push("records_are_not_shipped");
        }
        self.overall_state = State::of(&self.fail_reasons, &self.warn_reasons);
        let config = json!({ "url": redis.url, "stream": redis.stream, "maxlen": redis.max_len });
        let sink = SinkInfo { kind: "Redis", config, children: Vec::new() };
        let mut children = match self.sinks.info.children.len() {
            0 => vec![self.sinks.info],
            _ => self.sinks.info.children,
        };
        children.push(sink);
        self.sinks = tee(children);
        (self.redis, self.shipper) = (Some(redis), Some(shipper));
        self
    }
}

fn tee(children: Vec<SinkInfo>) -> SinksStatus {
    let active_kinds: Vec<_> = children.iter().map(|child| child.kind).collect();
    let composition = format!("Tee[{}]", active_kinds.join(", "));
    SinksStatus { info: SinkInfo { kind: "Tee", config: json!({}), children }, active_kinds, composition }
}

fn sinks(config: &FlowConfig) -> SinksStatus {
    let sync = if config.sync_always { "always" } else { "interval" };
    let sink = |kind, config| SinkInfo { kind, config, children: Vec::new() };
    let local = sink("LocalFile", json!({ "dir": config.dir, "sync": sync }));
    let Some(dir) = &config.audit_dir else {
        let kind = local.kind;
        return SinksStatus { info: local, active_kinds: vec![kind], composition: kind.to_owned() };
    };
    tee(vec![sink("AuditFile", json!({ "dir": dir })), local])
}

/// Looks at the folder; `false` when it is there and can't be listed.
fn disk(dir: &Path) -> (DiskStatus, bool) {
    let mut found = DiskStatus {
        flows_dir: dir.display().to_string(),
        exists: dir.exists(),
        day_files: 0,
        total_bytes: 0,
        observed_disk_schemas: Vec::new(),
    };
    let Ok(entries) = fs::read_dir(dir) else { return (found, false) };
    let mut versions = BTreeSet::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| Day::of_file_name(name).is_some()) else { continue };
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            found.day_files += 1;
            found.total_bytes += meta.len();
            versions.extend(version(dir, name));
        }
    }
    found.observed_disk_schemas = versions.into_iter().collect();
    (found, true)
}

/// The version in a day file's header line.
fn version(dir: &Path, name: &str) -> Option<String> {
    use std::os::unix::fs::FileExt;
    let mut bytes = [0; HEADER_MAX];
    let read = open_in(dir, name).ok()?.read_at(&mut bytes, 0).ok()?;
    let line = &bytes[..memchr::memchr(b'\n', &bytes[..read])?];
    let header: Value = serde_json::from_slice(line).ok()?;
    (header["_type"] == "schema").then(|| header["version"].as_str().map(str::to_owned)).flatten()
}

fn audit(dir: &Path, flows: &Path) -> AuditStatus {
    let (head, error) = match Head::read(dir) {
        Ok(head) => {
            let gone = || Memory::beside(flows).gone(dir).map(|known| known.gone());
            let error = glance(dir, head.as_ref()).or_else(gone);
            (head, error)
        }
        Err(error) => (None, Some(error.to_string())),
    };
    AuditStatus { dir: dir.display().to_string(), head, error }
}

fn schema(observed: &[String]) -> SchemaStatus {
    let others: Vec<_> =
        observed.iter().map(String::as_str).filter(|version| *version != FLOW_SCHEMA).collect();
    let skew_reason = (!others.is_empty()).then(|| {
        format!(
            "day files of version {} beside {FLOW_SCHEMA}, which darkmux {WRITER} writes",
            others.join(", ")
        )
    });
    SchemaStatus {
        writer_version: FLOW_SCHEMA,
        observed_versions: observed.to_vec(),
        skew_detected: !others.is_empty(),
        skew_reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Provenance;
    use crate::model::MachineId;

    fn config(root: &Path, audit: bool) -> FlowConfig {
        FlowConfig {
            dir: root.join("flows"),
            audit_dir: audit.then(|| root.join("audit")),
            sync_always: false,
            provenance: Provenance { machine_id: MachineId::new("studio").unwrap(), orchestrator: None },
        }
    }

    #[test]
    fn the_object_has_the_keys_of_1_9() {
        let root = tempfile::tempdir().unwrap();
        let made = serde_json::to_value(status(&config(root.path(), false))).unwrap();
        let dir = root.path().join("flows");
        let local =
            json!({ "kind": "LocalFile", "config": { "dir": dir, "sync": "interval" }, "children": [] });
        assert_eq!(
            made,
            json!({
                "schema_version": "1.14.0",
                "sinks": { "info": local, "active_kinds": ["LocalFile"], "composition": "LocalFile" },
                "disk": {
                    "flows_dir": dir, "exists": false, "day_files": 0, "total_bytes": 0, "observed_disk_schemas": [],
                },
                "schema": { "writer_version": "1.14.0", "observed_versions": [], "skew_detected": false },
                "overall_state": "warn",
                "warn_reasons": ["flows_dir_absent"],
            })
        );
        assert!(!dir.exists(), "looking makes nothing");
    }

    #[test]
    fn versions_are_read_from_header_lines_and_a_bad_head_is_a_failure() {
        let root = tempfile::tempdir().unwrap();
        let config = config(root.path(), true);
        fs::create_dir_all(&config.dir).unwrap();
        fs::create_dir_all(root.path().join("audit")).unwrap();
        for (name, text) in [
            ("2026-11-20.jsonl", "{\"_type\":\"schema\",\"version\":\"1.14.0\"}\n{}\n"),
            ("2026-11-21.jsonl", "{\"_type\":\"schema\",\"version\":\"1.20.0\"}\n"),
            ("2026-11-22.jsonl", "{\"version\":\"9\"}\n"),
            ("2026-11-23.jsonl", "garbage without an end"),
            ("notes.txt", "x"),
        ] {
            fs::write(config.dir.join(name), text).unwrap();
        }
        let made = status(&config);
        assert_eq!((made.disk.day_files, made.overall_state), (4, State::Warn));
        assert_eq!(made.schema.observed_versions, ["1.14.0", "1.20.0"]);
        assert!(made.schema.skew_reason.unwrap().contains("1.20.0"));
        assert_eq!(made.sinks.composition, "Tee[AuditFile, LocalFile]");
        fs::write(root.path().join("audit/head.json"), "{").unwrap();
        let made = status(&config);
        assert_eq!(
            (made.overall_state, &made.fail_reasons[..]),
            (State::Fail, &["audit_chain_unusable"][..])
        );
    }
}
