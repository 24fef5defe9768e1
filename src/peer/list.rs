//! Which peers are wanted: those of `host.toml`, the machines of the roster that carry a token, and what was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{HostConfig, TokenSource};
use crate::fleet::Roster;
use crate::model::is_peer_name;

/// How a peer came to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It stands in `host.toml`.
    Host,
    /// It stands in the roster, with a token.
    Roster,
    /// It was found in the tailnet.
    Tailscale,
    /// It was found among the containers of this machine.
    Devcontainer,
}

impl Origin {
    /// Whether nobody named it: it was found.
    pub fn is_found(self) -> bool {
        matches!(self, Self::Tailscale | Self::Devcontainer)
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host.toml",
            Self::Roster => "roster",
            Self::Tailscale => "tailscale",
            Self::Devcontainer => "devcontainer",
        }
    }
}

/// A peer that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, which ids of its sessions end with.
    pub name: Arc<str>,
    /// Where its daemon is.
    pub url: String,
    /// Where its token comes from.
    pub token: TokenSource,
    /// How it came to be one.
    pub origin: Origin,
    /// Whether its sessions count as this machine's own.
    pub local: bool,
}

/// All of them by name. Where two have one name, what the operator wrote wins over what was found; a machine of the
/// roster has its name also without a token, and so has this machine, whose name is `own`.
pub fn wanted(host: &HostConfig, roster: &Roster, found: &[Wanted], own: &str) -> BTreeMap<Arc<str>, Wanted> {
    let of_host = host.peers.iter().map(|peer| Wanted {
        name: peer.name.as_str().into(),
        url: peer.url.clone(),
        token: peer.token.clone(),
        origin: Origin::Host,
        local: peer.local,
    });
    let of_roster = roster.peers.iter().filter_map(|peer| {
        let token = TokenSource::File(peer.token_file.clone()?);
        let name = Arc::from(peer.id.as_str());
        Some(Wanted { name, url: peer.address.origin(), token, origin: Origin::Roster, local: false })
    });
    let mut all = BTreeMap::new();
    let is_free = |peer: &&Wanted| {
        &*peer.name != own && roster.peers.iter().all(|known| known.id.as_str() != &*peer.name)
    };
    for peer in of_host.chain(of_roster).chain(found.iter().filter(is_free).cloned()) {
        // A machine may be called `_x`, which is no name of a peer.
        if is_peer_name(&peer.name) {
            all.entry(Arc::clone(&peer.name)).or_insert(peer);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPeer;
    use crate::fleet::Peer;

    #[test]
    fn what_was_written_wins_over_what_was_found() {
        let of_host = |name: &str| HostPeer {
            name: name.to_owned(),
            url: "http://of-host".to_owned(),
            token: TokenSource::None,
            local: false,
        };
        let of_roster = |name: &str, token_file: Option<&str>| Peer {
            id: name.parse().unwrap(),
            address: "of-roster".parse().unwrap(),
            description: None,
            added_unix_ms: 0,
            token_file: token_file.map(Into::into),
        };
        let of_net = |name: &str| Wanted {
            name: name.into(),
            url: "https://found".to_owned(),
            token: TokenSource::None,
            origin: Origin::Tailscale,
            local: false,
        };
        let host = HostConfig { peers: vec![of_host("a"), of_host("b")], ..HostConfig::default() };
        let peers = vec![
            of_roster("b", Some("/t")),
            of_roster("c", Some("/t")),
            of_roster("d", None),
            of_roster("_e", Some("/t")),
        ];
        let roster = Roster { peers, bad: Vec::new() };
        // Of these only one takes no name of another machine, or of this one.
        let found = ["a", "b", "c", "d", "_e", "box", "f"].map(of_net);
        let all = wanted(&host, &roster, &found, "box");
        let shown: Vec<_> = all.values().map(|peer| (&*peer.name, peer.origin, peer.url.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("a", Origin::Host, "http://of-host"),
                ("b", Origin::Host, "http://of-host"),
                ("c", Origin::Roster, "http://of-roster:8765"),
                ("f", Origin::Tailscale, "https://found"),
            ]
        );
    }
}
