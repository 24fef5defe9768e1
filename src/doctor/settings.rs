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
    let finding = format!("{file}, {by_env} by the environment");
    let strangers = machine.config.env().strangers();
    if strangers.is_empty() {
        return Finding::pass(finding);
    }
    let names = strangers.iter().map(|(name, _)| name.as_str());
    let why = "what a variable sets that is misspelt, or of another version, is not set";
    Finding::warn(
        format!("{finding}; unknown: {}", human::count(strangers.len() as u64, "variable")),
        why,
        shell_words::join(std::iter::once("unset").chain(names)),
    )
    .details(strangers.iter().map(stranger).collect())
}

fn stranger((name, near): &(String, Option<String>)) -> String {
    let meant = near.as_ref().map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
    format!("`{name}` is no variable of darkmux{meant}")
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
