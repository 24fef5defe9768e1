//! Joining a machine: what it would change here, and changing it. And leaving it.
//!
//! Invariants: a [`Plan`] changes nothing; every step of [`join`] can be done again, and what it takes over from the other
//! machine is written down before it is taken, so that leaving can take it back.
//!
//! Not here: what is said to the other machine (`client`), what it does (`serve`), and asking the user (`cli`).

mod leaving;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

pub use leaving::{Left, part, would_go};

use crate::client::{self, ClientError, JoinError, Visit};
use crate::config::{Config, ConfigError, edit, key_named};
use crate::fleet::join::{InviteCode, Joined, PeerFiles, Took};
use crate::fleet::{PeerAddress, RosterError, RosterFile};
use crate::model::{IdError, MachineId};
use crate::serve::auth::{NamedTokens, TokenError};
use crate::serve::reach;
use crate::store::{Durability, RedisTarget, ensure_private_dir, without_password, write_atomic};
use crate::util::{Clock, Secret, clock, visible_line};
use crate::wire::{JoinAnswer, JoinAsk, JoinGreeting, JoinRedis};
use crate::work::FleetKey;

/// Why a machine can't join or leave. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JoiningError {
    /// The other machine.
    #[error(transparent)]
    Far(#[from] JoinError),
    /// The roster, or what is kept of a machine.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The tokens that others have.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The other machine's name is none.
    #[error("the other machine's name is of no use: {0}")]
    Name(#[from] IdError),
    /// The daemon of this machine.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// A file of joining.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This machine and the other one don't fit.
    #[error("{0}")]
    Conflict(String),
}

/// What becomes of something that all machines of a fleet share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// The other machine has none to give.
    None,
    /// It is the same on both already.
    Same,
    /// It is taken over.
    Take,
    /// It is taken over in the place of another one.
    Replace,
}

impl Share {
    fn of(here: Option<&str>, there: Option<&str>) -> Self {
        match (here, there) {
            (_, None) => Self::None,
            (None, Some(_)) => Self::Take,
            (Some(here), Some(there)) if here == there => Self::Same,
            (Some(_), Some(_)) => Self::Replace,
        }
    }

    /// Whether it changes something here.
    pub fn changes(self) -> bool {
        matches!(self, Self::Take | Self::Replace)
    }
}

/// What joining would do.
#[derive(Debug)]
pub struct Plan {
    /// The machine that invites.
    pub machine_id: MachineId,
    /// Where it is reached.
    pub address: PeerAddress,
    /// What it said.
    pub greeting: JoinGreeting,
    /// Where it is told to reach this machine, where it can.
    pub own_address: Option<String>,
    /// The fleet's key.
    pub fleet_key: Share,
    /// Redis.
    pub redis: Share,
    /// What came from this machine at an earlier try.
    took: Took,
}

/// Where things are kept.
#[derive(Debug)]
pub struct Places<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// What is kept of other machines.
    pub files: PeerFiles,
    /// The tokens that they have here.
    pub tokens: NamedTokens,
}

impl<'a> Places<'a> {
    /// Those of this home.
    pub fn of(config: &'a Config) -> Self {
        let paths = &config.paths;
        let files = PeerFiles::new(paths.peers(), RosterFile::new(config.fleet_file()));
        Self { config, files, tokens: NamedTokens::new(paths.machine_tokens()) }
    }

    /// An error of a file in the folder of other machines.
    fn failed(&self, source: std::io::Error) -> JoiningError {
        JoiningError::File { path: self.config.paths.peers(), source }
    }
}

impl Plan {
    /// What joining this machine would do; `own` is where the other one reaches this one, where the user says so. Changes
    /// nothing.
    pub fn make(
        places: &Places<'_>,
        code: &InviteCode,
        greeting: JoinGreeting,
        own: Option<&PeerAddress>,
    ) -> Result<Self, JoiningError> {
        let conflict = |words: String| Err(JoiningError::Conflict(words));
        let machine_id = MachineId::new(&greeting.machine_id)?;
        let known = places.files.find(&machine_id).map_err(|error| places.failed(error))?;
        if known.as_ref().is_some_and(|known| known.machine_uid != greeting.machine_uid) {
            let words = format!(
                "this machine is joined with another one called {machine_id}: `darkmux fleet leave {machine_id}` first, or give \
                 one its own name (darkmux config set machine_id NAME)"
            );
            return conflict(words);
        }
        let is_ours = places.files.pending(code.psk().id()).map_err(|error| places.failed(error))?.is_some();
        if let Some(by) = greeting.used_by.as_ref().filter(|_| !is_ours) {
            let by = visible_line(by);
            return conflict(format!(
                "this invitation was used by {by} already; `darkmux fleet invite` on {machine_id} makes another"
            ));
        }
        let key = FleetKey::read(&places.config.paths.fleet_key()).map_err(JoiningError::Conflict)?;
        let key = key.map(|key| key.fingerprint());
        let here = places.config.redis_url().map(|(url, _)| url);
        let (redis, offered) = (here.as_deref().map(server), greeting.redis.as_deref().map(server));
        Ok(Self {
            fleet_key: Share::of(key.as_deref(), greeting.fleet_key.as_deref()),
            redis: Share::of(redis.as_deref(), offered.as_deref()),
            own_address: match own {
                Some(own) => Some(own.to_string()),
                None => own_address(places.config, &code.address)?,
            },
            address: code.address.clone(),
            took: known.map(|known| known.took).unwrap_or_default(),
            machine_id,
            greeting,
        })
    }

