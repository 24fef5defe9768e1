//! Having this machine use the Redis that it keeps, and not any longer.

use serde_json::Value;

use super::super::ServiceError;
use super::{HubFile, HubFiles};
use crate::config::{Config, ConfigFile, edit, key_named};
use crate::store::RedisTarget;

/// The settings that lead to the hub's Redis.
const KEYS: [&str; 2] = ["redis.password_file", "redis.url"];

/// Whether the settings of this machine lead to the hub's Redis. An error is the server that they lead to instead.
pub fn is_used(config: &Config, files: &HubFiles, hub: &HubFile) -> Result<bool, String> {
    let Some((url, _)) = config.redis_url() else { return Ok(false) };
    let shown = |url: &str| {
        RedisTarget::parse(url).map_or_else(|_| "another one".to_owned(), |it| it.shown().to_owned())
    };
    // What it was before it listened elsewhere is ours as well.
    let before = files.read().ok().flatten().map(|before| shown(&before.url()));
    let now = shown(&url);
    if now == shown(&hub.url()) || Some(&now) == before.as_ref() {
        return Ok(now == shown(&hub.url()));
    }
    Err(now)
}

/// Has this machine use it; whether that changed something.
pub fn take_over(config: &Config, files: &HubFiles, hub: &HubFile) -> Result<bool, ServiceError> {
    let path = config.paths.config_file();
    let have = ConfigFile::read(&path)?;
    let password = Value::from(files.password().to_string_lossy().into_owned());
    let mut changed = false;
    // The URL last: with it the machine uses what stands there.
    for (name, value) in KEYS.into_iter().zip([password, Value::from(hub.url())]) {
        if have.values.get(name) != Some(&value) {
            edit(&path, key_named(name)?, Some(value))?;
            changed = true;
        }
    }
    Ok(changed)
}

/// Takes back what [`take_over`] set, as far as it is that still; whether something was.
pub fn give_back(config: &Config, files: &HubFiles, hub: &HubFile) -> Result<bool, ServiceError> {
    let path = config.paths.config_file();
    let have = ConfigFile::read(&path)?;
    if have.values.get("redis.url") != Some(&Value::from(hub.url())) {
        return Ok(false);
    }
    let password = Value::from(files.password().to_string_lossy().into_owned());
    if have.values.get("redis.password_file") == Some(&password) {
        edit(&path, key_named("redis.password_file")?, None)?;
    }
    // Last: while it stands, the same command again ends what was begun.
    edit(&path, key_named("redis.url")?, None)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn settings_are_taken_over_once_and_given_back_alone() {
        let dir = tempfile::tempdir().unwrap();
        let load = || Config::load(Environment::of([("DARKMUX_HOME", dir.path())]), &[]).unwrap();
        let (files, hub) = (HubFiles::new(&load().paths), HubFile::default());
        assert_eq!(is_used(&load(), &files, &hub), Ok(false));
        assert!(take_over(&load(), &files, &hub).unwrap() && !take_over(&load(), &files, &hub).unwrap());
        assert_eq!(is_used(&load(), &files, &hub), Ok(true));
        assert!(load().redis().unwrap().unwrap().target.has_password());
        edit(&load().paths.config_file(), key_named("serve.port").unwrap(), Some(Value::from(1))).unwrap();
        assert!(give_back(&load(), &files, &hub).unwrap() && !give_back(&load(), &files, &hub).unwrap());
        assert_eq!((load().redis_url(), load().serve().port), (None, 1));
        edit(
            &load().paths.config_file(),
            key_named("redis.url").unwrap(),
            Some("redis://:canary@other".into()),
        )
        .unwrap();
        let other = is_used(&load(), &files, &hub).unwrap_err();
        assert!(other.contains("other") && !other.contains("canary"), "{other}");
        assert!(!give_back(&load(), &files, &hub).unwrap());
    }
}
