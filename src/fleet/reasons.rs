//! Which machines can run a job now, and why the others can't: a judgement over what the machines say of
//! themselves. Asks nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Facts, Member, meets};
use crate::model::{MachineId, Priority, Requirement};
use crate::util::{human, visible_line};
use crate::wire::{Lane, MachineBeat};
use crate::work::{JobView, QueueStatus, Seat};

/// Without a sign of life for so long a machine may be gone: they come every five seconds.
const SILENT: Duration = Duration::from_secs(7);

/// What a job asks for, published or not.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The role.
    pub role: String,
    /// Whether machines must accept the role by name: it runs a command of its own, or the message itself.
    pub needs_accept: bool,
    /// Which runners may read it.
    pub lane: Lane,
    /// Machines that gave it back, and why.
    pub declined: BTreeMap<String, String>,
    /// Machines that have a head start.
    pub first: Vec<MachineId>,
}

impl Ask {
    /// What a job of the queue asks for.
    pub fn of(job: &JobView, needs_accept: bool) -> Self {
        Self {
            role: job.role.clone().unwrap_or_default(),
            needs_accept,
            lane: job.lane.clone().unwrap_or_default(),
            declined: job.declined.clone(),
            first: job.spec.as_ref().map(|spec| spec.first.clone()).unwrap_or_default(),
        }
    }
}

/// What holds for every machine.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    /// No job is handed out.
    pub paused: bool,
    /// Machines that get none.
    pub drained: Vec<String>,
}

impl From<&QueueStatus> for Gate {
    fn from(status: &QueueStatus) -> Self {
        Self { paused: status.paused, drained: status.drained.clone() }
    }
}

/// Whether a machine can run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It would claim it.
    Now,
    /// Not now; the reason goes by itself or by a word of the operator.
    Later,
    /// Not as it is.
    No,
}

impl Verdict {
    /// The word of tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Later => "not now",
            Self::No => "no",
        }
    }
}

/// One machine's judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The machine.
    pub machine: String,
    /// Whether it can run it.
    pub verdict: Verdict,
    /// Why not, or what to know.
    pub reasons: Vec<String>,
}

/// A row for every machine.
pub fn rows(ask: &Ask, gate: &Gate, members: &[Member]) -> Vec<Row> {
    members.iter().map(|member| row(ask, gate, member)).collect()
}

fn row(ask: &Ask, gate: &Gate, member: &Member) -> Row {
    let name = member.id.as_str();
    let (mut no, mut later) = (Vec::new(), Vec::new());
    if let Some(pin) = ask.lane.pin.as_ref().filter(|pin| pin.as_str() != name) {
        no.push(format!("pinned to {pin}"));
    }
    match member.newest() {
        None => later.push("shows no sign of life (is `darkmux serve` running there?)".to_owned()),
        Some(seen) if seen.age > SILENT => {
            later.push(format!("was not heard of for {}, and may be gone", human::duration(seen.age)));
        }
        Some(seen) if seen.beat.runner.is_none() => no.extend(of_1_9(ask)),
        Some(seen) => {
            let beat = &seen.beat;
            no.extend(unable(ask, beat));
            later.extend(occupied(beat));
        }
    }
    let boot = member.newest().and_then(|seen| seen.beat.boot.as_deref());
    // What it still lacks it has said in the same words.
    no.extend(given_back(ask, name, boot).filter(|why| !no.iter().any(|lack| why.ends_with(lack))));
    if gate.paused {
        later.push("the queue is paused; `darkmux queue resume` goes on".to_owned());
    }
    if gate.drained.iter().any(|drained| drained == name) {
        later.push(format!("is drained (`darkmux fleet undrain {}`)", visible_line(name)));
    }
    let verdict = match (no.is_empty(), later.is_empty()) {
        (false, _) => Verdict::No,
        (true, false) => Verdict::Later,
        (true, true) => Verdict::Now,
    };
    no.append(&mut later);
    if verdict == Verdict::Now && ask.first.iter().any(|first| first.as_str() == name) {
        no.push("has a head start".to_owned());
    }
    Row { machine: name.to_owned(), verdict, reasons: no }
}

/// Runners of darkmux 1.9 know one lane.
fn of_1_9(ask: &Ask) -> Option<String> {
    let known = ask.lane == Lane { priority: Priority::Normal, ..Lane::default() };
    (!known).then(|| "runs darkmux 1.9, which knows jobs without requirements alone".to_owned())
}

