//! `darkmux queue`: the queue as a whole.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::dry::DryRun;
use super::job::{self, failure};
use super::printer::{BOLD, DIM, WARN};
use super::{Cx, Exit, Failure, Outcome, block_on};
use crate::model::SessionId;
use crate::util::{human, visible_line};
use crate::work::{Queue, QueueStatus};

/// Ids named for a machine.
const NAMED: usize = 8;

/// The queue as a whole.
#[derive(Debug, Subcommand)]
pub enum QueueVerb {
    /// Show how many jobs wait and run, for how long, and who holds what
    Status(StatusArgs),
    /// Hand out no more jobs, anywhere; running ones go on
    Pause(DryRun),
    /// Hand out jobs again
    Resume(DryRun),
}

/// Arguments of `queue status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(verb: &QueueVerb, cx: &Cx) -> Outcome {
    let queue = job::queue(cx, "the queue")?;
    block_on(async {
        match verb {
            QueueVerb::Status(args) => {
                let status = queue.status().await.map_err(|error| failure(&error))?;
                if args.json {
                    cx.printer.json(&status)?;
                } else {
                    for line in lines(&status) {
                        cx.printer.line(&line)?;
                    }
                }
            }
            QueueVerb::Pause(dry) => set_paused(&queue, true, dry.dry_run, cx).await?,
            QueueVerb::Resume(dry) => set_paused(&queue, false, dry.dry_run, cx).await?,
        }
        Ok(Exit::Ok)
    })
}

async fn set_paused(queue: &Queue, paused: bool, dry_run: bool, cx: &Cx) -> Result<(), Failure> {
    let words = if paused {
        "the queue is paused: running jobs go on, no other is handed out anywhere"
    } else {
        "the queue hands out jobs"
    };
    if !dry_run {
        queue.set_paused(paused).await.map_err(|error| failure(&error))?;
        cx.printer.note(words);
        return Ok(());
    }
    let status = queue.status().await.map_err(|error| failure(&error))?;
    cx.printer.note(&if status.paused == paused {
        format!("nothing would change: {words}")
    } else {
        let queued = human::count(status.depth.get("queued").copied().unwrap_or(0), "queued job");
        format!("{queued} would {}", if paused { "wait" } else { "be handed out" })
    });
    Ok(())
}

fn lines(status: &QueueStatus) -> Vec<String> {
    let count = |state| status.depth.get(state).copied().unwrap_or(0);
    let (queued, waiting, running) = (count("queued"), count("waiting"), count("running"));
    let mut lines =
        vec![format!("{BOLD}{queued}{BOLD:#} queued, {waiting} waiting for their time, {running} running")];
    if status.parked > 0 {
        let parked = human::count(status.parked, "job");
        lines.push(format!("{WARN}parked{WARN:#}: {parked} that no machine can run now (`darkmux job ls`, `darkmux job explain`)"));
    }
    if status.paused {
        lines.push(format!("{WARN}paused{WARN:#}: `darkmux queue resume` goes on"));
    }
    for machine in &status.drained {
        let machine = visible_line(machine);
        lines.push(format!("{WARN}drained{WARN:#}: {machine} (`darkmux fleet undrain {machine}`)"));
    }
    if let Some(oldest) = status.oldest_queued_ms {
        let waits = Duration::from_millis(status.now_ms.saturating_sub(oldest));
        lines.push(format!("the oldest waits for {}", human::duration(waits)));
    }
    for (machine, jobs) in &status.running {
        let mut named: Vec<&str> = jobs.iter().take(NAMED).map(SessionId::as_str).collect();
        let more = format!("and {} more", jobs.len().saturating_sub(NAMED));
        if jobs.len() > NAMED {
            named.push(&more);
        }
        lines.push(format!("{} {DIM}runs{DIM:#} {}", visible_line(machine), named.join(", ")));
    }
    if status.dead > 0 {
        let dead = human::count(status.dead, "dead letter");
        lines.push(format!("{WARN}{dead}{WARN:#}: `darkmux job dead` lists them"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_names_what_needs_a_hand() {
        let jobs = (0..10).map(|n| SessionId::new(format!("job-{n}")).unwrap()).collect();
        let status = QueueStatus {
            schema: 1,
            paused: true,
            drained: vec!["lap\u{1b}top".to_owned()],
            depth: [("queued", 3), ("running", 10)].into(),
            oldest_queued_ms: Some(1000),
            parked: 1,
            running: [("studio".to_owned(), jobs)].into(),
            dead: 2,
            now_ms: 61_000,
        };
        let text = lines(&status).join("\n");
        let text = anstream::adapter::strip_str(&text).to_string();
        for part in [
            "3 queued",
            "1 job that no machine",
            "queue resume",
            "lap\\u{1b}top",
            "1m 0s",
            "and 2 more",
            "2 dead letters",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
