//! The end of sessions whose host died: a final state and a `dispatch error` record, written by whoever notices
//! first.
//!
//! Invariant: it is written under the session's lease, which a living host holds, so that one notices at a
//! time and nobody overwrites a state that a host is about to write.

use std::io;

use super::records::Records;
use super::{Table, files, table};
use crate::flow::Flow;
use crate::model::SessionState;
use crate::store::{Durability, FileLock, read_private, write_atomic};
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

fn settle_one(
    table: &Table,
    status: &SessionStatus,
    clock: &Clock,
    flow: &impl Fn() -> Option<Flow>,
) -> io::Result<()> {
    let folder = table.folder(&status.id);
    let Ok(_lease) = FileLock::try_take(&folder.join(files::LEASE))? else { return Ok(()) };
    // Whoever held the lease a moment ago may have settled it.
    let Some(now) = table::read_state(&folder)?.filter(|now| !now.state.is_final()) else { return Ok(()) };
    let settled = SessionStatus {
        state: SessionState::Lost,
        ended_at: Some(clock::millis(clock.now())),
        error: status.error.clone(),
        ..now
    };
    let spec = read_private(&folder.join(files::SPEC), super::STATE_MAX)?;
    let spec: Option<SessionSpec> = spec.and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(spec) = spec {
        let mut records = Records::new(flow(), &spec);
        records.failed(settled.error.as_deref().unwrap_or_default());
        records.sync();
    }
    write_atomic(&folder.join(files::STATE), &serde_json::to_vec(&settled)?, Durability::Cached)
}
