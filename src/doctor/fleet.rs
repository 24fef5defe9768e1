//! All machines of the fleet at once, one line each: what `doctor --fleet` adds.

use std::sync::mpsc;
use std::time::Duration;

use super::checks::unanswered;
use super::links::{describe, remedy};
use super::versions::short;
use super::{Finding, Machine, Outcome, duplicates, others, peers, question};
use crate::client::Client;
use crate::fleet::{
    Member, PROBE_TIME, Presence, PresenceReader, ProbeState, Probed, Seen, members, probe_all,
};
use crate::util::{human, visible_line};
use crate::wire::v1::{LinkState, PeerStatus};

/// Clocks may differ by this much, in milliseconds.
const TOLERATED_MS: i64 = 2_000;

/// Free memory below which a line says so, in bytes.
const LITTLE_RAM: u64 = 1 << 30;

/// What probes, Redis and the daemon here say of the others.
type Answers = (Vec<Probed>, Option<Presence>, Option<Vec<PeerStatus>>);

/// Looks at every machine of the roster and of Redis.
fn fleet(machine: &Machine) -> Vec<Outcome> {
    let roster = others::roster(machine);
    let asked = async {
        let alive = async {
            let reader = PresenceReader::new(others::redis(machine)?);
            tokio::time::timeout(PROBE_TIME, reader.machines()).await.ok()?.ok()
        };
        let links = async {
            let client = Client::local(&machine.config.paths).ok()?;
            tokio::time::timeout(PROBE_TIME, client.peers()).await.ok()?.ok()
        };
        tokio::join!(probe_all(&roster.peers, false), alive, links)
    };
    let (probed, presence, links): Answers = match question(PROBE_TIME * 2, asked) {
        Ok(answers) => answers,
        Err(why) => return vec![Outcome { name: "fleet".into(), finding: peers::not_known(&why) }],
    };
    let all = members(&roster, presence.as_ref());
    let beside = links.iter().flatten().filter(|peer| all.iter().all(|member| member.id != peer.name));
    let beside = beside
        .map(|peer| Outcome { name: visible_line(&peer.name).into_owned().into(), finding: of_link(peer) });
    all.iter()
        .map(|member| {
            let at = roster.peers.iter().position(|peer| peer.id.as_str() == member.id);
            let finding = judge(machine.version, member, at.and_then(|at| probed.get(at)));
            Outcome { name: member.id.clone().into(), finding }
        })
        .chain(beside)
        .collect()
}

/// How long the others are waited for.
const LIMIT: Duration = Duration::from_secs(5);

/// The others, being asked while this machine is looked at.
#[derive(Debug)]
pub struct Asked(mpsc::Receiver<Vec<Outcome>>);

impl Asked {
    /// Begins to ask.
    pub fn begin(machine: Machine) -> Self {
        let (tell, answer) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            // Nobody listens any more once the limit is over.
            let _ = tell.send(fleet(&machine));
        });
        Self(answer)
    }

    /// What they said.
    pub fn outcomes(self) -> Vec<Outcome> {
        self.0
            .recv_timeout(LIMIT)
            .unwrap_or_else(|error| vec![Outcome { name: "fleet".into(), finding: unanswered(error, LIMIT) }])
    }
}

/// One that is known as a peer alone, by `host.toml` or because it was found.
fn of_link(peer: &PeerStatus) -> Finding {
    let version = peer
        .version
        .as_deref()
        .map_or_else(|| "unknown".to_owned(), |version| visible_line(short(version)).into_owned());
    match peer.status {
        LinkState::Connected => Finding::pass(format!("connected ({}), version {version}", peer.origin)),
        LinkState::Offline => Finding::pass("off".to_owned()),
        LinkState::Connecting | LinkState::Disconnected => {
            Finding::warn(describe(peer), "its sessions can't be seen as they are now", remedy(peer))
        }
    }
}

/// The verdict on one machine: what is worst.
fn judge(own: &str, member: &Member, probed: Option<&Probed>) -> Finding {
    if let Some(clash) = member.clash() {
        return Finding::fail(clash, duplicates::WHY, duplicates::FIX);
    }
    let problem = probed.zip(member.peer.as_ref()).and_then(|(probed, peer)| probed.state.problem(peer));
    let newest = member.newest();
    match (&problem, newest, probed.map(|probed| &probed.state)) {
        (Some(problem), _, Some(ProbeState::OtherMachine(_))) => Finding::fail(
            problem.clone(),
            "what is meant for it goes to another machine",
            format!("darkmux fleet add {} --address HOST:PORT", member.id),
        ),
        (Some(problem), None, Some(ProbeState::Auth | ProbeState::Token(_))) => Finding::warn(
            problem.clone(),
            "its sessions can't be seen",
            format!("here: `darkmux fleet join` with a code of `darkmux fleet invite` on {}", member.id),
        ),
        (Some(problem), None, _) => Finding::warn(
            format!("no sign of life: {problem}"),
            "it runs no jobs, and its sessions can't be seen",
            format!("start `darkmux serve` on {0}, or: darkmux fleet remove {0}", member.id),
        ),
        (Some(problem), Some(_), _) => Finding::warn(
            format!("lives, but can't be asked: {problem}"),
            "it runs jobs; its sessions can't be seen from here",
            format!(
                "on {}: darkmux config get serve.bind; only loopback can be asked from there alone",
                member.id
            ),
        ),
        (None, Some(seen), _) => of_beat(own, member, seen),
        (None, None, _) => Finding::pass(format!(
            "answers, version {}",
            probed.and_then(|probed| probed.version.as_deref()).unwrap_or("unknown")
        )),
    }
}