/// What it lacks.
fn unable(ask: &Ask, beat: &MachineBeat) -> Vec<String> {
    let mut lacks = Vec::new();
    if beat.runner.is_some_and(|runner| !runner.enabled) {
        lacks.push("claims no jobs (runner.enabled)".to_owned());
    }
    if !beat.roles.contains(&ask.role) {
        lacks.push(format!("role {} can't run there", visible_line(&ask.role)));
    } else if ask.needs_accept && !beat.accept.iter().any(|word| *word == ask.role || word == "*") {
        lacks.push(not_accepted(beat.name(), &ask.role, &beat.accept));
    }
    let Some(facts) = Facts::of_beat(beat) else {
        lacks.push("its name is no machine id".to_owned());
        return lacks;
    };
    for text in &ask.lane.require {
        let met = text.parse::<Requirement>().map_err(|error| error.to_string());
        lacks.extend(met.and_then(|requirement| meets(&facts, &requirement)).err());
    }
    lacks
}

/// What a machine says to a role that runs commands and that its `runner.accept` does not name, with what mends it.
pub fn not_accepted(machine: &str, role: &str, accept: &[String]) -> String {
    let words: Vec<&str> = accept.iter().map(String::as_str).chain([role]).collect();
    let (machine, role, words) = (visible_line(machine), visible_line(role), words.join(","));
    format!(
        "does not accept the role {role} from the queue; on {machine}: darkmux config set runner.accept {}, then start its \
         daemon anew",
        visible_line(&words)
    )
}

/// What keeps it busy.
fn occupied(beat: &MachineBeat) -> Option<String> {
    if beat.runner.is_some_and(|runner| runner.draining) {
        return Some("is draining".to_owned());
    }
    let slots = beat.slots.filter(|slots| slots.busy >= slots.total)?;
    Some(format!("is busy ({} of {} slots)", slots.busy, slots.total))
}

