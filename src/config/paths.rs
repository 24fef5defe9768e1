//! Where state lives: everything under one home folder, never in the current folder.

use std::path::{Path, PathBuf};

use super::{ConfigError, Environment};
use crate::model::SessionId;

/// The home folder and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    home: PathBuf,
}

impl Paths {
    /// `DARKMUX_HOME`, else `~/.darkmux`.
    pub fn from_env(env: &Environment) -> Result<Self, ConfigError> {
        let home = match env.get("DARKMUX_HOME") {
            Some(home) => PathBuf::from(home),
            None => env.home().ok_or(ConfigError::NoHome)?.join(".darkmux"),
        };
        if home.is_absolute() {
            Ok(Self { home })
        } else {
            Err(ConfigError::RelativeHome(crate::util::visible_line(&home.to_string_lossy()).into_owned()))
        }
    }

    /// The home folder itself (0700).
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What nobody else may read, where it is there.
    pub fn private(&self) -> Vec<PathBuf> {
        let own = [
            self.config_file(),
            self.host_file(),
            self.service_env(),
            self.machine_id_file(),
            self.machine_uid_file(),
            self.sessions(),
            self.queue(),
            self.worktrees(),
            self.mirrors(),
            self.workspaces(),
            self.results(),
            self.fleet_key(),
            self.daemon_lock(),
            self.daemon_socket(),
            self.socket_key(),
            self.auth_token(),
            self.read_only_tokens(),
            self.machine_tokens(),
            self.peers(),
            self.redis_password(),
            self.fleet_token(),
            self.hub(),
            self.logs(),
            self.daemon_file(),
        ];
        own.into_iter().chain(["flows", "audit"].map(|name| self.home.join(name))).collect()
    }

    /// `config.json`.
    pub fn config_file(&self) -> PathBuf {
        self.home.join("config.json")
    }

    /// `host.toml`: the peers.
    pub fn host_file(&self) -> PathBuf {
        self.home.join("host.toml")
    }

    /// `service.env`: variables for the daemon.
    pub fn service_env(&self) -> PathBuf {
        self.home.join("service.env")
    }

    /// The kept machine id.
    pub fn machine_id_file(&self) -> PathBuf {
        self.home.join("machine-id")
    }

    /// Who this machine is, beside its name.
    pub fn machine_uid_file(&self) -> PathBuf {
        self.home.join("machine-uid")
    }

    /// From where on the day files are those of this machine, in a home that came from another one.
    pub fn flow_origin_file(&self) -> PathBuf {
        self.home.join("flow-origin.json")
    }

    /// User roles, which win over the builtin ones.
    pub fn roles(&self) -> PathBuf {
        self.home.join("roles")
    }

    /// One folder a session.
    pub fn sessions(&self) -> PathBuf {
        self.home.join("sessions")
    }

    /// The folder of one session.
    pub fn session(&self, id: &SessionId) -> PathBuf {
        self.sessions().join(id.as_str())
    }

    /// The journal of jobs.
    pub fn queue(&self) -> PathBuf {
        self.home.join("queue")
    }

    /// The folders of jobs that named none.
    pub fn worktrees(&self) -> PathBuf {
        self.home.join("worktrees")
    }

    /// What jobs brought of repositories, one bare repository each.
    pub fn mirrors(&self) -> PathBuf {
        self.home.join("mirrors")
    }

    /// Which repositories jobs were dispatched from.
    pub fn workspaces(&self) -> PathBuf {
        self.home.join("workspaces")
    }

    /// What jobs left here that the machines they were dispatched from fetch themselves.
    pub fn results(&self) -> PathBuf {
        self.home.join("results")
    }

    /// The key that all machines of the fleet share.
    pub fn fleet_key(&self) -> PathBuf {
        self.home.join("fleet-key")
    }

    /// The lock that makes the daemon the only one of this home.
    pub fn daemon_lock(&self) -> PathBuf {
        self.home.join("daemon.lock")
    }

    /// The socket of the running daemon: for this user alone.
    pub fn daemon_socket(&self) -> PathBuf {
        crate::store::socket_path(self.home.join("daemon.sock"), &self.home)
    }

    /// What opens the daemon's socket and those of the sessions' hosts.
    pub fn socket_key(&self) -> PathBuf {
        self.home.join("socket-key")
    }

    /// The token that lets everything be done over HTTP.
    pub fn auth_token(&self) -> PathBuf {
        self.home.join("auth-token")
    }

    /// The tokens that let one watch, hashed.
    pub fn read_only_tokens(&self) -> PathBuf {
        self.home.join("auth-read-only.json")
    }

    /// The tokens that other machines of the fleet have for this one, hashed.
    pub fn machine_tokens(&self) -> PathBuf {
        self.home.join("auth-machines.json")
    }

    /// What this machine has of those it joined: their tokens, and what joining changed here.
    pub fn peers(&self) -> PathBuf {
        self.home.join("peers")
    }

    /// The password of the fleet's Redis, where a join brought it.
    pub fn redis_password(&self) -> PathBuf {
        self.home.join("redis-password")
    }

    /// A token that all machines of the fleet take, where there is one.
    pub fn fleet_token(&self) -> PathBuf {
        self.home.join("fleet-token")
    }

    /// What was found in the tailnet.
    pub fn discovery_file(&self) -> PathBuf {
        self.home.join("discovery.json")
    }

    /// The Redis that this machine keeps for its fleet, where it is the hub.
    pub fn hub(&self) -> PathBuf {
        self.home.join("hub")
    }

    /// What services of this home log.
    pub fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }

    /// What the running daemon says of itself: pid, address, version.
    pub fn daemon_file(&self) -> PathBuf {
        self.home.join("daemon.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_folder_is_never_asked() {
        let home = |vars: &[(&str, &str)]| Paths::from_env(&Environment::of(vars.iter().copied()));
        assert_eq!(home(&[("HOME", "/h")]).unwrap().home(), Path::new("/h/.darkmux"));
        assert_eq!(home(&[("HOME", "/h"), ("DARKMUX_HOME", "/d")]).unwrap().home(), Path::new("/d"));
        assert!(matches!(home(&[("DARKMUX_HOME", "./d")]), Err(ConfigError::RelativeHome(_))));
        assert!(matches!(home(&[]), Err(ConfigError::NoHome)));
    }
}
