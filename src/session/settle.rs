//! The end of sessions whose host died: a final state and a `dispatch error` record, written by whoever notices
//! first.
//!
//! Invariant: it is written under the session's lease, which a living host holds, so that one notices at a
//! time and nobody overwrites a state that a host is about to write.

use std::io;

use super::records::Records;
use super::{Table, files, table};
use crate::config::FlowConfig;
use crate::flow::Flow;
use crate::model::SessionState;
use crate::store::{Durability, FileLock, read_if_there, write_atomic};
use crate::util::{Clock, clock};
use crate::wire::{SessionSpec, SessionStatus};

/// Settles every lost session that nobody has settled yet. `flow` opens the flow when there is one.
pub fn settle(table: &Table, clock: &Clock, flow: impl Fn() -> Option<Flow>) -> io::Result<()> {
    for status in table.list()?.iter().filter(|status| status.state == SessionState::Lost) {
        if status.ended_at.is_none() {
            settle_one(table, status, clock, &flow)?;
        }
    }
    Ok(())
}

/// What the end of a lost session is noted with.
#[derive(Debug, Clone)]
pub struct Settling {
    /// Where the time comes from.
    pub clock: Clock,
    /// Where the record goes.
    pub flow: Option<FlowConfig>,
}

impl Settling {
    /// Settles the lost session `status`, whose lease the caller holds.
    pub(super) fn settle_held(&self, table: &Table, status: &SessionStatus) -> io::Result<()> {
        let flow = || self.flow.clone().map(|flow| Flow::new(flow, self.clock.clone()));
        settle_held(table, status, &self.clock, &flow)
    }
}

fn settle_one(
    table: &Table,
    status: &SessionStatus,
    clock: &Clock,
    flow: &impl Fn() -> Option<Flow>,
) -> io::Result<()> {
    let folder = table.folder(&status.id);
    let Ok(_lease) = FileLock::try_take(&folder.join(files::LEASE))? else { return Ok(()) };
    settle_held(table, status, clock, flow)
}

fn settle_held(
    table: &Table,
    status: &SessionStatus,
    clock: &Clock,
    flow: &impl Fn() -> Option<Flow>,
) -> io::Result<()> {
    let folder = table.folder(&status.id);
    // Whoever held the lease a moment ago may have settled it.
    let Some(now) = table::read_state(&folder)?.filter(|now| !now.state.is_final()) else { return Ok(()) };
    let settled = SessionStatus {
        state: SessionState::Lost,
        ended_at: Some(clock::millis(clock.now())),
        error: status.error.clone(),
        ..now
    };
    let spec = read_if_there(&folder.join(files::SPEC), super::STATE_MAX)?;
    let spec: Option<SessionSpec> = spec.and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(spec) = spec {
        let mut records = Records::new(flow(), &spec);
        records.failed(settled.error.as_deref().unwrap_or_default());
        records.sync();
    }
    write_atomic(&folder.join(files::STATE), &serde_json::to_vec(&settled)?, Durability::Cached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Provenance;
    use crate::model::{MachineId, SessionId};

    /// The records in the flow of `root` that tell an end.
    fn ends(root: &std::path::Path) -> usize {
        let days = std::fs::read_dir(root.join("flows")).into_iter().flatten().flatten();
        let texts = days.map(|day| std::fs::read_to_string(day.path()).unwrap());
        texts.map(|text| text.matches("dispatch error").count()).sum()
    }

    #[test]
    fn a_lost_session_is_settled_once_and_never_under_a_living_host() {
        let root = tempfile::tempdir().unwrap();
        let table = Table::new(root.path().join("sessions"));
        let id = SessionId::new("shell-0000000000").unwrap();
        let folder = table.folder(&id);
        std::fs::create_dir_all(&folder).unwrap();
        let spec: SessionSpec = serde_json::from_value(serde_json::json!({
            "schema": 1, "id": id, "argv": ["x"], "cwd": "/", "grace_ms": 1, "scrollback_bytes": 1,
            "log_bytes": 1, "size": { "cols": 80, "rows": 24 }, "machine_id": "m",
            "created_at": "2026-01-01T00:00:00.000Z",
            "dispatch": { "runtime": "shell", "prompt_chars": 1, "system_chars": 0 },
        }))
        .unwrap();
        std::fs::write(folder.join(files::SPEC), serde_json::to_vec(&spec).unwrap()).unwrap();
        let state = serde_json::to_vec(&SessionStatus::starting(&spec)).unwrap();
        std::fs::write(folder.join(files::STATE), state).unwrap();
        let config = FlowConfig {
            dir: root.path().join("flows"),
            audit_dir: None,
            sync_always: false,
            provenance: Provenance { machine_id: MachineId::new("m").unwrap(), orchestrator: None },
        };
        let flow = || Some(Flow::new(config.clone(), Clock::System));
        // As two processes see it that look at the same time.
        let seen = table.get(&id).unwrap().unwrap();
        assert_eq!(seen.state, SessionState::Lost);

        let lease = FileLock::try_take(&folder.join(files::LEASE)).unwrap().unwrap();
        settle_one(&table, &seen, &Clock::System, &flow).unwrap();
        assert_eq!(ends(root.path()), 0, "its host lives");
        drop(lease);
        for _ in 0..2 {
            settle_one(&table, &seen, &Clock::System, &flow).unwrap();
        }
        assert_eq!(ends(root.path()), 1);
        assert!(table.get(&id).unwrap().unwrap().ended_at.is_some());
    }
}
