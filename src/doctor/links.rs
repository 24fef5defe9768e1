//! Whether `host.toml` is understood, and the daemon's links to its peers are up.

use std::time::Duration;

use super::{Check, Finding, Machine, question};
use crate::client::Client;
use crate::util::visible_line;
use crate::wire::v1::{LinkState, PeerStatus};

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The links of this machine's daemon.
pub struct Links;

impl Check for Links {
    fn name(&self) -> &'static str {
        "links"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let host = match machine.config.host() {
            Ok(host) => host,
            Err(error) => {
                let why = "the daemon does not start, or goes on with the peers of before";
                let shown = machine.config.paths.host_file().display().to_string();
                return Finding::fail(error.to_string(), why, format!("edit {shown}"));
            }
        };
        let asked = question(PATIENCE, async { Client::local(&machine.config.paths)?.peers().await });
        if let Ok(Ok(peers)) = asked {
            return judge(&peers);
        }
        // That no daemon runs, or does not answer, is a finding of `daemon`.
        Finding::pass(format!("host.toml names {} peers; no daemon says how they are", host.peers.len()))
    }
}

fn judge(peers: &[PeerStatus]) -> Finding {
    if peers.is_empty() {
        return Finding::pass("no peers");
    }
    let down = |peer: &&PeerStatus| matches!(peer.status, LinkState::Connecting | LinkState::Disconnected);
    let wrong: Vec<String> =
        peers.iter().filter(|peer| down(peer) || peer.dropped > 0).map(describe).collect();
    let up = peers.iter().filter(|peer| peer.status == LinkState::Connected).count();
    let words = format!("{up} of {} peers connected", peers.len());
    if wrong.is_empty() {
        return Finding::pass(words);
    }
    let why = "their sessions are not seen here as they are now";
    let fix = "start `darkmux serve` there, or mend the peer in host.toml; it is tried again by itself";
    Finding::warn(words, why, fix).details(wrong)
}

fn describe(peer: &PeerStatus) -> String {
    let why = peer.last_error.as_deref().unwrap_or("it has not answered yet");
    visible_line(&format!("{} ({}, {}): {why}, since {}", peer.name, peer.url, peer.origin, peer.since))
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn peer(status: LinkState, last_error: Option<&str>) -> PeerStatus {
        PeerStatus {
            name: "desk".to_owned(),
            url: "http://desk:8765".to_owned(),
            status,
            session_count: 0,
            last_error: last_error.map(str::to_owned),
            version: None,
            default_launcher: None,
            launchers: Vec::new(),
            origin: "roster".to_owned(),
            local: false,
            since: "2026-01-01T00:00:00.000Z".to_owned(),
            node_id: None,
            machine_id: None,
            sessions: 0,
            dropped: 0,
        }
    }

    #[test]
    fn a_link_that_is_down_is_named_with_its_reason() {
        assert_eq!(judge(&[]).state, State::Pass);
        assert_eq!(
            judge(&[peer(LinkState::Connected, None), peer(LinkState::Offline, None)]).state,
            State::Pass
        );
        let found =
            judge(&[peer(LinkState::Connected, None), peer(LinkState::Disconnected, Some("no data\u{1b}"))]);
        assert_eq!((found.state, found.finding.as_str()), (State::Warn, "1 of 2 peers connected"));
        assert!(found.details[0].contains("desk (http://desk:8765, roster): no data\\u{1b}"), "{found:?}");
        let lies = judge(&[PeerStatus { dropped: 3, ..peer(LinkState::Connected, Some("left out")) }]);
        assert_eq!(lies.state, State::Warn);
    }
}