fn given_back(ask: &Ask, machine: &str, boot: Option<&str>) -> Option<String> {
    let of_machine = |consumer: &str| match (boot, MachineId::new(machine)) {
        // Another run of its daemon is asked again.
        (Some(boot), Ok(machine)) => {
            let own = Seat::of_boot(machine, boot).consumer;
            // What it lacks may stand behind.
            consumer.split('@').next() == Some(&own)
        }
        // A consumer's name begins with its machine's.
        _ => consumer.split(':').next() == Some(machine),
    };
    let out = ask.lane.not.iter().any(|consumer| of_machine(consumer));
    let why = ask.declined.get(machine).map(|why| visible_line(why).into_owned());
    out.then(|| format!("refused it: {}", why.unwrap_or_else(|| "no reason is kept".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Origin, Seen};
    use crate::wire::{RunnerBeat, Slots};

    fn beat(name: &str) -> MachineBeat {
        MachineBeat {
            machine_id: Some(name.to_owned()),
            os: Some("linux".to_owned()),
            ram_total_bytes: Some(32 << 30),
            runner: Some(RunnerBeat { enabled: true, draining: false }),
            slots: Some(Slots { total: 2, busy: 0 }),
            roles: vec!["coder".to_owned(), "shell".to_owned()],
            ..MachineBeat::default()
        }
    }

    fn member(name: &str, beat: Option<MachineBeat>) -> Member {
        let seen = beat.map(|beat| Seen { beat, age: Duration::from_secs(1), skew_ms: 0 });
        Member { id: name.to_owned(), origin: Origin::Presence, peer: None, seen: seen.into_iter().collect() }
    }

    fn ask() -> Ask {
        Ask { role: "coder".to_owned(), ..Ask::default() }
    }

    fn judged(ask: &Ask, gate: &Gate, member: Member) -> (Verdict, String) {
        let row = rows(ask, gate, &[member]).remove(0);
        (row.verdict, row.reasons.join("; "))
    }

    fn of(change: fn(&mut MachineBeat)) -> Member {
        let mut beat = beat("studio");
        change(&mut beat);
        member("studio", Some(beat))
    }

    fn same(_: &mut MachineBeat) {}

    fn lane(lane: Lane) -> Ask {
        Ask { lane, ..ask() }
    }

    fn judge(cases: Vec<(Ask, Gate, Member, Verdict, &str)>) {
        for (ask, gate, member, verdict, says) in cases {
            let (said, why) = judged(&ask, &gate, member);
            assert_eq!(said, verdict, "{why}");
            assert!(why.contains(says), "{why:?} says not {says:?}");
        }
    }

    #[test]
    fn what_a_machine_lacks_is_named() {
        let free = Gate::default();
        judge(vec![
            (ask(), free.clone(), of(same), Verdict::Now, ""),
            (ask(), free.clone(), member("studio", None), Verdict::Later, "no sign of life"),
            (ask(), free.clone(), of(|beat| beat.runner = None), Verdict::Now, ""),
            (
                lane(Lane { require: vec!["gpu".into()], ..Lane::default() }),
                free.clone(),
                of(|beat| beat.runner = None),
                Verdict::No,
                "1.9",
            ),
            (
                lane(Lane { pin: MachineId::new("laptop").ok(), ..Lane::default() }),
                free.clone(),
                of(same),
                Verdict::No,
                "pinned to laptop",
            ),
            (
                lane(Lane { require: vec!["ram=64GiB".into()], ..Lane::default() }),
                free.clone(),
                of(same),
                Verdict::No,
                "needs ram=64GiB",
            ),
            (
                Ask {
                    lane: Lane { not: vec!["studio:1".into()], ..Lane::default() },
                    declined: [("studio".to_owned(), "no model".to_owned())].into(),
                    ..ask()
                },
                free.clone(),
                of(same),
                Verdict::No,
                "refused it: no model",
            ),
            (
                ask(),
                free.clone(),
                {
                    let mut crashed = of(same);
                    crashed.seen[0].age = Duration::from_secs(9);
                    crashed
                },
                Verdict::Later,
                "was not heard of for 9.0 s",
            ),
            (ask(), free.clone(), of(|beat| beat.roles.clear()), Verdict::No, "can't run there"),
        ]);
    }

    #[test]
    fn what_passes_is_named() {
        let free = Gate::default();
        judge(vec![
            (
                Ask { needs_accept: true, ..ask() },
                free.clone(),
                of(same),
                Verdict::No,
                "on studio: darkmux config set runner.accept coder",
            ),
            (
                Ask { needs_accept: true, ..ask() },
                free.clone(),
                of(|beat| beat.accept = vec!["shell".to_owned()]),
                Verdict::No,
                "runner.accept shell,coder,",
            ),
            (
                Ask { needs_accept: true, ..ask() },
                free.clone(),
                of(|beat| beat.accept = vec!["*".to_owned()]),
                Verdict::Now,
                "",
            ),
            (
                ask(),
                free.clone(),
                of(|beat| beat.slots = Some(Slots { total: 2, busy: 2 })),
                Verdict::Later,
                "busy (2 of 2",
            ),
            (
                ask(),
                free.clone(),
                of(|beat| beat.runner = Some(RunnerBeat { enabled: false, draining: false })),
                Verdict::No,
                "claims no jobs",
            ),
            (ask(), Gate { paused: true, drained: vec![] }, of(same), Verdict::Later, "paused"),
            (
                ask(),
                Gate { paused: false, drained: vec!["studio".to_owned()] },
                of(same),
                Verdict::Later,
                "undrain studio",
            ),
            (
                Ask { first: vec![MachineId::new("studio").unwrap()], ..ask() },
                free.clone(),
                of(same),
                Verdict::Now,
                "head start",
            ),
        ]);
    }

    #[test]
    fn a_refusal_that_still_holds_is_said_once() {
        let why = not_accepted("studio", "coder", &[]);
        let ask = Ask {
            needs_accept: true,
            lane: Lane { not: vec!["studio:1".into()], ..Lane::default() },
            declined: [("studio".to_owned(), why.clone())].into(),
            ..ask()
        };
        assert_eq!(judged(&ask, &Gate::default(), of(same)), (Verdict::No, why));
    }

    #[test]
    fn hostile_names_and_reasons_are_shown() {
        let ask = Ask {
            role: "co\u{1b}[2J".to_owned(),
            lane: Lane { not: vec!["studio:1".into()], ..Lane::default() },
            declined: [("studio".to_owned(), "\u{1b}]0;x\u{7}".to_owned())].into(),
            ..Ask::default()
        };
        let (_, why) = judged(&ask, &Gate::default(), member("studio", Some(beat("studio"))));
        assert!(!why.contains('\u{1b}'), "{why:?}");
    }
}
