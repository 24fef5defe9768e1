//! What the user set: the only reader of the environment, of `config.json`, and of where files live.
//!
//! Precedence is flag > environment > file > default, and every value knows where it came from. One table
//! ([`keys::KEYS`]) names every setting; one small struct a concern is what the other layers get.
//!
//! Not here: secrets' contents are never listed; nothing here opens a network connection.

mod concerns;
mod detach_key;
mod endpoints;
mod env_file;
mod environment;
mod file;
mod host;
mod identity;
pub mod keys;
mod machine;
mod paths;
mod sandbox;
mod service;
mod settings;

pub use concerns::{
    AgentConfig, CrewConfig, FlowConfig, ModelsConfig, Provenance, QueueConfig, RedisConfig, RunnerConfig,
    ServeConfig, SessionConfig,
};
pub use detach_key::{DetachKey, detach_keys};
pub use endpoints::{Endpoint, EndpointKind};
pub use environment::{Environment, PREFIX};
pub use file::{ConfigFile, edit};
pub use host::{DiscoveryConfig, HostConfig, HostPeer, TailscaleConfig, TokenSource};
pub use identity::Identity;
pub use machine::{machine_id, with_kept_machine_id};
pub use paths::Paths;
pub use sandbox::SandboxConfig;
pub use service::ServiceEnv;
pub use settings::{Origin, Setting, Settings, key_named, parse};

use std::io::ErrorKind;
use std::path::PathBuf;

/// Everything that can be wrong with the configuration. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither `DARKMUX_HOME` nor `HOME` says where state lives.
    #[error("no home folder: set HOME, or DARKMUX_HOME to the folder darkmux may keep its state in")]
    NoHome,
    /// `DARKMUX_HOME` is relative: it would depend on the current folder.
    #[error("DARKMUX_HOME is `{0}`: it must be an absolute path")]
    RelativeHome(String),
    /// A file could not be read or written.
    #[error("{path}: {action} failed: {source}{}", advice(.action, .source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file is no JSON object.
    #[error("{path}: {reason}; mend the file, or move it away to go on with the defaults")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where known.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{place}: unknown key `{key}`{}; `darkmux config list` names the keys", suggestion(*.near))]
    UnknownKey {
        /// The file, or the command line.
        place: String,
        /// The key as written.
        key: String,
        /// The nearest key that exists.
        near: Option<&'static str>,
    },
    /// A value that its key cannot take.
    #[error("{place}: `{key}` {problem}")]
    BadValue {
        /// The file, the variable or the command line.
        place: String,
        /// The key.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// What reading a file is called in [`ConfigError::Io`]; everything else is writing one.
const READING: &str = "reading it";

/// What to do where darkmux's folder can't be written.
fn advice(action: &str, source: &std::io::Error) -> &'static str {
    match source.kind() {
        _ if action == READING => "",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room on that disk",
        _ => "; set DARKMUX_HOME to a folder that can be written",
    }
}

impl ConfigError {
    /// Whether the user's words are wrong, and not the disk that should have kept something.
    pub fn is_a_mistake(&self) -> bool {
        !matches!(self, Self::Io { action, .. } if *action != READING)
    }
}

fn suggestion(near: Option<&'static str>) -> String {
    near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

/// The configuration of one process: paths and settings, from which each concern's struct is made when it is
/// asked for.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where files live.
    pub paths: Paths,
    /// Every setting with its origin.
    pub settings: Settings,
    env: Environment,
}

impl Config {
    /// Reads `config.json` and joins it with the environment and the command line's `flags` (pairs of key and
    /// text). Reads nothing else and writes nothing.
    pub fn load(env: Environment, flags: &[(&'static str, String)]) -> Result<Self, ConfigError> {
        let paths = Paths::from_env(&env)?;
        let file = ConfigFile::read(&paths.config_file())?;
        let settings = Settings::resolve(&env, &file, flags)?;
        Ok(Self { paths, settings, env })
    }

    /// As [`Self::load`]; where file or environment are wrong, the defaults and what is wrong. Fails only
    /// without a home folder.
    pub fn load_or_defaults(env: Environment) -> Result<(Self, Option<ConfigError>), ConfigError> {
        let error = match Self::load(env.clone(), &[]) {
            Ok(config) => return Ok((config, None)),
            Err(error) => error,
        };
        let paths = Paths::from_env(&env)?;
        let no_file = ConfigFile::default();
        let settings = Settings::resolve(&env, &no_file, &[])
            .or_else(|_| Settings::resolve(&Environment::default(), &no_file, &[]))?;
        Ok((Self { paths, settings, env }, Some(error)))
    }

    /// The environment this configuration was read from.
    pub fn env(&self) -> &Environment {
        &self.env
    }
}
