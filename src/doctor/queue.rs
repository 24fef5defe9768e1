//! Whether the queue hands out jobs: groups, gates, jobs that wait too long, entries of nobody, dead letters.

use std::time::Duration;

use super::others::{self, PATIENCE};
use super::{Check, Finding, Machine, question};
use crate::util::{human, visible_line};
use crate::work::{Queue as WorkQueue, QueueHealth, QueueStatus};

/// A job that waits for longer than this needs a look.
const LONG: Duration = Duration::from_mins(5);

/// The work queue.
pub struct Queue;

impl Check for Queue {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let Some(redis) = others::redis(machine) else { return others::alone() };
        let queue = WorkQueue::new(redis, machine.config.queue(), None);
        let asked = async { Ok::<_, crate::work::WorkError>((queue.status().await?, queue.health().await?)) };
        match question(PATIENCE, asked) {
            Ok(Ok((status, health))) => judge(&status, &health),
            // That Redis does not answer is told once, by its own check.
            Ok(Err(_)) | Err(_) => Finding::pass("not known while Redis does not answer"),
        }
    }
}

/// All is looked at; the first is the finding, the others are its details.
fn judge(status: &QueueStatus, health: &QueueHealth) -> Finding {
    let mut found = problems(status, health).into_iter();
    let Some(worst) = found.next() else { return Finding::pass(well(status, health)) };
    let line = |other: Finding| format!("also: {} → {}", other.finding, other.fix.unwrap_or_default());
    let details = found.map(line).collect();
    worst.details(details)
}

fn well(status: &QueueStatus, health: &QueueHealth) -> String {
    let count = |state| status.depth.get(state).copied().unwrap_or(0);
    let group = if health.exists { "group there" } else { "nothing was published yet" };
    format!("{} queued, {} waiting, {} running; {group}", count("queued"), count("waiting"), count("running"))
}

fn problems(status: &QueueStatus, health: &QueueHealth) -> Vec<Finding> {
    let mut found = Vec::new();
    let waits = status.oldest_queued_ms.map(|since| status.now_ms.saturating_sub(since));
    let waits = waits.map(Duration::from_millis).filter(|waits| *waits > LONG);
    if let Some(stream) = health.without_group.first() {
        found.push(Finding::fail(
            format!("{} has jobs and no group darkmux-runners", visible_line(stream)),
            "its jobs are handed out to nobody",
            "darkmux serve   # on any machine: it makes the group again",
        ));
    }
    if status.paused {
        found.push(Finding::warn("paused", "no job is handed out anywhere", "darkmux queue resume"));
    }
    if !status.drained.is_empty() {
        let names = others::names(status.drained.iter().map(String::as_str));
        let first = visible_line(&status.drained[0]).into_owned();
        found.push(Finding::warn(
            format!("drained: {}", visible_line(&names)),
            "these machines get no jobs",
            format!("darkmux fleet undrain {first}"),
        ));
    }
    if let Some(waits) = waits {
        found.push(Finding::warn(
            format!("a job waits for {}", human::duration(waits)),
            "no machine that may run it is there, or has room",
            "darkmux job ls --state queued; darkmux job explain JOB",
        ));
    }
    if let Some(longest) = health.orphans.iter().max_by_key(|orphan| orphan.held) {
        let of_1_9 = !longest.consumer.contains(':');
        let whose = if of_1_9 { "a runner of darkmux 1.9" } else { "a runner that is gone" };
        let fix = if of_1_9 {
            "see whether darkmux 1.9 runs there; a job that it lost is dispatched again by hand"
        } else {
            "darkmux serve   # on any machine: it puts them back"
        };
        found.push(Finding::warn(
            format!(
                "{} entries are held by nobody we know, the oldest for {} by {} ({whose})",
                health.orphans.len(),
                human::duration(longest.held),
                visible_line(&longest.consumer)
            ),
            "nobody else gets what is held so",
            fix,
        ));
    }
    if status.dead > 0 {
        found.push(Finding::warn(
            human::count(status.dead, "dead letter"),
            "these jobs are not tried again by themselves",
            "darkmux job dead   # then --requeue JOB, or --drop JOB --yes",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;
    use crate::work::Orphan;

    fn status() -> QueueStatus {
        QueueStatus {
            schema: 1,
            paused: false,
            parked: 0,
            drained: vec![],
            depth: [("queued", 1)].into(),
            oldest_queued_ms: Some(1_000),
            running: [].into(),
            dead: 0,
            now_ms: 2_000,
        }
    }

    #[test]
    fn each_problem_has_its_command() {
        let well = QueueHealth { exists: true, ..QueueHealth::default() };
        assert_eq!(judge(&status(), &well).state, State::Pass);
        let orphan = |consumer: &str| QueueHealth {
            orphans: vec![Orphan { consumer: consumer.into(), held: Duration::from_hours(1) }],
            ..well.clone()
        };
        let no_group = QueueHealth { without_group: vec!["darkmux:work".into()], ..well.clone() };
        for (status, health, says, fix) in [
            (QueueStatus { paused: true, ..status() }, &well, "paused", "queue resume"),
            (QueueStatus { drained: vec!["studio".into()], ..status() }, &well, "studio", "undrain studio"),
            (QueueStatus { now_ms: 1_000_000, ..status() }, &well, "waits for", "job explain"),
            (QueueStatus { dead: 3, ..status() }, &well, "3 dead letters", "job dead"),
            (status(), &no_group, "no group", "darkmux serve"),
            (status(), &orphan("oldmac"), "darkmux 1.9", "by hand"),
            (status(), &orphan("a:1"), "is gone", "darkmux serve"),
        ] {
            let finding = judge(&status, health);
            assert!(finding.state > State::Pass && finding.finding.contains(says), "{finding:?}");
            assert!(finding.fix.as_ref().unwrap().contains(fix), "{finding:?}");
        }
        let both = judge(&QueueStatus { paused: true, dead: 1, ..status() }, &well);
        assert!(both.finding == "paused" && both.details[0].contains("1 dead letter "), "{both:?}");
    }
}
