//! The peers of this machine's daemon, for lists of machines: those that no roster names, and links that are down.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::discover::{found, tell_found};
use crate::cli::Cx;
use crate::cli::printer::{BAD, DIM, GOOD, WARN};
use crate::cli::table::Cell;
use crate::client::Client;
use crate::config::Config;
use crate::fleet::{Member, PROBE_TIME};
use crate::util::visible_line;
use crate::wire::v1::{Discovered, LinkState, PeerStatus};

/// What the daemon says; nothing where none runs.
#[derive(Debug, Default)]
pub struct Links {
    /// Its peers, by name.
    pub peers: Vec<PeerStatus>,
    found: Option<Discovered>,
}

impl Links {
    /// Asks the daemon.
    pub async fn of(cx: &Cx) -> Self {
        let Some(client) = cx.config().ok().and_then(|config| Client::local(&config.paths).ok()) else {
            return Self::default();
        };
        let asked = async { tokio::join!(client.peers(), found(&client)) };
        // One that hangs holds no list up.
        let Ok((peers, found)) = timeout(PROBE_TIME, asked).await else { return Self::default() };
        Self { peers: peers.unwrap_or_default(), found }
    }

    /// Those that are in no list of members.
    pub fn beside<'a>(&'a self, members: &'a [Member]) -> impl Iterator<Item = &'a PeerStatus> {
        self.peers.iter().filter(|peer| members.iter().all(|member| member.id != peer.name))
    }

    /// Says which links are down and why, and which machines were found and are no peers.
    pub fn tell(&self, cx: &Cx) {
        tell_file(cx);
        for peer in self.peers.iter().filter(|peer| peer.status == LinkState::Disconnected) {
            let why = peer.last_error.as_deref().unwrap_or("it does not answer");
            let (name, why) = (visible_line(&peer.name), visible_line(why));
            cx.printer.note(&format!(
                "{BAD}{name}{BAD:#}: its sessions are shown as they were last: {why} (`darkmux doctor` says what mends it)"
            ));
        }
        if let Some(found) = &self.found {
            tell_found(cx, found);
        }
    }

    /// For `--json`.
    pub fn as_json(&self) -> Value {
        json!(self.peers)
    }
}

/// Says what is wrong in `host.toml`, where the peers that are missed may stand.
pub fn tell_file(cx: &Cx) {
    if let Some(Err(error)) = cx.config().ok().map(Config::host) {
        cx.printer.warn(&format!("{error}; a daemon that runs goes on with the peers of before"));
    }
}

/// How a link is, in a word.
pub fn state(peer: &PeerStatus) -> Cell {
    match peer.status {
        LinkState::Connected => Cell::styled("✓ linked", GOOD),
        LinkState::Connecting => Cell::styled("connecting", WARN),
        LinkState::Disconnected => Cell::styled("✗ no link", BAD),
        LinkState::Offline => Cell::styled("off", DIM),
    }
}

/// Where it is.
pub fn address(peer: &PeerStatus) -> Cell {
    Cell::from(visible_line(&peer.url))
}

/// How it came to be a peer.
pub fn origin(peer: &PeerStatus) -> Cell {
    Cell::styled(visible_line(&peer.origin), DIM)
}
