//! The check-up of this machine: one file a check, all behind [`Check`], joined into one [`Report`].
//!
//! Every finding that is no pass says why it matters and which command mends it. Checks run side by side and
//! each within [`LIMIT`], so that a disk or a service that hangs is a finding and not a hanging doctor.
//!
//! Invariant: a check looks and changes nothing; what it writes to see whether it can, it removes.
//! Not here: printing (`cli`), and mending.

mod agents;
mod audit_chain;
mod checks;
mod daemon;
mod disk;
mod duplicates;
mod fleet;
mod flow_sinks;
mod home;
mod identity;
mod kept;
mod links;
mod models;
mod others;
mod peers;
mod power;
mod question;
mod queue;
mod redis_server;
mod report;
mod roles;
mod sandbox;
mod service;
mod sessions;
mod settings;
mod shipper;
mod skew;
mod time;
mod tokens;
mod versions;

pub use checks::{Check, LIMIT, examine};
pub use fleet::Asked;
pub use report::{Finding, Outcome, REPORT_SCHEMA, Report, State};

use question::question;

use crate::config::{Config, ConfigError, Environment};
use crate::util::Clock;

/// What the checks look at.
#[derive(Debug)]
pub struct Machine {
    /// The configuration, or the defaults where it does not load.
    pub config: Config,
    /// What is wrong with the configuration.
    pub config_error: Option<ConfigError>,
    /// Where the time comes from.
    pub clock: Clock,
    /// The version of this binary.
    pub version: &'static str,
}

impl Machine {
    /// The machine as this environment shows it. Fails only when not even a home folder is known.
    pub fn of(env: Environment, clock: Clock) -> Result<Self, ConfigError> {
        let (config, config_error) = Config::load_or_defaults(env)?;
        Ok(Self { config, config_error, clock, version: crate::VERSION })
    }
}
