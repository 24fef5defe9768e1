//! What `list` and `status` show of a machine without asking it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::links::Links;
use crate::cli::printer::{BAD, WARN};
use crate::cli::{Cx, Failure};
use crate::fleet::{Member, PROBE_TIME, Presence, PresenceReader, ROSTER_VERSION, Roster, RosterFile};
use crate::model::MachineId;
use crate::store::Redis;
use crate::util::{clock, visible_line};
use crate::wire::MachineBeat;

/// Loaded models named in a row.
const MODELS_NAMED: usize = 2;

/// Where the roster is and what it says; entries of no use are told.
pub fn roster(cx: &Cx) -> Result<(RosterFile, Roster), Failure> {
    let file = RosterFile::new(cx.config()?.fleet_file());
    let roster = file.read()?;
    for bad in &roster.bad {
        let (key, reason) = (visible_line(&bad.key), visible_line(&bad.reason));
        cx.printer.note(&format!(
            "{WARN}roster{WARN:#}: the entry `{key}` is of no use: {reason}; `darkmux fleet remove` takes it out"
        ));
    }
    Ok((file, roster))
}

/// Who is alive.
pub enum Alive {
    /// There is no Redis.
    Off,
    /// Redis knows.
    Known(Presence),
    /// Redis does not say, for this reason.
    Unknown(String),
}

impl Alive {
    /// What is known.
    pub fn presence(&self) -> Option<&Presence> {
        match self {
            Self::Known(presence) => Some(presence),
            _ => None,
        }
    }

    /// Says why there is less to see.
    pub fn tell(&self, cx: &Cx) {
        if let Self::Unknown(why) = self {
            let why = visible_line(why);
            cx.printer.note(&format!("{BAD}✗{BAD:#} {why}\n  only the roster is shown"));
        }
    }

    /// For `--json`.
    pub fn as_json(&self) -> Value {
        match self {
            Self::Off => json!({ "configured": false, "error": null, "reachable": false }),
            Self::Known(_) => json!({ "configured": true, "error": null, "reachable": true }),
            Self::Unknown(why) => json!({ "configured": true, "error": why, "reachable": false }),
        }
    }
}

/// Asks Redis, as long as a probe may take.
pub async fn alive(redis: Option<Redis>) -> Alive {
    let Some(redis) = redis else { return Alive::Off };
    let reader = PresenceReader::new(redis);
    match timeout(PROBE_TIME, reader.machines()).await {
        Ok(Ok(presence)) => Alive::Known(presence),
        Ok(Err(fault)) => Alive::Unknown(fault.to_string()),
        Err(_) => Alive::Unknown(format!(
            "Redis at {} does not answer within 1 s; see `darkmux doctor`",
            reader.shown()
        )),
    }
}

/// The fleet's Redis.
pub fn redis(cx: &Cx) -> Result<Option<Redis>, Failure> {
    Ok(cx.config()?.redis()?.map(|redis| Redis::new(redis.target)))
}

/// Tells which names do not mean one machine.
pub fn tell_clashes(cx: &Cx, members: &[Member]) {
    for clash in members.iter().filter_map(Member::clash) {
        let clash = visible_line(&clash);
        cx.printer.note(&format!(
            "{BAD}clash{BAD:#}: {clash}; give each its own: darkmux config set machine_id NAME"
        ));
    }
}

/// Where it listens: the roster's word, else its own.
pub fn address(member: &Member) -> String {
    let own = || member.newest().and_then(|seen| seen.beat.address.clone());
    member.peer.as_ref().map(|peer| peer.address.to_string()).or_else(own).unwrap_or_else(|| "-".to_owned())
}

/// The version without its commit.
pub fn version(text: Option<&str>) -> String {
    text.and_then(|text| text.split(' ').next()).unwrap_or_default().to_owned()
}

/// Jobs that run, of how many at once; `draining` and `no runner` where no more are claimed.
pub fn slots(beat: Option<&MachineBeat>) -> String {
    let Some((slots, runner)) = beat.and_then(|beat| Some((beat.slots?, beat.runner?))) else {
        return String::new();
    };
    match (runner.enabled, runner.draining) {
        (false, _) => "no runner".to_owned(),
        (true, true) => format!("{}/{} draining", slots.busy, slots.total),
        (true, false) => format!("{}/{}", slots.busy, slots.total),
    }
}

/// `3s`, for a column.
pub fn ago(age: Duration) -> String {
    format!("{}s", age.as_secs())
}

/// Some models, and how many more.
pub fn models(names: &[String]) -> String {
    let shown = names.iter().take(MODELS_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(MODELS_NAMED);
    if more > 0 { format!("{shown} +{more}") } else { shown }
}

/// What the operator says of it; of this machine, that it is this one.
pub fn description(member: &Member, local: &str) -> String {
    let said = member.peer.as_ref().and_then(|peer| peer.description.clone());
    said.unwrap_or_else(|| if member.id == local { "this machine".to_owned() } else { String::new() })
}

/// The keys that both `--json` have.
pub fn as_json(member: &Member) -> Value {
    let peer = member.peer.as_ref();
    let beats: Vec<Value> = member
        .seen
        .iter()
        .map(|seen| {
            json!({
                "age_ms": clock::whole_ms(seen.age),
                "beat": seen.beat,
                "skew_ms": seen.skew_ms,
            })
        })
        .collect();
    json!({
        "added_unix_ms": peer.map(|peer| peer.added_unix_ms),
        "address": peer.map(|peer| peer.address.to_string()),
        "clash": member.clash(),
        "description": peer.and_then(|peer| peer.description.clone()),
        "id": member.id,
        "origin": member.origin,
        "presence": beats,
    })
}

/// What `list` and `status` print as JSON.
pub fn document(
    local: &MachineId,
    file: &RosterFile,
    machines: &[Value],
    (alive, links): (&Alive, &Links),
) -> Value {
    json!({
        "local_machine_id": local,
        "machines": machines,
        "peers": links.as_json(),
        "redis": alive.as_json(),
        "roster_path": file.path(),
        "roster_version": ROSTER_VERSION,
        "schema": 1,
    })
}
