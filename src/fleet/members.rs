//! The fleet as this machine knows it: the roster and the machines that are alive in Redis, as one list.

use serde::Serialize;

use super::presence::{Presence, Seen};
use super::{Peer, Roster};

/// How a machine is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// By the roster alone.
    Roster,
    /// By its signs of life alone.
    Presence,
    /// By both.
    Both,
}

impl Origin {
    /// The word of tables: where it is written down.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Roster => "roster",
            Self::Presence => "redis",
            Self::Both => "roster+redis",
        }
    }
}

/// A machine of the fleet.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub id: String,
    /// How it is known.
    pub origin: Origin,
    /// Its entry in the roster.
    pub peer: Option<Peer>,
    /// Its signs of life; more than one when several machines have its name.
    pub seen: Vec<Seen>,
}

impl Member {
    /// Why its name does not mean one machine.
    pub fn clash(&self) -> Option<String> {
        let systems = |seen: &Seen| seen.beat.specs.clone().unwrap_or_else(|| seen.beat.machine_uid.clone());
        if self.seen.len() > 1 {
            let named: Vec<String> = self.seen.iter().take(4).map(systems).collect();
            let count = self.seen.len();
            return Some(format!("{count} machines are called {}: {}", self.id, named.join("; ")));
        }
        let twin = self.seen.first().and_then(|seen| seen.beat.twin.as_ref());
        twin.map(|_| format!("two daemons beat as {} with one identity: a copied home folder?", self.id))
    }

    /// Its newest sign of life.
    pub fn newest(&self) -> Option<&Seen> {
        self.seen.iter().min_by_key(|seen| seen.age)
    }
}

/// Every machine, by name.
pub fn members(roster: &Roster, presence: Option<&Presence>) -> Vec<Member> {
    let mut all: Vec<Member> = roster
        .peers
        .iter()
        .map(|peer| Member {
            id: peer.id.to_string(),
            origin: Origin::Roster,
            peer: Some(peer.clone()),
            seen: Vec::new(),
        })
        .collect();
    for seen in presence.into_iter().flat_map(|presence| &presence.machines) {
        match all.iter_mut().find(|member| member.id == seen.beat.name()) {
            Some(member) => {
                if member.peer.is_some() {
                    member.origin = Origin::Both;
                }
                member.seen.push(seen.clone());
            }
            None => all.push(Member {
                id: seen.beat.name().to_owned(),
                origin: Origin::Presence,
                peer: None,
                seen: vec![seen.clone()],
            }),
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MachineBeat;
    use std::time::Duration;

    fn seen(name: &str, uid: &str) -> Seen {
        let beat =
            MachineBeat { display_name: name.into(), machine_uid: uid.into(), ..MachineBeat::default() };
        Seen { beat, age: Duration::from_secs(1), skew_ms: 0 }
    }

    #[test]
    fn roster_and_presence_are_one_list_with_origins_and_clashes() {
        let peer = |id: &str| Peer {
            id: id.parse().unwrap(),
            address: "h".parse().unwrap(),
            description: None,
            added_unix_ms: 0,
            token_file: None,
        };
        let roster = Roster { peers: vec![peer("studio"), peer("laptop")], bad: vec![] };
        let mut copied = seen("pi", "u3");
        copied.beat.twin = Some("boot".into());
        let machines = vec![seen("studio", "u1"), seen("studio", "u2"), copied];
        let presence = Presence { machines, ..Presence::default() };
        let all = members(&roster, Some(&presence));
        let short: Vec<_> =
            all.iter().map(|one| (one.id.as_str(), one.origin.as_str(), one.seen.len())).collect();
        assert_eq!(short, [("laptop", "roster", 0), ("pi", "redis", 1), ("studio", "roster+redis", 2)]);
        assert_eq!(all[0].clash(), None);
        assert!(all[1].clash().unwrap().contains("one identity"));
        assert!(all[2].clash().unwrap().contains("2 machines are called studio"));
        assert_eq!(members(&roster, None).len(), 2);
    }
}
