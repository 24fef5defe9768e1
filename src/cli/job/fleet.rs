//! What is known of the fleet when a job is published or explained, asked within a bounded time.

use std::time::Duration;

use crate::cli::Cx;
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

/// Whether machines must accept this role by name. A role that is unknown here is judged by its runner.
pub fn needs_accept(cx: &Cx, role: &str) -> bool {
    let Ok(config) = cx.config() else { return false };
    RoleId::new(role).is_ok_and(|id| crate::fleet::needs_accept(&Crew::open(&config.crew()), &id))
}
