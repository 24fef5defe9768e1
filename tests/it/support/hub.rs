//! A machine that is the hub of others.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::api::{Api, data};
use super::{Home, wait_for};
use crate::http_raw::Events;

/// One of `[[peers]]`.
pub struct PeerLine {
    pub name: String,
    pub url: String,
    pub token: Option<String>,
    pub local: bool,
}

impl PeerLine {
    /// A daemon of a test under this name.
    pub fn of(name: &str, api: &Api) -> Self {
        Self { name: name.into(), url: api.daemon.url(""), token: Some(api.token.clone()), local: false }
    }

    /// A peer that takes no token.
    pub fn at(name: &str, url: String) -> Self {
        Self { name: name.into(), url, token: None, local: false }
    }

    pub fn local(self) -> Self {
        Self { local: true, ..self }
    }
}

/// Writes `host.toml` with these peers.
pub fn set_peers(home: &Home, peers: &[PeerLine]) {
    let mut text = String::new();
    for peer in peers {
        let token = peer.token.as_ref().map(|token| format!("token = \"{token}\"\n")).unwrap_or_default();
        let _ = writeln!(
            text,
            "[[peers]]\nname = \"{}\"\nurl = \"{}\"\n{token}local = {}",
            peer.name, peer.url, peer.local
        );
    }
    write_host(home, &text);
}

/// Writes `host.toml`, whole at once.
pub fn write_host(home: &Home, text: &str) {
    std::fs::create_dir_all(home.darkmux()).unwrap();
    let (path, new) = (home.darkmux().join("host.toml"), home.darkmux().join("host.toml.new"));
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A machine of this name.
pub fn machine(name: &str) -> Home {
    Home::new().with("DARKMUX_MACHINE_ID", name)
}

/// A machine with a daemon and these peers.
pub fn hub(name: &str, peers: &[PeerLine]) -> Api {
    let home = machine(name);
    set_peers(&home, peers);
    Api::of(home)
}

impl Api {
    /// What it says of a peer.
    pub fn peer(&self, name: &str) -> Value {
        let health = data(&self.get("/v1/health"));
        let peers = health["peers"].as_array().expect("a list of peers");
        peers.iter().find(|peer| peer["name"] == name).cloned().unwrap_or_default()
    }

    /// Waits until the link to a peer is so.
    pub fn peer_is(&self, name: &str, status: &str) -> Value {
        wait_for(&format!("{name} to be {status}"), || {
            let peer = self.peer(name);
            (peer["status"] == status).then_some(peer)
        })
    }

    /// Waits until it says this of a peer.
    pub fn peer_says(&self, name: &str, error: &str) -> Value {
        wait_for(&format!("{name} to say {error}"), || {
            let peer = self.peer(name);
            peer["last_error"].as_str().is_some_and(|said| said.contains(error)).then_some(peer)
        })
    }

    /// The ids of all sessions it shows, sorted.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> =
            self.sessions().iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }

    /// Waits until it shows exactly these sessions.
    pub fn shows(&self, ids: &[&str]) {
        let mut wanted: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        wanted.sort();
        let deadline = std::time::Instant::now() + super::PATIENCE;
        loop {
            let shown = self.ids();
            if shown == wanted {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "it shows {shown:?}, not {wanted:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// The events with this query and these further headers.
    pub fn events_with(&self, query: &str, headers: &[&str]) -> Events {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let headers: Vec<&str> = std::iter::once(bearer.as_str()).chain(headers.iter().copied()).collect();
        Events::open(self.daemon.port, &format!("/v1/events{query}"), &headers)
    }
}
