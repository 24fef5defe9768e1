//! The process environment, read once and passed on as a value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::keys::KEYS;
use crate::util::{closest, visible_line};

/// Variables that carry secrets of darkmux; no child process gets them.
pub(super) const SECRETS: &[&str] = &["DARKMUX_REDIS_URL", "DARKMUX_SERVE_TOKEN"];

/// What darkmux's own variables begin with.
pub const PREFIX: &str = concat!("DARKMUX", "_");

/// Variables of darkmux that are no settings: what else it reads, and what it gives to the process of a session.
const NO_SETTINGS: &[&str] = &[
    "DARKMUX_ATTEMPT",
    "DARKMUX_ATTEMPT_TOKEN",
    "DARKMUX_HOME",
    "DARKMUX_JOB_ID",
    "DARKMUX_LOG",
    "DARKMUX_LOG_FORMAT",
    "DARKMUX_PIE",
    "DARKMUX_SERVE_TOKEN",
    "DARKMUX_SESSION_ID",
    "DARKMUX_SOCKET",
];

/// A snapshot of environment variables.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    vars: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// The environment of this process.
    #[allow(clippy::disallowed_methods)] // The one place that reads it.
    pub fn of_process() -> Self {
        Self { vars: std::env::vars_os().collect() }
    }

    /// An environment of exactly these variables.
    pub fn of<K: Into<OsString>, V: Into<OsString>>(vars: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { vars: vars.into_iter().map(|(key, value)| (key.into(), value.into())).collect() }
    }

    /// The same with this variable set.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.vars.insert(name.into(), value.into());
        self
    }

    /// A variable as text without surrounding blanks; blank or not UTF-8 counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        let text = self.raw(name)?.to_str()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// A variable exactly as it is.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The user's home folder.
    pub fn home(&self) -> Option<PathBuf> {
        self.raw("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }

    /// The folders of `PATH` in order, each once.
    pub fn path_dirs(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        for dir in self.raw("PATH").into_iter().flat_map(std::env::split_paths) {
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        dirs
    }

    /// Variables that are named as darkmux's are and that it does not know, each with the one that may be meant.
    pub fn strangers(&self) -> Vec<(String, Option<String>)> {
        let known = || {
            let all = KEYS.iter().filter_map(|key| key.env).chain(NO_SETTINGS.iter().copied());
            all.filter_map(|name| name.strip_prefix(PREFIX))
        };
        let names = self.vars.keys().map(|name| name.to_string_lossy());
        let rests = names.filter_map(|name| Some(name.strip_prefix(PREFIX)?.to_owned()));
        rests
            .filter(|rest| known().all(|known| known != rest))
            .map(|rest| {
                let near = closest(&rest, known()).map(|near| format!("{PREFIX}{near}"));
                (visible_line(&format!("{PREFIX}{rest}")).into_owned(), near)
            })
            .collect()
    }

    /// What a child process of this user's shell gets: everything, less darkmux's secrets.
    pub fn for_child(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.vars
            .iter()
            .map(|(key, value)| (key.as_os_str(), value.as_os_str()))
            .filter(|(key, _)| !SECRETS.iter().any(|secret| *key == *secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_a_stranger_with_a_suggestion() {
        let names = ["DARKMUX_REDIS_URI", "DARKMUX_ZZ\x1b", "DARKMUX_REDIS_URL", "DARKMUX_HOME", "REDIS_URI"];
        let strangers = Environment::of(names.map(|name| (name, "x"))).strangers();
        let found: Vec<_> = strangers.iter().map(|(name, near)| (name.as_str(), near.as_deref())).collect();
        assert_eq!(found, [("DARKMUX_REDIS_URI", Some("DARKMUX_REDIS_URL")), ("DARKMUX_ZZ\\u{1b}", None)]);
    }

    #[test]
    fn blank_is_unset_and_secrets_stay() {
        let env = Environment::of([("A", " x "), ("B", "  "), ("DARKMUX_REDIS_URL", "redis://:pw@h")]);
        assert_eq!(env.get("A"), Some("x"));
        assert_eq!(env.get("B"), None);
        assert_eq!(env.for_child().count(), 2);
    }
}
