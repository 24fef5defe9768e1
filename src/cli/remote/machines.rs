//! The machines that this one's daemon knows, and whether their sessions can be had now. A link that is just coming up
//! is waited for, so that nobody has to know of it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::failure;
use crate::cli::{Cx, Exit, Failure};
use crate::client::Client;
use crate::fleet::RosterFile;
use crate::model::is_peer_name;
use crate::util::{closest, visible_line};
use crate::wire::v1::{LinkState, PeerStatus};

/// How long a link that comes up is waited for, and how often it is looked at; and one that is down, in case it is tried
/// again just because of us.
const COMES_WITHIN: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(50);
const AWAKE_WITHIN: Duration = Duration::from_millis(250);

/// From when on the user is told that it is waited.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// How soon after it is up a link has told its sessions: where it matters little, and where one is missing.
pub const LISTED_WITHIN: Duration = Duration::from_millis(300);
pub const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// Machines named in a message.
const NAMED: usize = 8;

/// Longest reason that is quoted, in characters.
const WHY_MAX: usize = 200;

/// What is known of the machines.
#[derive(Debug, Default)]
pub struct Machines {
    own: String,
    peers: Vec<PeerStatus>,
    /// Those that the files name as peers, whether the daemon has read them or not.
    written: Vec<String>,
    /// Those of the roster whose sessions can't be seen: no token is known.
    without_token: Vec<String>,
}

impl Machines {
    /// Asks the daemon, which tries links that are down at once, and reads its files.
    pub async fn ask(cx: &Cx, client: &Client) -> Result<Self, Failure> {
        let config = cx.config()?;
        let peers = client.peers().await.map_err(failure)?;
        // Files that can't be read are others' to complain of.
        let roster = RosterFile::new(config.fleet_file()).read().unwrap_or_default();
        let host = config.host().unwrap_or_default();
        let (with, without): (Vec<_>, Vec<_>) =
            roster.peers.iter().partition(|peer| peer.token_file.is_some());
        let names = |peers: Vec<&crate::fleet::Peer>| {
            peers.iter().map(|peer| peer.id.to_string()).collect::<Vec<_>>()
        };
        let written = host.peers.into_iter().map(|peer| peer.name).chain(names(with));
        let written = written.filter(|name| is_peer_name(name)).collect();
        let own = config.machine_id()?.to_string();
        Ok(Self { own, peers, written, without_token: names(without) })
    }

    /// As [`ask`](Self::ask), once the link to `machine` is up or down, and has told its sessions for `told`.
    pub async fn settled(cx: &Cx, client: &Client, machine: &str, told: Duration) -> Result<Self, Failure> {
        let began = Instant::now();
        let mut is_told = false;
        loop {
            let machines = Self::ask(cx, client).await?;
            let comes = match machines.peer(machine).map(|peer| peer.status) {
                Some(LinkState::Disconnected) => began.elapsed() < AWAKE_WITHIN,
                _ => machines.comes(machine, told, cx.clock.now()) && began.elapsed() < COMES_WITHIN,
            };
            if !comes {
                return Ok(machines);
            }
            if began.elapsed() >= TOLD_AFTER && !std::mem::replace(&mut is_told, true) {
                cx.printer.note(&format!("connecting to {} …", visible_line(direct(machine))));
            }
            sleep(LOOK).await;
        }
    }

    fn peer(&self, machine: &str) -> Option<&PeerStatus> {
        self.peers.iter().find(|peer| peer.name == direct(machine))
    }

    /// Whether the link on the way to `machine` may be of use in a moment.
    fn comes(&self, machine: &str, told: Duration, now: Timestamp) -> bool {
        match self.peer(machine) {
            None => self.written.iter().any(|name| name == direct(machine)),
            Some(peer) => match peer.status {
                LinkState::Connecting => true,
                LinkState::Connected => {
                    let since: Option<Timestamp> = peer.since.parse().ok();
                    since.is_some_and(|since| now.duration_since(since).unsigned_abs() < told)
                }
                LinkState::Disconnected | LinkState::Offline => false,
            },
        }
    }

