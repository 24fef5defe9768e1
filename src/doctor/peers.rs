//! Whether the machines of the roster answer.

use super::{Check, Finding, Machine, question};
use crate::fleet::{PROBE_TIME, Peer, Probed, Roster, RosterFile, probe_all};

/// The roster, asked.
pub struct Peers;

impl Check for Peers {
    fn name(&self) -> &'static str {
        "peers"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let file = RosterFile::new(machine.config.fleet_file());
        let roster = match file.read() {
            Ok(roster) => roster,
            Err(error) => {
                let shown = file.path().display().to_string();
                let fix = format!("edit {shown}, or move it away: mv '{shown}' '{shown}.old'");
                return Finding::fail(
                    error.to_string(),
                    "no machine is known by its address, and the daemon goes on with those of before",
                    fix,
                );
            }
        };
        if roster.peers.is_empty() && roster.bad.is_empty() {
            return Finding::pass("the roster is empty");
        }
        match question(PROBE_TIME * 3 / 2, probe_all(&roster.peers, false)) {
            Ok(probed) => judge(&roster, &probed),
            Err(why) => not_known(&why),
        }
    }
}

/// The machines could not be asked.
pub(super) fn not_known(why: &str) -> Finding {
    let words = format!("not known: {why}");
    Finding::warn(
        words,
        "nobody was asked: this machine has no time or no room for it",
        "darkmux doctor --fleet",
    )
}

fn judge(roster: &Roster, probed: &[Probed]) -> Finding {
    let problem = |(peer, probed): (&Peer, &Probed)| probed.state.problem(peer);
    let mut wrong: Vec<String> = roster.peers.iter().zip(probed).filter_map(problem).collect();
    let silent = wrong.len();
    wrong.extend(roster.bad.iter().map(|bad| format!("the entry {} is of no use: {}", bad.key, bad.reason)));
    let count = roster.peers.len();
    if wrong.is_empty() {
        return Finding::pass(format!("{count} of {count} answer"));
    }
    let words = format!("{} of {count} answer", count - silent);
    let why = "their sessions and facts can't be seen from here; jobs of the queue don't depend on it";
    let fix = match (roster.bad.first(), silent) {
        (Some(bad), 0) => format!("darkmux fleet remove '{}'", bad.key),
        _ => "start `darkmux serve` there, or `darkmux fleet remove NAME`; `darkmux fleet status` asks again"
            .to_owned(),
    };
    Finding::warn(words, why, fix).details(wrong)
}
