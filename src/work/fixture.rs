//! A job for unit tests.

use std::collections::BTreeMap;

use crate::model::{JobState, Priority, SessionId};
use crate::util::clock;
use crate::work::JobView;

/// A queued job that nothing happened to yet.
///
/// # Panics
/// When it is no id.
#[allow(clippy::unwrap_used)] // Of tests alone.
pub fn job(id: &str) -> JobView {
    JobView {
        schema: 1,
        id: SessionId::new(id).unwrap(),
        state: JobState::Queued,
        role: Some("coder".to_owned()),
        name: None,
        title: None,
        priority: Priority::Normal,
        target: None,
        machine: None,
        published_by: None,
        attempt: 0,
        attempts: Vec::new(),
        created_ms: 1000,
        created_at: clock::of_unix_ms(1000),
        queued_ms: Some(1000),
        queued_at: Some(clock::of_unix_ms(1000)),
        started_ms: None,
        started_at: None,
        finished_ms: None,
        finished_at: None,
        due_ms: None,
        due_at: None,
        lane: None,
        offered_again_ms: None,
        offered_again_at: None,
        declined: BTreeMap::new(),
        cancel: None,
        why: None,
        parked: None,
        legacy_runner: None,
        result: None,
        spec: None,
    }
}
