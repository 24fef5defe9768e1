//! What the checks of the fleet stand on: the configured Redis, and who is alive there.

use std::time::Duration;

use super::{Finding, Machine, question};
use crate::fleet::{Presence, PresenceReader, Roster, RosterFile};
use crate::store::Redis;

/// How long Redis may take altogether.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// Machines named in a line.
pub const NAMED: usize = 5;

/// The fleet's Redis; none where it is not set, or not so that it can be used, which is a finding of `config`.
pub fn redis(machine: &Machine) -> Option<Redis> {
    machine.config.redis().ok().flatten().map(|redis| Redis::new(redis.target))
}

/// Who is alive; a pass that says why that is not known otherwise. That Redis does not answer is told once, by its
/// own check.
pub fn alive(machine: &Machine) -> Result<Presence, Finding> {
    let Some(redis) = redis(machine) else { return Err(alone()) };
    let reader = PresenceReader::new(redis);
    match question(PATIENCE, reader.machines()) {
        Ok(Ok(presence)) => Ok(presence),
        Ok(Err(_)) | Err(_) => Err(Finding::pass("not known while Redis does not answer")),
    }
}

/// No Redis is set.
pub fn alone() -> Finding {
    Finding::pass("this machine works alone: no Redis is set (redis.url)")
}

/// The roster; an empty one where it can't be read, which is a finding of `peers`.
pub fn roster(machine: &Machine) -> Roster {
    RosterFile::new(machine.config.fleet_file()).read().unwrap_or_default()
}

/// Some names, and how many more.
pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.collect();
    let more = all.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", all[..all.len().min(NAMED)].join(", "))
}