    /// Why nothing of `machine` can be had now, if that is so.
    pub fn trouble(&self, machine: &str) -> Option<Failure> {
        let name = direct(machine);
        let shown: String = visible_line(name).chars().take(80).collect();
        let Some(peer) = self.peer(machine) else { return Some(self.unknown(name, &shown)) };
        let why = match peer.status {
            LinkState::Connected => return None,
            LinkState::Offline => "it is off",
            LinkState::Connecting => {
                peer.last_error.as_deref().unwrap_or("it is still being connected to; try again")
            }
            LinkState::Disconnected => peer.last_error.as_deref().unwrap_or("it is not connected"),
        };
        let why: String = visible_line(why).chars().take(WHY_MAX).collect();
        Some(Failure::new(Exit::Unreachable, format!("{shown} can't be reached: {why}")))
    }

    fn unknown(&self, name: &str, shown: &str) -> Failure {
        if self.written.iter().any(|written| written == name) {
            let words = format!(
                "{shown} is not connected yet; `darkmux fleet status` asks it, or try again in a moment"
            );
            return Failure::new(Exit::Unreachable, words);
        }
        if self.without_token.iter().any(|known| known == name) {
            let words = format!(
                "the sessions of {shown} can't be seen: it is in the roster without a token; `darkmux fleet invite` there and \
                 `darkmux fleet join` here exchange them"
            );
            return Failure::new(Exit::Failed, words);
        }
        let names =
            || std::iter::once(self.own.as_str()).chain(self.peers.iter().map(|peer| peer.name.as_str()));
        let near =
            closest(name, names()).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        let mut known = names().take(NAMED).collect::<Vec<_>>().join(", ");
        if names().count() > NAMED {
            known.push_str(" and more");
        }
        Failure::new(
            Exit::Usage,
            format!("no machine `{shown}` is known here{near}; there are {known} (`darkmux fleet list`)"),
        )
    }
}

/// The peer that a way leads through first: `server` of `dev@server`.
fn direct(machine: &str) -> &str {
    machine.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, status: LinkState, since: &str) -> PeerStatus {
        PeerStatus {
            name: name.to_owned(),
            url: String::new(),
            status,
            session_count: 0,
            last_error: (status == LinkState::Disconnected).then(|| "connection refused\u{1b}".to_owned()),
            version: None,
            default_launcher: None,
            launchers: Vec::new(),
            origin: "roster".to_owned(),
            local: false,
            since: since.to_owned(),
            node_id: None,
            machine_id: None,
            sessions: 0,
            dropped: 0,
        }
    }

    #[test]
    fn a_machine_is_there_or_it_is_said_why_not() {
        let at = "2026-01-01T00:00:00Z";
        let machines = Machines {
            own: "own".to_owned(),
            peers: vec![
                peer("desk", LinkState::Connected, at),
                peer("laptop", LinkState::Disconnected, at),
                peer("off", LinkState::Offline, at),
                peer("new", LinkState::Connecting, at),
            ],
            written: vec!["desk".to_owned(), "soon".to_owned()],
            without_token: vec!["bare".to_owned()],
        };
        let said =
            |machine: &str| machines.trouble(machine).map(|why| (why.exit().code(), why.words().to_owned()));
        assert_eq!(said("desk"), None);
        assert_eq!(said("dev@desk"), None);
        for (machine, code, words) in [
            ("laptop", 3, "laptop can't be reached: connection refused\\u{1b}"),
            ("dev@laptop", 3, "laptop can't be reached"),
            ("off", 3, "off can't be reached: it is off"),
            ("new", 3, "still being connected"),
            ("soon", 3, "soon is not connected yet"),
            ("bare", 1, "without a token"),
            (
                "lapto",
                2,
                "no machine `lapto` is known here (did you mean `laptop`?); there are own, desk, laptop",
            ),
            ("zz\n", 2, "no machine `zz\\u{a}` is known here; there are"),
        ] {
            let (exit, said) = said(machine).unwrap();
            assert!(exit == code && said.contains(words), "{machine}: {exit} {said}");
        }
        let now: Timestamp = "2026-01-01T00:00:01Z".parse().unwrap();
        let comes = |machine: &str, told| machines.comes(machine, Duration::from_millis(told), now);
        assert!(comes("new", 0) && comes("soon", 0) && comes("desk", 1500));
        assert!(!comes("desk", 500) && !comes("laptop", 5000) && !comes("nobody", 5000));
    }
}
