//! `darkmux job dead`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::link;
use crate::cli::printer::DIM;
use crate::cli::table::{Cell, Table};
use crate::cli::{Cx, Exit, Failure, Outcome, block_on};
use crate::util::human;
use crate::work::{DeadLetter, Queue, Retried};

/// Dead letters in the list.
const LISTED: usize = 200;

/// Dead letters that are looked through for one.
const SEARCHED: usize = 10_000;

/// Beginning of an entry that was no job, in characters.
const RAW_MAX: usize = 120;

/// List dead letters: jobs that are not tried again by themselves, and entries that were no jobs.
#[derive(Debug, Args)]
pub struct DeadArgs {
    /// Put the job of this dead letter into the queue once more
    #[arg(long, value_name = "JOB|ENTRY", value_parser = NonEmptyStringValueParser::new())]
    #[arg(conflicts_with = "drop")]
    requeue: Option<String>,
    /// Take this dead letter away, or `all` of them; their jobs stay until their time
    #[arg(long, value_name = "JOB|ENTRY|all", value_parser = NonEmptyStringValueParser::new(), requires = "yes")]
    drop: Option<String>,
    /// Yes, take it away
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &DeadArgs, cx: &Cx) -> Outcome {
    let queue = link::queue(cx, "dead letters")?;
    block_on(async {
        match (&args.requeue, &args.drop) {
            (Some(which), _) => requeue(cx, &queue, which).await,
            (None, Some(which)) => drop_letters(cx, &queue, which).await,
            (None, None) => list(args, cx, &queue).await,
        }
    })
}

async fn list(args: &DeadArgs, cx: &Cx, queue: &Queue) -> Outcome {
    let letters = queue.dead(LISTED).await.map_err(|error| link::failure(&error))?;
    if args.json {
        cx.printer.json(&json!({ "schema": 1, "dead": letters }))?;
        return Ok(Exit::Ok);
    }
    if letters.is_empty() {
        cx.printer.note("no dead letters");
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["ENTRY", "JOB", "WHY", "WHAT"]);
    for letter in &letters {
        let raw: String = letter.raw.as_deref().unwrap_or_default().chars().take(RAW_MAX).collect();
        let job = letter.job.as_ref().map_or("-", |job| job.as_str());
        table.row(vec![
            Cell::from(&letter.entry),
            Cell::from(job),
            Cell::from(&letter.why),
            Cell::styled(raw, DIM),
        ]);
    }
    table.print(&cx.printer)?;
    if letters.len() == LISTED {
        cx.printer.note(&format!("the newest {LISTED} are shown"));
    }
    Ok(Exit::Ok)
}

/// The dead letters that `which` means: an entry, a job's id, or the only job whose id begins or ends so.
async fn letters(queue: &Queue, which: &str) -> Result<Vec<DeadLetter>, Failure> {
    let all = queue.dead(SEARCHED).await.map_err(|error| link::failure(&error))?;
    let is = |letter: &&DeadLetter| {
        letter.entry == which || letter.job.as_ref().is_some_and(|job| job.as_str() == which)
    };
    let found: Vec<DeadLetter> = all.iter().filter(is).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let id = link::find(queue, which).await?;
    let found: Vec<DeadLetter> = all.into_iter().filter(|letter| letter.job.as_ref() == Some(&id)).collect();
    if found.is_empty() {
        let words = format!("job {id} is no dead letter; `darkmux job dead` lists them");
        return Err(Failure::new(Exit::Failed, words));
    }
    Ok(found)
}

async fn requeue(cx: &Cx, queue: &Queue, which: &str) -> Outcome {
    let letters = letters(queue, which).await?;
    let Some(id) = letters.iter().find_map(|letter| letter.job.clone()) else {
        let words = "that entry was no job; there is nothing to try again";
        return Err(Failure::new(Exit::Failed, words));
    };
    match queue.retry(&id).await.map_err(|error| link::failure(&error))? {
        Retried::Queued => cx.printer.note(&format!("job {id} is in the queue again")),
        // Somebody else was first; its letters have done what they are for.
        Retried::Offered => cx.printer.note(&format!("job {id} is offered again to those that refused it")),
        Retried::Live(state) => cx.printer.note(&format!("job {id} is {} already", state.as_str())),
    }
    for letter in letters {
        queue.drop_dead(&letter.entry).await.map_err(|error| link::failure(&error))?;
    }
    Ok(Exit::Ok)
}

async fn drop_letters(cx: &Cx, queue: &Queue, which: &str) -> Outcome {
    let all = || async { queue.dead(SEARCHED).await.map_err(|error| link::failure(&error)) };
    let mut found = if which == "all" { all().await? } else { letters(queue, which).await? };
    let mut dropped = 0_u64;
    while !found.is_empty() {
        for letter in &found {
            let gone = queue.drop_dead(&letter.entry).await.map_err(|error| link::failure(&error))?;
            dropped += u64::from(gone);
        }
        // There may be more than are read at once.
        let is_rest = which == "all" && found.len() >= SEARCHED;
        found = if is_rest { all().await? } else { Vec::new() };
    }
    cx.printer.note(&format!("taken away: {}", human::count(dropped, "dead letter")));
    Ok(Exit::Ok)
}
