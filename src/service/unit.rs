//! What is to be run, before it is written down in the words of one manager.

use std::path::{Path, PathBuf};

use super::ServiceError;
use crate::config::{Config, ServiceEnv};

/// The hour and minute of the nightly check, as darkmux 1.9 had it.
pub(super) const NIGHTLY: (u8, u8) = (4, 15);

/// Which of darkmux's services it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The daemon.
    Serve,
    /// The check of the audit chain, once a day.
    Integrity,
    /// The hub's Redis.
    Redis,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Serve, Self::Integrity, Self::Redis];

    /// Its short name, for people and for its log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Integrity => "integrity",
            Self::Redis => "redis",
        }
    }

    /// Its name with launchd; the first two are those of darkmux 1.9, which they take the place of.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Serve => "com.darkmux.serve",
            Self::Integrity => "com.darkmux.flow-integrity-check",
            Self::Redis => "com.darkmux.redis",
        }
    }

    /// What the names of its files begin with for systemd.
    pub(super) fn stem(self) -> &'static str {
        match self {
            Self::Serve => "darkmux",
            Self::Integrity => "darkmux-integrity",
            Self::Redis => "darkmux-redis",
        }
    }

    /// What it is, in a line.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Serve => "darkmux: this machine's daemon",
            Self::Integrity => "darkmux: nightly check of the audit chain",
            Self::Redis => "darkmux: the Redis of the fleet",
        }
    }

    /// Whether it runs all the time, and not once a day.
    pub fn is_lasting(self) -> bool {
        self != Self::Integrity
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Which one.
    pub kind: Kind,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// What it gets beside what the manager gives to every service.
    pub env: Vec<(String, String)>,
    /// The file that both its outputs go to.
    pub log: PathBuf,
}

impl Unit {
    /// Refuses what can't be written into a unit.
    pub(super) fn check(&self) -> Result<(), ServiceError> {
        let log = self.log.to_str();
        let texts = self.argv.iter().chain(self.env.iter().map(|(_, value)| value)).map(String::as_str);
        let is_plain = |text: &str| !text.chars().any(char::is_control);
        if log.is_some_and(is_plain) && texts.into_iter().all(is_plain) {
            return Ok(());
        }
        Err(ServiceError::Refused(
            "a path or an argument of the service holds control characters or is not UTF-8; rename it"
                .to_owned(),
        ))
    }
}

/// The daemon of this home, with these further arguments of `serve`.
pub fn serve(config: &Config, program: &Path, env: &ServiceEnv, flags: &[String]) -> Unit {
    let argv = [own(program), "serve".to_owned()].into_iter().chain(flags.iter().cloned()).collect();
    Unit { kind: Kind::Serve, argv, env: env.vars.clone(), log: super::log_file(&config.paths, Kind::Serve) }
}

/// The nightly check of this home's audit chain.
pub fn integrity(config: &Config, program: &Path, env: &ServiceEnv) -> Unit {
    let argv = [&own(program), "flow", "integrity-check"].map(str::to_owned).to_vec();
    let log = super::log_file(&config.paths, Kind::Integrity);
    Unit { kind: Kind::Integrity, argv, env: env.vars.clone(), log }
}

/// The hub's Redis, with its configuration.
pub fn redis(config: &Config, program: &Path, conf: &Path) -> Unit {
    let argv = vec![own(program), own(conf)];
    Unit { kind: Kind::Redis, argv, env: Vec::new(), log: super::log_file(&config.paths, Kind::Redis) }
}

fn own(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
