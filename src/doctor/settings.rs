//! Whether the configuration loads.

use super::{Check, Finding, Machine};
use crate::config::{ConfigError, Origin};

/// `config.json` and the variables.
pub struct Config;

impl Check for Config {
    fn name(&self) -> &'static str {
        "config"
    }

    fn run(&self, machine: &Machine) -> Finding {
        match &machine.config_error {
            None => loaded(machine),
            Some(error) => {
                let why = "no other command works until it is mended; the checks below use the defaults";
                Finding::fail(error.to_string(), why, fix(machine, error))
            }
        }
    }
}

fn loaded(machine: &Machine) -> Finding {
    let set = |of: fn(Origin) -> bool| machine.config.settings.iter().filter(|one| of(one.origin)).count();
    let in_file = set(|origin| origin == Origin::File);
    let by_env = set(|origin| matches!(origin, Origin::Env(_)));
    let file = machine.config.paths.config_file();
    let file = match file.try_exists() {
        Ok(true) => format!("{}: {in_file} settings", file.display()),
        _ => "no config.json".to_owned(),
    };
    Finding::pass(format!("{file}, {by_env} by the environment"))
}

fn fix(machine: &Machine, error: &ConfigError) -> String {
    let file = machine.config.paths.config_file();
    match error {
        ConfigError::UnknownKey { near: Some(near), key, .. } => {
            format!("in {}, write `{near}` for `{key}`", file.display())
        }
        ConfigError::BadValue { place, key, .. } if !place.contains('/') => {
            format!("unset {place}, or give it a value that `{key}` takes")
        }
        ConfigError::BadValue { key, .. } => format!("darkmux config set {key} VALUE"),
        ConfigError::Io { path, .. } => format!("ls -ld '{}'", path.display()),
        _ => format!("edit {}, or move it away: mv '{0}' '{0}.old'", file.display()),
    }
}
