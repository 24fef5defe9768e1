//! `daemon.json`: what the running daemon says of itself. It is only true while the daemon's lock is held.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// What a client needs to find the daemon of this home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonInfo {
    /// Its process.
    pub pid: u32,
    /// The port it listens on.
    pub port: u16,
    /// The address it listens on.
    pub bind: IpAddr,
    /// Its version.
    pub version: String,
    /// RFC 3339, UTC, with milliseconds.
    pub started_at: String,
}

impl DaemonInfo {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }

    /// The page for people.
    pub fn url(&self) -> String {
        format!("http://localhost:{}/", self.port)
    }
}
