//! The event log: where records go and how they are read.
//!
//! A record is a line of the day's file in the flows folder, and with the audit chain on also one of the
//! chain. [`Flow`] is the writing side; several processes write at once. [`read`] is the reading side.
//!
//! Invariant: an append that returned a [`Position`] survives the death of this process; after `sync` or
//! `append_durable` also a power loss. Not here: a cache of records, or a thread; a writer costs nothing
//! while nothing is written.

pub mod audit;
mod line;
pub mod read;
pub mod shared;
pub mod ship;
mod sinks;
mod stamp;
mod status;

pub use status::{AuditStatus, DiskStatus, SchemaStatus, SinkInfo, SinksStatus, State, Status, status};

use serde_json::json;

use crate::config::FlowConfig;
use crate::model::{Category, FlowRecord, Level, Position, Stage, Tier};
use crate::store::AppendError;
use crate::util::Clock;
use audit::{AuditError, Head};
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
    /// Returns the position after it in the day file. The file is that of the day of the append, whatever `ts` says; when the
    /// clock was set back over a midnight, that of the later day, so that positions only grow.
    ///
    /// Every sink is tried; the first one's error is returned. A record that the audit chain did not take
    /// leaves an `audit.write_failed` record in the local file.
    pub fn append(&mut self, mut record: FlowRecord) -> Result<Position, FlowError> {
        let now = self.clock.now();
        self.stamp.fill(&mut record, now);
        let (audit, local) = self.sinks.append(&mut record, &self.clock);
        let Err(error) = audit else {
            if let Some(gone) = self.sinks.take_gone() {
                let mut note = restarted(&gone);
                self.stamp.fill(&mut note, now);
                // The chain's next line says that it is not the first chain here.
                let (audit, noted) = self.sinks.append(&mut note, &self.clock);
                audit?;
                noted?;
            }
            return local;
        };
        // The caller learns of the first failure; what becomes of the trace is not worth a second one.
        let mut trace = dropped(record, &error);
        self.stamp.fill(&mut trace, now);
        let _ = self.sinks.append_locally(&mut trace, &self.clock);
        Err(error.into())
    }

    /// As [`append`](Self::append); the record is on the disk when it returns. For what must not be lost to a
    /// power cut, such as the end of a session.
    pub fn append_durable(&mut self, record: FlowRecord) -> Result<Position, FlowError> {
        let position = self.append(record)?;
        self.sync()?;
        Ok(position)
    }

    /// As [`append`](Self::append), for a caller that can't wait; `None` where that would wait for another process, or for
    /// the disk: nothing was appended. Only of a flow that is [synced later](Self::synced_later), and has no audit chain.
    pub fn append_at_once(&mut self, mut record: FlowRecord) -> Option<Result<Position, FlowError>> {
        self.stamp.fill(&mut record, self.clock.now());
        self.sinks.append_at_once(&mut record, &self.clock)
    }

    /// The same for a caller that calls [`Self::sync`] within [`SYNC_INTERVAL`](crate::store::SYNC_INTERVAL) of the
    /// first record: that one does not wait for the disk, and goes there with what follows.
    #[must_use]
    pub fn synced_later(mut self) -> Self {
        self.sinks.sync_later();
        self
    }

    /// Brings what was appended to the disk; free when it is there already. An append does it by itself when
    /// the last time is a second ago, and so does dropping the `Flow`; a process that lives on after a burst
    /// calls it.
    pub fn sync(&mut self) -> Result<(), FlowError> {
        self.sinks.sync()
    }
}

