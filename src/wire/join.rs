//! What two machines say to each other when one joins the other. All but [`InviteAsk`] and [`Invited`] travel sealed
//! (`fleet::join`); types that hold secrets have no `Debug`.

use serde::{Deserialize, Serialize};

/// `POST /fleet/invites`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InviteAsk {
    /// Where the other machine reaches this daemon, if not where it listens.
    pub address: Option<String>,
    /// For how long, in seconds.
    pub seconds: Option<u64>,
}

/// An invitation.
#[derive(Serialize, Deserialize)]
pub struct Invited {
    /// The code, with the address in it.
    pub code: String,
    /// The same as a URL.
    pub url: String,
    /// Where it leads.
    pub address: String,
    /// Until when it is good: RFC 3339, UTC.
    pub expires_at: String,
    /// For how many seconds.
    pub seconds: u64,
    /// The machine that invites.
    pub machine_id: String,
    /// Whether the fleet's key was made for it.
    pub made_fleet_key: bool,
    /// The URL of Redis without its password, where it is given to who joins.
    pub redis: Option<String>,
    /// What the one who invites should know.
    pub notes: Vec<String>,
}

/// The first thing the joining machine says.
#[derive(Debug, Serialize, Deserialize)]
pub struct JoinHello {
    /// Its name.
    pub machine_id: String,
    /// Its identity.
    pub machine_uid: String,
    /// Its version.
    pub version: String,
}

/// What the inviting machine answers: what joining would bring, without a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinGreeting {
    /// Its name.
    pub machine_id: String,
    /// Its identity.
    pub machine_uid: String,
    /// Its version.
    pub version: String,
    /// Until when the invitation is good.
    pub expires_at: String,
    /// Which machine used it.
    pub used_by: Option<String>,
    /// The fingerprint of the fleet's key.
    pub fleet_key: Option<String>,
    /// The URL of Redis, without its password.
    pub redis: Option<String>,
    /// Why there is no Redis, where there could be one.
    pub redis_withheld: Option<String>,
}

/// What the joining machine asks for and gives.
#[derive(Serialize, Deserialize)]
pub struct JoinAsk {
    /// A secret of the joining machine by which it can ask again when the answer was lost.
    pub attempt: String,
    /// Where its daemon listens, where others can reach it.
    pub address: Option<String>,
    /// The token that it takes from the inviting machine.
    pub token: Option<String>,
}

/// What the inviting machine gives.
#[derive(Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The token that it takes from the joining machine.
    pub token: String,
    /// The fleet's key.
    pub fleet_key: Option<String>,
    /// The fleet's Redis.
    pub redis: Option<JoinRedis>,
    /// Whether it put the joining machine into its roster.
    pub in_roster: bool,
    /// What came of asking the joining machine back, in words; absent where it answered.
    pub back: Option<String>,
}

/// The fleet's Redis, as it is configured.
#[derive(Serialize, Deserialize)]
pub struct JoinRedis {
    /// The URL, without a password.
    pub url: String,
    /// The password.
    pub password: Option<String>,
    /// The name of the flow's stream.
    pub stream: String,
}
