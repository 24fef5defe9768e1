//! Who comes from the tailnet without a token: where the user switched it on, Tailscale says whose device it is.
//!
//! Invariants: only a connection from an address of a tailnet to this machine's own address there is asked about,
//! never one of this machine itself, whatever its headers say; without a clear answer nobody is known.

use std::net::SocketAddr;

use super::Auth;
use super::caller::{Caller, Peer};
use crate::fleet::discovery::Guest;
use crate::serve::reach::is_tailnet;

/// What became of asking about a connection.
pub enum Visit {
    /// It is nobody's to ask about, or nobody can say.
    Nobody,
    /// They may come in.
    Welcome(Caller),
    /// They may not; who they are.
    Unwelcome(String),
}

impl Auth {
    /// Who is at the other end, when they come from the tailnet.
    pub(super) async fn visit(&self, peer: &Peer) -> Visit {
        let door = self.door.as_ref().filter(|door| door.is_open());
        let (Some(door), Some(address)) = (door, visitor(peer)) else { return Visit::Nobody };
        match door.ask(address).await {
            Guest::Welcome(_) => Visit::Welcome(Caller::guest(door, address)),
            Guest::Unwelcome(who) => Visit::Unwelcome(who),
            Guest::Unknown(_) => Visit::Nobody,
        }
    }
}

/// The address to ask about; `None` when the connection did not come from another device of the tailnet.
fn visitor(peer: &Peer) -> Option<SocketAddr> {
    let Peer::Tcp { remote, local } = peer else { return None };
    let (from, to) = (remote.ip().to_canonical(), local.ip().to_canonical());
    // What connects from our own address is a program of this machine, of whichever user.
    let is_visitor = is_tailnet(from) && is_tailnet(to) && from != to;
    is_visitor.then(|| SocketAddr::new(from, remote.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_devices_of_the_tailnet_are_asked_about() {
        let is = |remote: &str, local: &str| {
            let peer = Peer::Tcp { remote: remote.parse().unwrap(), local: local.parse().unwrap() };
            visitor(&peer).is_some()
        };
        assert!(
            is("100.64.0.2:5", "100.64.0.1:8765") && is("[fd7a:115c:a1e0::2]:5", "[fd7a:115c:a1e0::1]:8765")
        );
        assert!(is("[::ffff:100.64.0.2]:5", "[::ffff:100.64.0.1]:8765"));
        for (remote, local) in [
            ("127.0.0.1:5", "127.0.0.1:8765"),
            ("127.0.0.1:5", "100.64.0.1:8765"),
            ("100.64.0.1:5", "100.64.0.1:8765"),
            ("[::ffff:100.64.0.1]:5", "100.64.0.1:8765"),
            ("10.0.0.2:5", "100.64.0.1:8765"),
            ("100.64.0.2:5", "10.0.0.1:8765"),
            ("100.64.0.2:5", "127.0.0.1:8765"),
        ] {
            assert!(!is(remote, local), "{remote} to {local}");
        }
        assert!(visitor(&Peer::Socket).is_none());
    }
}
