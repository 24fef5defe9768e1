//! What is known of the fleet when a job is published or explained, asked within a bounded time.

use std::time::Duration;

use super::failure;
use crate::cli::{Cx, Failure};
use crate::crew::Crew;
use crate::fleet::{Member, Presence, PresenceReader, RosterFile, members};
use crate::model::RoleId;
use crate::work::{Queue, WorkError};

/// How long signs of life may take to read.
const PATIENCE: Duration = Duration::from_millis(800);

/// The machines that are alive; `None` when Redis takes too long to say.
pub async fn presence(queue: &Queue) -> Result<Option<Presence>, WorkError> {
    let reader = PresenceReader::new(queue.redis().clone());
    match tokio::time::timeout(PATIENCE, reader.machines()).await {
        Ok(presence) => Ok(Some(presence?)),
        Err(_) => Ok(None),
    }
}

/// The roster and the machines that are alive, as one list. A roster that cannot be read hides nobody.
pub fn all(cx: &Cx, presence: Option<&Presence>) -> Vec<Member> {
    let file = cx.config().map(|config| RosterFile::new(config.fleet_file()));
    let roster = file.ok().and_then(|file| file.read().ok()).unwrap_or_default();
    members(&roster, presence)
}

/// The names of all machines that are known: by the roster, by a sign of life, because they are drained, or because it
/// is this one.
pub async fn known_machines(
    cx: &Cx,
    queue: &Queue,
    presence: Option<&Presence>,
) -> Result<Vec<String>, Failure> {
    let mut known: Vec<String> = all(cx, presence).into_iter().map(|member| member.id).collect();
    known.push(cx.config()?.machine_id()?.to_string());
    // One that is drained may be away for good.
    known.extend(queue.status().await.map_err(|error| failure(&error))?.drained);
    Ok(known)
}

/// Whether machines must accept this role by name. A role that is unknown here is judged by its runner.
pub fn needs_accept(cx: &Cx, role: &str) -> bool {
    let Ok(config) = cx.config() else { return false };
    RoleId::new(role).is_ok_and(|id| crate::fleet::needs_accept(&Crew::open(&config.crew()), &id))
}
