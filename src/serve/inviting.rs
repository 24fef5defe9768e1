//! What this daemon offers to a machine that joins, and what it keeps of one that did.

use std::net::SocketAddr;

use axum::http::StatusCode;
use jiff::Timestamp;
use tokio::time::Instant;

use super::auth::NamedTokens;
use super::{ApiError, reach};
use crate::config::Config;
use crate::fleet::join::{Joined, PeerFiles, Took};
use crate::fleet::{AddressError, PROBE_TIME, Peer, PeerAddress, ProbeState, RosterFile, probe};
use crate::model::MachineId;
use crate::store::without_password;
use crate::util::{Secret, clock, visible_line};
use crate::wire::JoinRedis;
use crate::work::FleetKey;

/// What invitations are made from.
#[derive(Debug, Clone)]
pub struct Inviting {
    /// The configuration the daemon runs with.
    pub config: Config,
    /// Where it listens.
    pub listen: SocketAddr,
}

/// The fleet's Redis as it is offered.
pub(super) enum Offered {
    /// There is none.
    Nothing,
    /// It is of no use elsewhere, for this reason.
    Withheld(String),
    /// It is given.
    Given(JoinRedis),
}

/// A machine that asks to be kept.
pub(super) struct Guest {
    /// Its name.
    pub id: MachineId,
    /// Its identity.
    pub uid: String,
    /// Where its daemon listens.
    pub address: Option<PeerAddress>,
    /// The token its daemon takes.
    pub token: Option<Secret>,
}

impl Inviting {
    /// Where another machine reaches this daemon: where the operator says, else where it listens.
    pub(super) fn address(&self, asked: Option<&str>) -> Result<PeerAddress, AddressError> {
        match asked {
            Some(asked) => asked.parse(),
            None => SocketAddr::new(reach::outside(self.listen.ip()), self.listen.port()).to_string().parse(),
        }
    }

    /// The files about other machines.
    pub(super) fn files(&self) -> PeerFiles {
        PeerFiles::new(self.config.paths.peers(), RosterFile::new(self.config.fleet_file()))
    }

    /// The tokens that other machines have.
    pub(super) fn tokens(&self) -> NamedTokens {
        NamedTokens::new(self.config.paths.machine_tokens())
    }

    /// The fleet's key.
    pub(super) fn key(&self) -> Result<Option<FleetKey>, String> {
        FleetKey::read(&self.config.paths.fleet_key())
    }

    /// The fleet's key, made now where there is none, and whether it was.
    pub(super) fn ensure_key(&self) -> Result<bool, String> {
        FleetKey::ensure(&self.config.paths.fleet_key()).map(|(_, made)| made)
    }

    /// The fleet's Redis for a machine that came by this address.
    pub(super) async fn redis(&self, address: &PeerAddress) -> Offered {
        let (Ok(Some(redis)), Some((url, _))) = (self.config.redis(), self.config.redis_url()) else {
            return Offered::Nothing;
        };
        if redis.target.is_near() && !address.is_loopback() {
            return Offered::Withheld(format!(
                "{} is reached from this machine alone: give it an address of your network, and invite again",
                redis.target.shown()
            ));
        }
        let Some(url) = without_password(&url) else {
            return Offered::Withheld("its URL is of a kind that has to be copied by hand".to_owned());
        };
        match redis.target.password().await {
            Ok(password) => {
                let password = password.map(|password| password.expose().to_owned());
                Offered::Given(JoinRedis { url, password, stream: redis.stream })
            }
            Err(error) => Offered::Withheld(error.to_string()),
        }
    }
}

/// Asks the machine back, without a token. `Err` with why it is not put into the roster; in `Ok` what else is to say.
pub(super) async fn ask_back(guest: &Guest, came_by: &PeerAddress) -> Result<Option<String>, String> {
    let Some(address) = &guest.address else {
        return Err("its daemon listens on loopback only, or was not started yet".to_owned());
    };
    if address.is_loopback() && !came_by.is_loopback() {
        return Err(format!("{address} is loopback, which only it reaches"));
    }
    let peer = Peer {
        id: guest.id.clone(),
        address: address.clone(),
        description: None,
        added_unix_ms: 0,
        token_file: None,
    };
    let probed = probe(&peer, false, Instant::now() + PROBE_TIME).await;
    let is_it = probed.state.is_good() && probed.uid.as_ref() == Some(&guest.uid);
    match (&probed.state, probed.state.problem(&peer)) {
        _ if is_it => Ok(None),
        (ProbeState::Answers | ProbeState::OtherMachine(_), _) => {
            Err(format!("at {address} another machine answers"))
        }
        (_, problem) => {
            let problem = problem.map(|problem| visible_line(&problem).into_owned()).unwrap_or_default();
            // Whether loopback means the same there and here nobody knows before it answers.
            if address.is_loopback() { Err(problem) } else { Ok(Some(problem)) }
        }
    }
}

/// Refuses a machine whose name means another one here.
pub(super) fn check_name(files: &PeerFiles, guest: &Guest) -> Result<(), ApiError> {
    let known =
        files.find(&guest.id).map_err(|error| ApiError::internal("reading what is joined", &error))?;
    if known.is_none_or(|known| known.machine_uid == guest.uid) {
        return Ok(());
    }
    let id = &guest.id;
    let message = format!(
        "another machine joined as {id}; give this one its own name (darkmux config set machine_id NAME), or \
         `darkmux fleet leave {id}` there first"
    );
    Err(ApiError::new(StatusCode::CONFLICT, "name_taken", message))
}

/// Keeps a machine and returns the token that it uses here from now on.
pub(super) fn keep(
    files: &PeerFiles,
    tokens: &NamedTokens,
    guest: &Guest,
    in_roster: bool,
    now: Timestamp,
) -> Result<Secret, String> {
    let joined = Joined {
        machine_id: guest.id.clone(),
        machine_uid: guest.uid.clone(),
        address: guest.address.as_ref().filter(|_| in_roster).map(ToString::to_string),
        joined_at: clock::seconds(now),
        took: Took::default(),
    };
    let token = tokens.replace(&guest.id, now).map_err(|error| error.to_string())?;
    files.keep(&joined, guest.token.as_ref(), clock::unix_ms(now)).map_err(|error| error.to_string())?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn inviting(redis: &str) -> Inviting {
        let home = "/nonexistent".to_owned();
        let env = Environment::of([("HOME", home), ("DARKMUX_REDIS_URL", redis.to_owned())]);
        let listen = "100.64.0.1:8765".parse().unwrap();
        Inviting { config: Config::load(env, &[]).unwrap(), listen }
    }

    #[tokio::test]
    async fn a_redis_that_only_this_machine_reaches_is_not_passed_on() {
        let (far, near): (PeerAddress, PeerAddress) =
            ("100.64.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap());
        let own = inviting("redis://127.0.0.1:6379");
        assert!(
            matches!(own.redis(&far).await, Offered::Withheld(why) if why.contains("from this machine alone"))
        );
        assert!(matches!(own.redis(&near).await, Offered::Given(_)));
        let shared = inviting("redis://100.64.0.9:6379");
        assert!(matches!(shared.redis(&far).await, Offered::Given(_)));
    }

    #[tokio::test]
    async fn a_loopback_of_another_machine_is_not_asked() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let guest =
            Guest { id: "laptop".parse().unwrap(), uid: "x".into(), address: Some(address), token: None };
        let why = ask_back(&guest, &"100.64.0.1".parse().unwrap()).await.unwrap_err();
        assert!(why.contains("is loopback, which only it reaches"), "{why}");
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "it was asked");
    }
}
