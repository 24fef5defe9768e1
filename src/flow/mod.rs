//! The event log: where records go and how they are read.
//!
//! A record is a line of the day's file in the flows folder, and with the audit chain on also one of the
//! chain. [`Flow`] is the writing side; several processes write at once.
//!
//! Invariant: an append that returned a [`Position`] survives the death of this process; after `sync` or
//! `append_durable` also a power loss. Not here: a cache of records, or a thread; a writer costs nothing
//! while nothing is written.

pub mod audit;
mod line;
mod sinks;
mod stamp;
mod status;

pub use status::{AuditStatus, DiskStatus, SchemaStatus, SinkInfo, SinksStatus, State, Status, status};

use serde_json::json;

pub mod read;

use crate::config::FlowConfig;
use crate::model::{Category, Day, FlowRecord, Level, Position};
use crate::store::AppendError;
use crate::util::Clock;
use audit::AuditError;
use sinks::Sinks;
use stamp::Stamp;

/// Why a record could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The local file did not take it.
    #[error("the record is not in the flow: {0}")]
    Local(#[from] AppendError),
    /// The local file has it, the audit chain does not.
    #[error("the record is in the flow, but not in the audit chain: {0}")]
    Audit(#[from] AuditError),
    /// It cannot be written as JSON.
    #[error("the record is not in the flow: it cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The writing side: stamps records and hands them to the sinks.
#[derive(Debug)]
pub struct Flow {
    clock: Clock,
    stamp: Stamp,
    sinks: Sinks,
}

impl Flow {
    /// Opens nothing yet; the first record opens the day's file.
    pub fn new(config: FlowConfig, clock: Clock) -> Self {
        let sinks = Sinks::new(&config);
        Self { clock, stamp: Stamp::new(config.provenance), sinks }
    }

    /// Stamps the record (ts, record_id, machine, orchestrator where unset) and appends it to every sink.
    /// Returns the position after it in the day file. The file is that of the day now, whatever `ts` says.
    ///
    /// Every sink is tried; the first one's error is returned. A record that the audit chain did not take
    /// leaves an `audit.write_failed` record in the local file.
    pub fn append(&mut self, mut record: FlowRecord) -> Result<Position, FlowError> {
        let now = self.clock.now();
        let day = Day::of(now);
        self.stamp.fill(&mut record, now);
        let (audit, local) = self.sinks.append(&mut record, day);
        let Err(error) = audit else { return local };
        // The caller learns of the first failure; what becomes of the trace is not worth a second one.
        let mut trace = dropped(record, &error);
        self.stamp.fill(&mut trace, now);
        let _ = self.sinks.append_locally(&mut trace, day);
        Err(error.into())
    }

    /// As [`append`](Self::append); the record is on the disk when it returns. For what must not be lost to a
    /// power cut, such as the end of a session.
    pub fn append_durable(&mut self, record: FlowRecord) -> Result<Position, FlowError> {
        let position = self.append(record)?;
        self.sync()?;
        Ok(position)
    }

    /// Brings what was appended to the disk; free when it is there already. While records come this happens
    /// every second by itself, and once more when the `Flow` is dropped.
    pub fn sync(&mut self) -> Result<(), FlowError> {
        self.sinks.sync()
    }
}

/// What stays of a record that the audit chain did not take.
fn dropped(record: FlowRecord, error: &AuditError) -> FlowRecord {
    let payload = json!({
        "dropped_action": record.action,
        "dropped_session_id": record.session_id,
        "error": error.to_string(),
    });
    FlowRecord {
        level: Level::Error,
        category: Category::Audit,
        action: "audit.write_failed".to_owned(),
        payload: Some(payload),
        record_id: None,
        ..record
    }
}