/// Says that nothing was left of the audit chain that ended so when another began.
fn restarted(gone: &Head) -> FlowRecord {
    let class = (Level::Warn, Category::Audit, Tier::Local, Stage::Review);
    let payload = json!({ "first_day": gone.first_day.to_string(), "last_known_day": gone.day.to_string() });
    FlowRecord { payload: Some(payload), ..FlowRecord::new(class, "audit.chain_restarted", "darkmux") }
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::config::Provenance;
    use crate::model::MachineId;

    struct Bed {
        dir: tempfile::TempDir,
        clock: Clock,
        flow: Flow,
    }

    impl Bed {
        fn new(audit: bool) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let clock = Clock::manual("2026-11-21T23:59:59Z".parse().unwrap());
            Self { flow: Self::over(&dir, &clock, audit), dir, clock }
        }

        fn over(dir: &tempfile::TempDir, clock: &Clock, audit: bool) -> Flow {
            let config = FlowConfig {
                dir: dir.path().join("flows"),
                audit_dir: audit.then(|| dir.path().join("audit")),
                sync_always: false,
                provenance: Provenance { machine_id: MachineId::new("studio").unwrap(), orchestrator: None },
            };
            Flow::new(config, clock.clone())
        }

        fn record(handle: &str) -> FlowRecord {
            let class = (Level::Info, Category::Work, Tier::Operator, Stage::Scope);
            FlowRecord { session_id: Some("s1".into()), ..FlowRecord::new(class, "note", handle) }
        }

        fn lines(&self, folder: &str, day: &str) -> Vec<FlowRecord> {
            let path = self.dir.path().join(folder).join(format!("{day}.jsonl"));
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.starts_with(r#"{"_type":"schema","#), "{text}");
            text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    #[test]
    fn the_day_is_that_of_the_clock_and_positions_stand_after_records() {
        let mut bed = Bed::new(true);
        let late = FlowRecord { ts: "2020-01-01T00:00:00Z".into(), ..Bed::record("late") };
        let first = bed.flow.append(late).unwrap();
        let second = bed.flow.append_durable(Bed::record("two")).unwrap();
        assert!(first < second && first.to_string().starts_with("2026-11-21:0000"), "{first} {second}");
        bed.clock.advance(SignedDuration::from_secs(1));
        let third = bed.flow.append(Bed::record("three")).unwrap();
        assert!(third.to_string().starts_with("2026-11-22:"), "{third}");
        for folder in ["flows", "audit"] {
            assert_eq!(bed.lines(folder, "2026-11-21").len(), 2);
            assert_eq!(bed.lines(folder, "2026-11-22")[0].ts, "2026-11-22T00:00:00Z");
        }
        let size = std::fs::metadata(bed.dir.path().join("flows/2026-11-21.jsonl")).unwrap().len();
        assert_eq!(second.offset, size);
    }

    #[test]
    fn a_record_at_once_waits_for_no_process_and_no_disk() {
        let bed = Bed::new(false);
        let over = |audit| Bed::over(&bed.dir, &bed.clock, audit);
        let mut flow = over(false).synced_later();
        let first = flow.append_at_once(Bed::record("one")).unwrap().unwrap();
        let other = std::fs::File::open(bed.dir.path().join("flows/2026-11-21.jsonl")).unwrap();
        other.lock().unwrap();
        assert!(flow.append_at_once(Bed::record("kept out")).is_none());
        other.unlock().unwrap();
        assert!(flow.append_at_once(Bed::record("two")).unwrap().unwrap() > first);
        assert!(over(false).append_at_once(Bed::record("synced")).is_none());
        assert!(over(true).synced_later().append_at_once(Bed::record("chained")).is_none());
        let handles: Vec<_> = bed.lines("flows", "2026-11-21").into_iter().map(|one| one.handle).collect();
        assert_eq!(handles, ["one", "two"]);
    }

    #[test]
    fn positions_only_grow_while_the_clock_steps_over_midnight_and_back() {
        let mut bed = Bed::new(true);
        let mut all = vec![bed.flow.append(Bed::record("0")).unwrap()];
        // Another process; it begins after the step.
        let mut other = None;
        for (n, hours) in [24, -24, -23, 70].into_iter().enumerate() {
            bed.clock.advance(SignedDuration::from_hours(hours));
            all.push(bed.flow.append(Bed::record(&format!("{}", 2 * n + 1))).unwrap());
            let other = other.get_or_insert_with(|| Bed::over(&bed.dir, &bed.clock, true));
            all.push(other.append(Bed::record(&format!("{}", 2 * n + 2))).unwrap());
        }
        assert!(all.is_sorted(), "{all:?}");
        let days = ["2026-11-21", "2026-11-22", "2026-11-23"].map(|day| bed.lines("flows", day).len());
        assert_eq!(days, [1, 6, 2]);
        let mut tail = read::FlowTail::new(
            &bed.dir.path().join("flows"),
            bed.clock.clone(),
            Position { offset: 0, ..all[0] },
        );
        bed.clock.advance(SignedDuration::from_hours(-24));
        for place in &all {
            let read::Next::Record(record) = tail.poll().unwrap() else { panic!("a record") };
            assert_eq!(record.after, *place);
        }
    }

    #[test]
    fn a_record_that_the_chain_does_not_take_is_in_the_local_file_with_a_trace() {
        let mut bed = Bed::new(true);
        bed.flow.append(Bed::record("kept")).unwrap();
        std::fs::write(bed.dir.path().join("audit/head.json"), "{").unwrap();
        let error = bed.flow.append(Bed::record("dropped")).unwrap_err();
        assert!(matches!(error, FlowError::Audit(_)), "{error}");
        let [_, dropped, trace] = &bed.lines("flows", "2026-11-21")[..] else { panic!("three lines") };
        assert_eq!((dropped.action.as_str(), dropped.handle.as_str()), ("note", "dropped"));
        assert_eq!((trace.action.as_str(), trace.level), ("audit.write_failed", Level::Error));
        assert_eq!((trace.category, trace.handle.as_str()), (Category::Audit, "dropped"));
        assert_ne!(trace.record_id, dropped.record_id);
        let payload = trace.payload.as_ref().unwrap();
        assert_eq!(
            (&payload["dropped_action"], &payload["dropped_session_id"]),
            (&json!("note"), &json!("s1"))
        );
        assert!(payload["error"].as_str().unwrap().contains("start a new chain"));
    }

    #[test]
    fn the_chain_has_a_record_that_the_local_file_does_not_take() {
        let mut bed = Bed::new(true);
        std::fs::create_dir_all(bed.dir.path().join("flows/2026-11-21.jsonl")).unwrap();
        assert!(matches!(bed.flow.append(Bed::record("x")), Err(FlowError::Local(_))));
        assert_eq!(bed.lines("audit", "2026-11-21").len(), 1);
    }
}
