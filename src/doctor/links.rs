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
    let told = |peer| visible_line(&format!("{}; {}", describe(peer), remedy(peer))).into_owned();
    let wrong: Vec<String> = peers.iter().filter(|peer| down(peer) || peer.dropped > 0).map(told).collect();
    let up = peers.iter().filter(|peer| peer.status == LinkState::Connected).count();
    let words = format!("{up} of {} peers connected", peers.len());
    if wrong.is_empty() {
        return Finding::pass(words);
    }
    let why = "their sessions are not seen here as they are now";
    let fix = "do what is said beside each; all are tried again by themselves";
    Finding::warn(words, why, fix).details(wrong)
}

/// What mends a link, by the words for what is wrong.
pub fn remedy(peer: &PeerStatus) -> String {
    let (name, url) = (&peer.name, &peer.url);
    match peer.last_error.as_deref().unwrap_or_default() {
        "authentication failed" if peer.origin == "roster" => {
            format!("on {name}: `darkmux fleet invite`; here: `darkmux fleet join` with that code")
        }
        "authentication failed" => {
            format!("on {name}: `darkmux auth show --print`; that token belongs to `{name}` in host.toml")
        }
        why if why.starts_with("it refuses") => {
            format!(
                "on {name}: `darkmux auth ls` says what the token is for; from a tailnet, `[tailscale] allow` there names who may"
            )
        }
        "host not found" => "mend the name in its URL".to_owned(),
        "connection refused" | "connection timed out" => {
            format!("start `darkmux serve` on {name}; it must listen at {url} (`serve.bind` there)")
        }
        why if why.starts_with("it answered 421") => {
            let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
            format!("on {name}: darkmux config set serve.hosts {host}")
        }
        why if why.starts_with("it is this machine") => {
            format!("remove `{name}`: no machine is a peer of its own")
        }
        why if why.starts_with("it is ") => format!("one of the two names is enough: remove `{name}`"),
        _ if peer.dropped > 0 => format!("end sessions on {name}, or update it"),
        _ => format!("look at {name}: `darkmux doctor` there"),
    }
}

/// How a link is, in words.
pub fn describe(peer: &PeerStatus) -> String {
    let why = peer.last_error.as_deref().unwrap_or("it has not answered yet");
    let PeerStatus { name, url, origin, since, .. } = peer;
    visible_line(&format!("{name} ({url}, {origin}): {why}, since {since}")).into_owned()
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
        let says = |origin: &str, error: &str| {
            let one = PeerStatus { origin: origin.to_owned(), ..peer(LinkState::Disconnected, Some(error)) };
            judge(&[one]).details.concat()
        };
        assert!(says("roster", "authentication failed").contains("darkmux fleet join"));
        assert!(says("host.toml", "authentication failed").contains("auth show --print"));
        assert!(says("roster", "connection refused").contains("serve.bind"));
        assert!(says("host.toml", "it refuses: this token only looks").contains("darkmux auth ls"));
        assert!(says("roster", "it answered 421: x").contains("serve.hosts desk:8765"));
        assert!(says("roster", "it is the same machine as pi").contains("remove `desk`"));
        let lies = judge(&[PeerStatus { dropped: 3, ..peer(LinkState::Connected, Some("left out")) }]);
        assert_eq!(lies.state, State::Warn);
    }
}
