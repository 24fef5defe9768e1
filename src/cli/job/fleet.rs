//! What is known of the fleet when a job is published or explained, asked within a bounded time.

use std::time::Duration;

use crate::cli::Cx;
use crate::crew::Crew;
use crate::fleet::{Facts, Member, Presence, PresenceReader, RosterFile, members};
use crate::model::{MachineId, Requirement, RoleId, Runtime};
use crate::work::{Queue, WorkError};

/// How long signs of life may take to read.
const PATIENCE: Duration = Duration::from_millis(800);

/// Most machines that get a head start by `--prefer`.
const FIRST_MAX: usize = 16;

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

/// Whether this machine is alive.
pub fn is_alive(presence: &Presence, machine: &MachineId) -> bool {
    presence.machines.iter().any(|seen| seen.beat.name() == machine.as_str())
}

/// The machines that are alive and meet all of these.
pub fn preferred(presence: &Presence, prefer: &[Requirement]) -> Vec<MachineId> {
    let facts = presence.machines.iter().filter_map(|seen| Facts::of_beat(&seen.beat));
    let meets =
        |facts: &Facts| prefer.iter().all(|requirement| crate::fleet::meets(facts, requirement).is_ok());
    facts.filter(meets).map(|facts| facts.machine_id).take(FIRST_MAX).collect()
}

/// Whether machines must accept this role by name. A role that is unknown here is judged by its runner.
pub fn needs_accept(cx: &Cx, role: &str) -> bool {
    let Ok(config) = cx.config() else { return false };
    let role = RoleId::new(role).ok().and_then(|id| Crew::open(&config.crew()).get(&id).ok());
    role.is_some_and(|role| !matches!(role.manifest.runtime, Runtime::AgentCli | Runtime::Agent))
}
