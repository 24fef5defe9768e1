//! `daemon.json`: what the running daemon says of itself. It is only true while the daemon's lock is held.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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

    /// Where programs of this machine reach it: where it listens on all addresses, none of them is its name.
    pub fn near(&self) -> SocketAddr {
        let ip = match self.bind {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.port)
    }

    /// The page for people. By the name `localhost` where that leads there, so that it is one page and one cookie,
    /// however the daemon is asked.
    pub fn url(&self) -> String {
        if self.is_at_localhost() {
            format!("http://localhost:{}/", self.port)
        } else {
            format!("http://{}/", self.address())
        }
    }

    /// Whether `localhost` leads there, as it does through `ssh -L`, too.
    pub fn is_at_localhost(&self) -> bool {
        let bind = self.bind.to_canonical();
        bind.is_unspecified() || bind == Ipv4Addr::LOCALHOST || bind == Ipv6Addr::LOCALHOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_where_the_daemon_listens() {
        for (bind, url, near) in [
            ("127.0.0.1", "http://localhost:8765/", "127.0.0.1:8765"),
            ("0.0.0.0", "http://localhost:8765/", "127.0.0.1:8765"),
            ("::", "http://localhost:8765/", "[::1]:8765"),
            ("::1", "http://localhost:8765/", "[::1]:8765"),
            ("127.0.0.2", "http://127.0.0.2:8765/", "127.0.0.2:8765"),
            ("100.64.1.5", "http://100.64.1.5:8765/", "100.64.1.5:8765"),
            ("fd7a:115c:a1e0::5", "http://[fd7a:115c:a1e0::5]:8765/", "[fd7a:115c:a1e0::5]:8765"),
        ] {
            let bind = bind.parse().unwrap();
            let (version, started_at) = (String::new(), String::new());
            let info = DaemonInfo { pid: 1, port: 8765, bind, version, started_at };
            assert_eq!((info.url().as_str(), info.near().to_string().as_str()), (url, near));
        }
    }
}
