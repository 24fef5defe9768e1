//! What every verb gets: the environment, the printer, and the configuration once somebody asks for it.

use std::cell::OnceCell;

use super::printer::{Color, Printer};
use crate::config::{Config, ConfigError, Environment};
use crate::util::Clock;

/// The context of one run of the command line.
pub struct Cx {
    /// The process environment.
    pub env: Environment,
    /// The only way to stdout and stderr.
    pub printer: Printer,
    /// Where the time comes from.
    pub clock: Clock,
    config: OnceCell<Config>,
}

impl Cx {
    /// A context for this environment.
    pub fn new(env: Environment, color: Color) -> Self {
        Self::with_printer(env, Printer::new(color))
    }

    /// A context for this environment that prints in this way.
    pub fn with_printer(env: Environment, printer: Printer) -> Self {
        Self { env, printer, clock: Clock::System, config: OnceCell::new() }
    }

    /// The configuration, read at the first call.
    pub fn config(&self) -> Result<&Config, ConfigError> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = self.config_with(&[])?;
        Ok(self.config.get_or_init(|| config))
    }

    /// The configuration with values from the command line on top.
    pub fn config_with(&self, flags: &[(&'static str, String)]) -> Result<Config, ConfigError> {
        Config::load(self.env.clone(), flags)
    }
}