    /// What this machine has of its own that the other one's would take the place of.
    pub fn replaced(&self) -> Vec<&'static str> {
        let all = [(self.fleet_key, "the fleet's key"), (self.redis, "the fleet's Redis")];
        all.into_iter().filter(|(share, _)| *share == Share::Replace).map(|(_, what)| what).collect()
    }

    /// Whether the Redis that would come from there is on its loopback: of use on that computer alone.
    pub fn redis_is_near(&self) -> bool {
        let target = self.greeting.redis.as_deref().map(RedisTarget::parse);
        self.redis.changes() && matches!(target, Some(Ok(target)) if target.is_near())
    }

    /// The files that change.
    pub fn changed(&self, places: &Places<'_>) -> Vec<PathBuf> {
        let paths = &places.config.paths;
        let record = paths.peers().join(format!("{}.json", self.machine_id));
        let mut files = vec![places.config.fleet_file(), places.files.token_file(&self.machine_id), record];
        files.extend(self.own_address.is_some().then(|| paths.machine_tokens()));
        files.extend(self.fleet_key.changes().then(|| paths.fleet_key()));
        if self.redis.changes() {
            files.extend([paths.config_file(), paths.redis_password()]);
        }
        files
    }
}

/// Which server a URL names, however it is written, and without a password.
fn server(url: &str) -> String {
    let plain = without_password(url).unwrap_or_else(|| url.to_owned());
    RedisTarget::parse(&plain).map_or(plain, |target| target.shown().to_owned())
}

/// Where another machine reaches the daemon of this one; `None` where it can't.
fn own_address(config: &Config, came_by: &PeerAddress) -> Result<Option<String>, JoiningError> {
    let configured = SocketAddr::new(config.serve().bind, config.serve().port);
    let listen = client::find(&config.paths)?.map_or(configured, |info| info.address());
    let outside = SocketAddr::new(reach::outside(listen.ip()), listen.port());
    // Loopback means the same machine only if both sides say it.
    let is_of_use = listen.port() != 0 && (!outside.ip().is_loopback() || came_by.is_loopback());
    Ok(is_of_use.then(|| outside.to_string()))
}

/// Carries a plan out. What it returns is what the other machine made of it.
pub async fn join(
    places: &Places<'_>,
    plan: &Plan,
    visit: &Visit,
    code: &InviteCode,
    time: &Clock,
) -> Result<JoinAnswer, JoiningError> {
    let pending = places.files.begin(code.psk().id()).map_err(|error| places.failed(error))?;
    let token = Secret::new(pending.token);
    let ask = JoinAsk {
        attempt: pending.attempt,
        address: plan.own_address.clone(),
        token: plan.own_address.is_some().then(|| token.expose().to_owned()),
    };
    let answer = visit.join(&ask).await?;
    if answer.in_roster {
        places.tokens.put(&plan.machine_id, &token, time.now())?;
    } else {
        places.tokens.remove(plan.machine_id.as_str())?;
    }
    keep(places, plan, &answer, time)?;
    places.files.finish().map_err(|error| places.failed(error))?;
    Ok(answer)
}

fn keep(places: &Places<'_>, plan: &Plan, answer: &JoinAnswer, time: &Clock) -> Result<(), JoiningError> {
    let now = time.now();
    let mut took = plan.took.clone();
    if plan.fleet_key.changes() {
        took.fleet_key.clone_from(&plan.greeting.fleet_key);
    }
    let redis = answer.redis.as_ref().filter(|_| plan.redis.changes());
    if let Some(redis) = redis {
        RedisTarget::parse(&redis.url)
            .map_err(|error| JoiningError::Conflict(format!("{}'s Redis {error}", plan.machine_id)))?;
        took.redis = Some(redis.url.clone());
    }
    let joined = Joined {
        machine_id: plan.machine_id.clone(),
        machine_uid: plan.greeting.machine_uid.clone(),
        address: Some(plan.address.to_string()),
        joined_at: clock::seconds(now),
        took,
    };
    places.files.keep(&joined, Some(&Secret::new(answer.token.as_str())), clock::unix_ms(now))?;
    if let (true, Some(key)) = (plan.fleet_key.changes(), &answer.fleet_key) {
        FleetKey::replace(&places.config.paths.fleet_key(), key).map_err(JoiningError::Conflict)?;
    }
    redis.map_or(Ok(()), |redis| keep_redis(places, redis))
}

/// The password into a file of its own, the rest into the settings.
fn keep_redis(places: &Places<'_>, redis: &JoinRedis) -> Result<(), JoiningError> {
    let paths = &places.config.paths;
    let path = paths.redis_password();
    let file = match &redis.password {
        Some(password) => {
            let failed = |source| JoiningError::File { path: path.clone(), source };
            ensure_private_dir(paths.home()).map_err(failed)?;
            write_atomic(&path, format!("{password}\n").as_bytes(), Durability::Synced).map_err(failed)?;
            Some(path.to_string_lossy().into_owned())
        }
        None => None,
    };
    let stream = (redis.stream != "darkmux:flow").then(|| redis.stream.clone());
    // The URL last: with it the machine uses what stands there.
    for (name, value) in
        [("redis.password_file", file), ("redis.stream", stream), ("redis.url", Some(redis.url.clone()))]
    {
        edit(&paths.config_file(), key_named(name)?, value.map(Into::into))?;
    }
    Ok(())
}
