//! Whether the configuration loads.

use super::{Check, Finding, Machine};
use crate::config::{ConfigError, ConfigFile, Origin};
use crate::util::human;

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
    let settings = machine.config.settings.iter();
    let by_env = settings.filter(|setting| matches!(setting.origin, Origin::Env(_))).count();
    let file = machine.config.paths.config_file();
    let in_file = ConfigFile::read(&file).map_or(0, |file| file.values.len());
    let file = match file.try_exists() {
        Ok(true) => format!("{}: {}", file.display(), human::count(in_file as u64, "setting")),
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
