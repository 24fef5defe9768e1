//! Leaving a machine: taking back what joining did, on both sides as far as the other one answers.
//!
//! Invariants: what is kept of the machine goes last, so that leaving can be done again; what other joined machines
//! still share stays.

use super::{JoiningError, Places};
use crate::client::leave;
use crate::config::{ConfigFile, edit, key_named};
use crate::fleet::join::{Joined, Took};
use crate::fleet::{PeerAddress, read_token};
use crate::util::Secret;
use crate::work::FleetKey;

/// What leaving came to.
#[derive(Debug)]
pub struct Left {
    /// What was taken back here, in words.
    pub undone: Vec<String>,
    /// What was not, and what to do.
    pub kept: Vec<String>,
    /// Whether the other machine took it back on its side.
    pub told: bool,
}

/// Leaves a machine.
pub async fn part(places: &Places<'_>, joined: &Joined) -> Result<Left, JoiningError> {
    let id = &joined.machine_id;
    let mut left = Left { undone: Vec::new(), kept: Vec::new(), told: false };
    let here = places.config.machine_id()?;
    match tell(places, joined).await {
        Ok(()) => left.told = true,
        Err(why) => {
            left.kept.push(format!("{id} was not told: {why}; on {id}: darkmux fleet leave {here}"));
        }
    }
    if places.tokens.remove(id.as_str())? {
        left.undone.push(format!("the token of {id}"));
    }
    let others: Vec<Joined> = places.files.all().map_err(|error| places.failed(error))?;
    let heir = others.into_iter().find(|other| other.machine_id != *id);
    match heir {
        Some(heir) => inherit(places, joined, heir, &mut left)?,
        None => give_back(places, &joined.took, &mut left)?,
    }
    places.files.forget(id)?;
    left.undone.push(format!("what was kept of {id}"));
    Ok(left)
}

/// What leaving these machines would take away, in words; `is_last` when this one is joined with no others. Changes
/// nothing.
pub fn would_go(leaving: &[Joined], is_last: bool) -> Vec<String> {
    let mut goes: Vec<String> = leaving
        .iter()
        .map(|joined| {
            let id = &joined.machine_id;
            format!("the tokens of this machine and {id} for each other, and what each has of the other in its roster")
        })
        .collect();
    let took = |what: fn(&Took) -> &Option<String>| leaving.iter().any(|joined| what(&joined.took).is_some());
    for (took, what) in
        [(took(|took| &took.fleet_key), "the fleet's key"), (took(|took| &took.redis), "the fleet's Redis")]
    {
        if took {
            let who = if is_last {
                ", which came by joining"
            } else {
                " stays: another joined machine has it, too"
            };
            goes.push(format!("{what}{who}"));
        }
    }
    goes
}

/// Tells the other machine, if there is a way.
async fn tell(places: &Places<'_>, joined: &Joined) -> Result<(), String> {
    let address = joined.address.as_deref().ok_or("it can't be reached from here")?;
    let address: PeerAddress = address.parse().map_err(|error| format!("{error}"))?;
    let token: Secret =
        read_token(&places.files.token_file(&joined.machine_id)).map_err(|error| error.to_string())?;
    match leave(&address, &token).await {
        Err(error) if !error.is_unknown() => Err(error.to_string()),
        // It knows nothing of this machine any more.
        _ => Ok(()),
    }
}

/// What came from this machine is shared with another one, and goes when that is left.
fn inherit(
    places: &Places<'_>,
    joined: &Joined,
    mut heir: Joined,
    left: &mut Left,
) -> Result<(), JoiningError> {
    let Took { fleet_key, redis } = &joined.took;
    if fleet_key.is_none() && redis.is_none() {
        return Ok(());
    }
    heir.took.fleet_key = heir.took.fleet_key.or_else(|| fleet_key.clone());
    heir.took.redis = heir.took.redis.or_else(|| redis.clone());
    places.files.note(&heir)?;
    left.kept.push(format!("the fleet's key and Redis, which {} has, too", heir.machine_id));
    Ok(())
}

/// Takes the fleet's key and Redis away, if they are still those that came by joining.
fn give_back(places: &Places<'_>, took: &Took, left: &mut Left) -> Result<(), JoiningError> {
    let paths = &places.config.paths;
    let gone = |path: std::path::PathBuf| match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(JoiningError::File { path, source })
        }
        _ => Ok(()),
    };
    if took.fleet_key.is_some() {
        let key = FleetKey::read(&paths.fleet_key()).map_err(JoiningError::Conflict)?;
        if key.map(|key| key.fingerprint()) == took.fleet_key {
            gone(paths.fleet_key())?;
            left.undone.push("the fleet's key".to_owned());
        } else {
            left.kept.push("the fleet's key, which is not the one that came by joining".to_owned());
        }
    }
    let Some(url) = &took.redis else { return Ok(()) };
    let file = ConfigFile::read(&paths.config_file())?;
    let text = |name: &str| file.values.get(name).and_then(|value| value.as_str());
    if text("redis.url") != Some(url) {
        left.kept.push("redis.url, which is not the one that came by joining".to_owned());
        return Ok(());
    }
    let password = paths.redis_password();
    let own_password = text("redis.password_file") == password.to_str();
    edit(&paths.config_file(), key_named("redis.stream")?, None)?;
    if own_password {
        edit(&paths.config_file(), key_named("redis.password_file")?, None)?;
    }
    // Also where it was interrupted between the two.
    if own_password || text("redis.password_file").is_none() {
        gone(password)?;
    }
    // Last: while it stands, the same command again ends what was begun.
    edit(&paths.config_file(), key_named("redis.url")?, None)?;
    left.undone.push("the fleet's Redis".to_owned());
    Ok(())
}
