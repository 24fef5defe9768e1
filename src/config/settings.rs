//! Every setting's value and where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::file::{ConfigFile, unknown};
use super::keys::{self, KEYS, Key, Kind};
use super::{ConfigError, Environment, detach_key, endpoints};
use crate::model::MachineId;
use crate::store::RedisTarget;
use crate::util::human;

/// Where a value came from, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// This environment variable.
    Env(&'static str),
    /// `config.json`.
    File,
    /// The table.
    Default,
    /// The machine id that was made from the host name once and is kept beside `config.json`.
    Kept,
    /// Nobody set it and it has no fixed default.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::File => f.write_str("file"),
            Self::Default => f.write_str("default"),
            Self::Kept => f.write_str("machine-id file"),
            Self::Unset => f.write_str("unset"),
        }
    }
}

/// One setting with its value.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its row of the table.
    pub key: &'static Key,
    /// Its value, checked against its kind; null when nobody set it.
    pub value: Value,
    /// Where the value came from.
    pub origin: Origin,
}

impl Setting {
    /// The value as anybody may see it: a URL of Redis without its password.
    pub fn public(&self) -> Value {
        match (self.key.kind, &self.value) {
            (Kind::RedisUrl, Value::String(url)) if !url.is_empty() => {
                RedisTarget::parse(url).map_or(Value::Null, |target| Value::from(target.shown()))
            }
            (_, value) => value.clone(),
        }
    }
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Settings {
    by_name: BTreeMap<&'static str, Setting>,
}

impl Settings {
    /// Joins flags, environment, file and defaults, and checks every value against its kind.
    pub fn resolve(
        env: &Environment,
        file: &ConfigFile,
        flags: &[(&'static str, String)],
    ) -> Result<Self, ConfigError> {
        let mut by_name = BTreeMap::new();
        for key in KEYS {
            by_name.insert(key.name, resolve_one(key, env, file, flags)?);
        }
        Ok(Self { by_name })
    }

    /// All settings, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.by_name.values()
    }

    /// The setting of this name, or the error that names the nearest one.
    pub fn get(&self, name: &str) -> Result<&Setting, ConfigError> {
        self.by_name.get(name).ok_or_else(|| unknown("config".to_owned(), name))
    }

    pub(super) fn keep_machine_id(&mut self, kept: &MachineId) {
        if let Some(setting) = self.by_name.get_mut("machine_id") {
            (setting.value, setting.origin) = (Value::from(kept.as_str()), Origin::Kept);
        }
    }

    fn value(&self, name: &str) -> &Value {
        self.by_name.get(name).map_or(&Value::Null, |setting| &setting.value)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn path(&self, name: &str, env: &Environment) -> Option<PathBuf> {
        let text = self.text(name)?;
        match (text.strip_prefix("~/"), env.home()) {
            (Some(rest), Some(home)) => Some(home.join(rest)),
            _ => Some(PathBuf::from(text)),
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.value(name).as_bool().unwrap_or(false)
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        self.value(name).as_u64().unwrap_or(0)
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let items = self.value(name).as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    pub(super) fn duration(&self, name: &str) -> Duration {
        self.text(name).and_then(|text| human::parse_duration(text).ok()).unwrap_or_default()
    }
}

fn resolve_one(
    key: &'static Key,
    env: &Environment,
    file: &ConfigFile,
    flags: &[(&'static str, String)],
) -> Result<Setting, ConfigError> {
    let setting = |value, origin| Ok(Setting { key, value, origin });
    // Also where something else wins over it: the day that goes, a mistake would come to light.
    let in_file = file.values.get(key.name).filter(|value| !value.is_null());
    let in_file = in_file.map(|value| check(key, value, &file.path.display().to_string())).transpose()?;
    if let Some((_, text)) = flags.iter().rev().find(|(name, _)| *name == key.name) {
        return setting(parse(key, text, "the command line")?, Origin::Flag);
    }
    if let Some((name, text)) = key.env.and_then(|name| Some((name, env.get(name)?))) {
        return setting(parse(key, text, name)?, Origin::Env(name));
    }
    if let Some(value) = in_file {
        return setting(value, Origin::File);
    }
    match key.default {
        Some(text) => setting(parse(key, text, "the default")?, Origin::Default),
        None => setting(Value::Null, Origin::Unset),
    }
}

fn bad(key: &Key, place: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError::BadValue { place: place.to_owned(), key: key.name, problem: problem.into() }
}

/// Reads a value from the text of a flag, a variable or `config set`.
pub fn parse(key: &Key, text: &str, place: &str) -> Result<Value, ConfigError> {
    let value = match key.kind {
        Kind::Flag => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Value::Bool(true),
            "false" | "0" | "no" | "off" => Value::Bool(false),
            _ => return Err(bad(key, place, "takes true or false")),
        },
        Kind::Number(..) => text.parse::<u64>().map_err(|_| bad(key, place, "takes a whole number"))?.into(),
        Kind::Fraction => {
            text.parse::<f64>().map_err(|_| bad(key, place, "takes a number such as 0.15"))?.into()
        }
        Kind::List => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
        }
        Kind::Text | Kind::Path | Kind::MachineId | Kind::Duration | Kind::RedisUrl => Value::from(text),
    };
    check(key, &value, place)
}

/// Checks a value against its key's kind.
fn check(key: &Key, value: &Value, place: &str) -> Result<Value, ConfigError> {
    let problem = match (key.kind, value) {
        (Kind::Text, Value::String(text)) => check_text(key, text),
        (Kind::Path, Value::String(text)) => match text.as_str() {
            path if path.is_empty() || path.starts_with('/') || path.starts_with("~/") => None,
            _ => Some("takes an absolute path, or one that starts with ~/".to_owned()),
        },
        (Kind::Flag, Value::Bool(_)) | (Kind::Fraction, Value::Number(_)) => None,
        (Kind::MachineId, Value::String(text)) => {
            MachineId::new(text.as_str()).err().map(|error| format!("is wrong: {error}"))
        }
        (Kind::Number(low, high), Value::Number(number)) => match number.as_u64() {
            Some(number) if (low..=high).contains(&number) => None,
            _ => Some(format!("takes a whole number from {low} to {high}")),
        },
        (Kind::List, Value::Array(items)) if items.iter().all(Value::is_string) => check_list(key, items),
        (Kind::Duration, Value::String(text)) => check_duration(key, text),
        (Kind::Duration, Value::Number(number)) => {
            return check(key, &Value::from(number.to_string()), place);
        }
        (Kind::RedisUrl, Value::String(text)) if text.is_empty() => None,
        (Kind::RedisUrl, Value::String(text)) => {
            RedisTarget::parse(text).err().map(|error| error.to_string())
        }
        (Kind::Text | Kind::Path | Kind::MachineId | Kind::Duration | Kind::RedisUrl, _) => {
            Some("takes a text".to_owned())
        }
        (Kind::Flag, _) => Some("takes true or false".to_owned()),
        (Kind::Number(..) | Kind::Fraction, _) => Some("takes a number".to_owned()),
        (Kind::List, _) => Some("takes a list of texts".to_owned()),
    };
    match problem {
        None => Ok(value.clone()),
        Some(problem) => Err(bad(key, place, problem)),
    }
}

fn check_list(key: &Key, items: &[Value]) -> Option<String> {
    let mut items = items.iter().filter_map(Value::as_str);
    match key.name {
        "serve.hosts" => items.find(|item| !is_host(item)).map(wrong_host),
        "models.endpoints" => items.find_map(|item| endpoints::named_url(item).err()),
        "models.keys" => items.find_map(|item| endpoints::named_key(item).err()),
        _ => None,
    }
}

fn is_host(item: &str) -> bool {
    !item.is_empty() && item.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

fn wrong_host(item: &str) -> String {
    let item = crate::util::visible_line(item);
    format!("takes names such as `box.example` or `box.example:443`, not `{item}`")
}

/// Longest head start of a machine; `claim.lua` knows it, too.
const HEAD_START_MAX: Duration = Duration::from_secs(5);

fn check_duration(key: &Key, text: &str) -> Option<String> {
    let shortest = match key.name {
        "queue.lease" => Duration::from_millis(500),
        "queue.beat" | "queue.reconcile" => Duration::from_millis(50),
        _ => Duration::ZERO,
    };
    match human::parse_duration(text) {
        // However the clocks are set, claimers wait no longer than that.
        Ok(duration) if key.name == "queue.head_start" && duration > HEAD_START_MAX => {
            Some(format!("is at most {}", human::duration(HEAD_START_MAX)))
        }
        Ok(duration) if duration < shortest => Some(format!("is at least {}", human::duration(shortest))),
        Ok(_) => None,
        Err(error) => Some(error),
    }
}

fn check_text(key: &Key, text: &str) -> Option<String> {
    match key.name {
        "flow.sync" if !matches!(text, "interval" | "always") => {
            Some("takes `interval` or `always`".to_owned())
        }
        "serve.bind" if text.parse::<std::net::IpAddr>().is_err() => Some(
            "takes an IP address, such as 127.0.0.1, ::1 or this machine's address in a tailnet".to_owned(),
        ),
        "session.detach_key" if detach_key::detach_keys(text).is_none() => Some(detach_key::TAKES.to_owned()),
        "serve.require_token" if !matches!(text, "actions" | "all") => {
            Some("takes `actions` or `all`".to_owned())
        }
        "lmstudio_url" | "ollama_url" if !text.starts_with("http://") && !text.starts_with("https://") => {
            Some("takes an http:// or https:// URL".to_owned())
        }
        // A password in it would be shown wherever the setting is.
        "lmstudio_url" | "ollama_url" if text.contains('@') => {
            Some("takes a URL without a user; its key comes by models.keys".to_owned())
        }
        _ => None,
    }
}

/// The table's row for `name`, or the error that names the nearest one.
pub fn key_named(name: &str) -> Result<&'static Key, ConfigError> {
    keys::key(name).ok_or_else(|| unknown("config".to_owned(), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_url_with_a_password_is_refused() {
        for name in ["lmstudio_url", "ollama_url"] {
            let key = keys::key(name).unwrap();
            assert!(check_text(key, "http://u:canary@h:1234").unwrap().contains("models.keys"));
            assert_eq!(check_text(key, "http://h:1234"), None);
        }
    }

    fn file(values: &[(&'static str, Value)]) -> ConfigFile {
        ConfigFile { path: "/h/config.json".into(), values: values.iter().cloned().collect() }
    }

    #[test]
    fn the_stronger_origin_wins() {
        let env = Environment::of([("DARKMUX_SERVE_PORT", "2")]);
        let file = file(&[("serve.port", json!(3)), ("orchestrator", json!("claude-code"))]);
        let flags = [("serve.port", "1".to_owned())];
        let port = |env: &Environment, file: &ConfigFile, flags: &[(&'static str, String)]| {
            let settings = Settings::resolve(env, file, flags).unwrap();
            let setting = settings.get("serve.port").unwrap().clone();
            (setting.value.as_u64().unwrap(), setting.origin)
        };
        let none = Environment::default();
        assert_eq!(port(&env, &file, &flags), (1, Origin::Flag));
        assert_eq!(port(&env, &file, &[]), (2, Origin::Env("DARKMUX_SERVE_PORT")));
        assert_eq!(port(&none, &file, &[]), (3, Origin::File));
        assert_eq!(port(&none, &ConfigFile::default(), &[]), (8765, Origin::Default));
    }

    #[test]
    fn every_default_is_valid() {
        let settings = Settings::resolve(&Environment::default(), &ConfigFile::default(), &[]).unwrap();
        assert_eq!(settings.iter().count(), KEYS.len());
        assert_eq!(settings.list("crew.agents").len(), 6);
        assert_eq!(settings.duration("session.grace"), Duration::from_secs(5));
    }

    #[test]
    fn wrong_values_say_where_and_what() {
        let wrong = |name: &'static str, value: Value| {
            let file = file(&[(name, value)]);
            Settings::resolve(&Environment::default(), &file, &[]).unwrap_err().to_string()
        };
        for (name, value) in [
            ("serve.port", json!(70_000)),
            ("serve.port", json!("x")),
            ("audit.enabled", json!("yes")),
            ("machine_id", json!("Bad Id")),
            ("dirs.flows", json!("relative")),
            ("flow.sync", json!("sometimes")),
            ("crew.agents", json!([1])),
        ] {
            let text = wrong(name, value);
            assert!(text.contains("/h/config.json") && text.contains(name), "{text}");
        }
    }
}
