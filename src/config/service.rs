//! What of this environment the services of this user get: what is set for darkmux in a shell's startup file must count
//! for a daemon that no shell starts. Never a secret: a unit is a file, and what it sets is everybody's to ask for.

use std::path::{Path, PathBuf};

use super::environment::SECRETS;
use super::keys::{KEYS, Kind, Use};
use super::{Config, ConfigError, Origin, env_file};
use crate::store::RedisTarget;

/// What else a daemon needs that no service manager sets.
const PLAIN: &[&str] = &[
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "DOCKER_HOST",
    "DARKMUX_HOME",
    "DARKMUX_LOG",
    "DARKMUX_LOG_FORMAT",
];

/// The environment of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceEnv {
    /// Name and value, in a fixed order.
    pub vars: Vec<(String, String)>,
    /// What is set here and holds a secret, or no plain text.
    pub withheld: Vec<String>,
    /// Variables that `runner.env` gives to jobs, and the service will not have.
    pub missing: Vec<String>,
}

impl Config {
    /// What of this environment the services of this user get. The daemon reads `service.env` by itself.
    pub fn service_env(&self) -> Result<ServiceEnv, ConfigError> {
        let file = env_file::read(&self.paths)?;
        let in_file = |name: &String| file.iter().any(|(known, _)| known == name);
        let mut made = ServiceEnv::default();
        let dirs = self.env.path_dirs().into_iter().filter(|dir| is_usual(dir));
        if let Some(path) = std::env::join_paths(dirs).ok().and_then(|path| path.into_string().ok()) {
            made.vars.push(("PATH".to_owned(), path));
        }
        let settings = KEYS.iter().filter(|key| key.used == Use::Acts);
        let settings = settings.filter_map(|key| Some((key.env?, key.kind == Kind::RedisUrl)));
        for (name, is_url) in PLAIN.iter().map(|name| (*name, false)).chain(settings) {
            let Some(value) = self.env.get(name) else { continue };
            let is_secret = is_url && RedisTarget::parse(value).map_or(true, |target| target.has_password())
                || has_login(value)
                || value.chars().any(char::is_control);
            if is_secret {
                made.withheld.push(name.to_owned());
            } else {
                made.vars.push((name.to_owned(), value.to_owned()));
            }
        }
        let given = |name: &str| made.vars.iter().any(|(given, _)| given == name);
        let others = SECRETS.iter().filter(|name| self.env.get(name).is_some() && !given(name));
        let others: Vec<&str> =
            others.copied().filter(|name| !made.withheld.iter().any(|at| at == name)).collect();
        made.withheld.extend(others.into_iter().map(str::to_owned));
        let given = |name: &String| made.vars.iter().any(|(given, _)| given == name);
        let named = self.settings.list("runner.env").into_iter();
        made.missing = named.filter(|name| !given(name) && !in_file(name)).collect();
        made.withheld.retain(|name| !in_file(name));
        Ok(made)
    }

    /// Size at which a log of a service is put aside.
    pub fn service_log_bytes(&self) -> u64 {
        self.settings.number("service.log_bytes")
    }

    /// The user's home folder, in which service managers look for units.
    pub fn user_home(&self) -> Option<PathBuf> {
        self.env.home().filter(|home| home.is_absolute())
    }

    /// Whether nobody has said anything of this setting.
    pub fn is_default(&self, name: &str) -> bool {
        self.settings.get(name).is_ok_and(|setting| setting.origin == Origin::Default)
    }

    /// Whether this setting comes from the environment, and so wins over the file.
    pub fn is_from_env(&self, name: &str) -> bool {
        self.settings.get(name).is_ok_and(|setting| matches!(setting.origin, Origin::Env(_)))
    }
}

/// Whether it is one that is there tomorrow and a unit can name: absolute, and plain text.
fn is_usual(dir: &Path) -> bool {
    dir.is_absolute() && dir.to_str().is_some_and(|text| !text.chars().any(char::is_control))
}

/// Whether a URL in it carries a password.
fn has_login(value: &str) -> bool {
    value.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', ',', ' ']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn env(vars: &[(&str, &str)]) -> ServiceEnv {
        let vars = [("HOME", "/nowhere"), ("PATH", "/usr/bin:relative:/bin")].iter().chain(vars).copied();
        Config::load(Environment::of(vars), &[]).unwrap().service_env().unwrap()
    }

    #[test]
    fn settings_go_along_and_secrets_do_not() {
        let made = env(&[
            ("DARKMUX_MACHINE_ID", "studio"),
            ("DARKMUX_SESSION_ID", "x"),
            ("DARKMUX_REDIS_URL", "redis://:canary@hub"),
            ("DARKMUX_SERVE_TOKEN", "canary"),
            ("LANG", "C.UTF-8"),
            ("OPENAI_API_KEY", "canary"),
            ("DARKMUX_RUNNER_ENV", "OPENAI_API_KEY,LANG"),
        ]);
        let names: Vec<&str> = made.vars.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PATH", "LANG", "DARKMUX_MACHINE_ID", "DARKMUX_RUNNER_ENV"]);
        assert_eq!(made.vars[0].1, "/usr/bin:/bin");
        assert_eq!(made.withheld, ["DARKMUX_REDIS_URL", "DARKMUX_SERVE_TOKEN"]);
        assert_eq!(made.missing, ["OPENAI_API_KEY"]);
        assert!(!format!("{:?}", made.vars).contains("canary"));
        assert!(has_login("http://u:canary@h") && !has_login("http://h/a@b"));
    }

    #[test]
    fn a_url_without_a_password_is_no_secret() {
        let made = env(&[("DARKMUX_REDIS_URL", "redis://darkmux@hub:6379")]);
        assert!(made.withheld.is_empty());
        assert!(made.vars.iter().any(|(name, value)| name == "DARKMUX_REDIS_URL" && value.contains("hub")));
    }
}