fn of_beat(own: &str, member: &Member, seen: &Seen) -> Finding {
    let beat = &seen.beat;
    let version = beat.darkmux_version.as_deref().map_or("1.x", short);
    if seen.skew_ms.abs() > TOLERATED_MS {
        let off = human::duration(Duration::from_millis(seen.skew_ms.unsigned_abs()));
        let way = if seen.skew_ms > 0 { "ahead" } else { "behind" };
        return Finding::warn(
            format!("its clock is {off} {way}"),
            "its records are dated by it",
            format!("on {}: switch time synchronisation on", member.id),
        );
    }
    if version != short(own) {
        return Finding::warn(
            format!("is of version {version}; this is {}", short(own)),
            "it may not run jobs that this machine hands out, or not as this one expects",
            format!("on {}: replace the older binary, then restart `darkmux serve`", member.id),
        );
    }
    if let Some(free) = beat.ram_free_bytes.filter(|free| *free < LITTLE_RAM) {
        return Finding::warn(
            format!("has {} of free memory", human::bytes(free)),
            "jobs there may be slow, or end early",
            format!("on {}: unload models, or end sessions", member.id),
        );
    }
    let slots = match (beat.slots, beat.runner) {
        (Some(slots), Some(runner)) if runner.draining => format!("draining, {} jobs left", slots.busy),
        (Some(slots), Some(runner)) if runner.enabled => {
            format!("{} of {} slots busy", slots.busy, slots.total)
        }
        _ => "claims no jobs".to_owned(),
    };
    let free = beat.ram_free_bytes.map(|free| format!(", {} free", human::bytes(free))).unwrap_or_default();
    Finding::pass(format!("{version}, {slots}{free}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;
    use crate::fleet::{Origin, Specs};
    use crate::wire::MachineBeat;

    fn member(seen: Vec<Seen>) -> Member {
        let peer = crate::fleet::Peer {
            id: "pi".parse().unwrap(),
            address: "h".parse().unwrap(),
            description: None,
            added_unix_ms: 0,
            token_file: None,
        };
        Member { id: "pi".into(), origin: Origin::Both, peer: Some(peer), seen }
    }

    fn seen(version: &str, skew_ms: i64) -> Seen {
        let beat = MachineBeat {
            display_name: "pi".into(),
            darkmux_version: Some(version.into()),
            ..MachineBeat::default()
        };
        Seen { beat, age: Duration::ZERO, skew_ms }
    }

    fn probed(state: ProbeState) -> Probed {
        let took = Duration::ZERO;
        Probed { state, took, resolved: None, version: None, uid: None, specs: Specs::NotAsked }
    }

    #[test]
    fn each_machine_has_one_verdict_and_the_worst_wins() {
        let own = "0.1.0 (x)";
        for (seen_by, state, expected, says) in [
            (vec![seen("0.1.0", 0)], ProbeState::Answers, State::Pass, "claims no jobs"),
            (vec![seen("0.1.0", 0)], ProbeState::Refused, State::Warn, "lives, but"),
            (vec![seen("0.2.0", 0)], ProbeState::Answers, State::Warn, "version 0.2.0"),
            (vec![seen("0.1.0", -9_000)], ProbeState::Answers, State::Warn, "9.0 s behind"),
            (vec![], ProbeState::Refused, State::Warn, "no sign of life"),
            (vec![], ProbeState::Auth, State::Warn, "pi asks for a token"),
            (vec![], ProbeState::Answers, State::Pass, "answers"),
            (vec![], ProbeState::OtherMachine("x".into()), State::Fail, "is the machine x"),
            (vec![seen("0.1.0", 0), seen("0.1.0", 0)], ProbeState::Answers, State::Fail, "2 machines"),
        ] {
            let found = judge(own, &member(seen_by), Some(&probed(state)));
            assert_eq!(found.state, expected, "{found:?}");
            assert!(found.finding.contains(says), "{found:?}");
            assert_eq!(found.fix.is_some(), found.state != State::Pass);
        }
    }
}
