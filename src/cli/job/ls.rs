//! `darkmux job ls`.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::{link, words};
use crate::cli::printer::DIM;
use crate::cli::table::{Cell, Table};
use crate::cli::{Cx, Exit, Outcome, block_on, completions};
use crate::model::JobState;
use crate::util::{clock, human};
use crate::work::JobView;

/// Jobs that wait in the list without `--all`; those that run are all there.
const WAITING: usize = 100;

/// Ended jobs in the list without `--all`.
const ENDED: usize = 50;

/// Ended jobs that are looked at when the list is asked for some of them, or for all.
const ENDED_MAX: usize = 100_000;

/// Longest name in the list, in characters.
const NAME_MAX: usize = 24;

fn state() -> impl TypedValueParser<Value = JobState> {
    PossibleValuesParser::new(JobState::ALL.map(JobState::as_str))
        .map(|word| JobState::of_word(&word).unwrap_or(JobState::Queued))
}

/// List jobs: all that run, the newest 100 that wait, and the newest 50 that have ended.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Every job that is kept
    #[arg(short, long)]
    all: bool,
    /// Only jobs of this state; may be given more than once
    #[arg(short, long, value_name = "STATE", value_parser = state())]
    state: Vec<JobState>,
    /// Only jobs that run or ran on this machine
    #[arg(long, value_name = "ID", add = ArgValueCompleter::new(completions::machines))]
    machine: Option<String>,
    /// Only jobs of this role
    #[arg(long, value_name = "ROLE", add = ArgValueCompleter::new(completions::roles))]
    role: Option<String>,
    /// At most so many, the newest
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl LsArgs {
    fn wants(&self, job: &JobView) -> bool {
        let same = |wanted: &Option<String>, given: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| given.as_ref() == Some(wanted))
        };
        (self.state.is_empty() || self.state.contains(&job.state))
            && same(&self.machine, &job.machine)
            && same(&self.role, &job.role)
    }

    /// How many ended jobs are looked at.
    fn ended(&self) -> usize {
        let filtered =
            self.machine.is_some() || self.role.is_some() || self.state.iter().any(|s| s.is_final());
        match (self.all || filtered, self.state.is_empty() || self.state.iter().any(|state| state.is_final()))
        {
            (_, false) => 0,
            (true, true) => ENDED_MAX,
            (false, true) => self.limit.map_or(ENDED, |limit| limit.clamp(ENDED, ENDED_MAX)),
        }
    }
}

/// Runs the verb.
pub fn run(args: &LsArgs, cx: &Cx) -> Outcome {
    let queue = link::queue(cx, "listing jobs")?;
    let narrow = args.machine.is_some() || args.role.is_some() || !args.state.is_empty();
    let live = if args.all || narrow || args.limit.is_some() { usize::MAX } else { WAITING };
    let listed = async { queue.newest(live, args.ended()).await.map_err(|error| link::failure(&error)) };
    let (mut jobs, hidden) = block_on(listed)?;
    jobs.retain(|job| args.wants(job));
    if !args.all && args.limit.is_none() {
        // What was asked for by state or machine may be far back; the number of lines stays the same.
        let mut left = ENDED;
        jobs.retain(|job| {
            let keep = !job.state.is_final() || left > 0;
            left = left.saturating_sub(usize::from(job.state.is_final()));
            keep
        });
    }
    jobs.truncate(args.limit.unwrap_or(usize::MAX));
    let now = clock::unix_ms(cx.clock.now());
    if args.json {
        cx.printer.json(&json!({ "schema": 1, "generated_at_ms": now, "jobs": jobs, "left_out": hidden }))?;
        return Ok(Exit::Ok);
    }
    if jobs.is_empty() {
        cx.printer.note("no jobs; `darkmux crew dispatch shell --fleet --message 'echo hi'` publishes one");
        return Ok(Exit::Ok);
    }
    let mut rows =
        Table::new(&["ID", "STATE", "ROLE", "MACHINE", "AGE", "WAITED", "RAN", "EXIT", "NAME", "WHAT"])
            .sparing(&["WAITED", "RAN", "ROLE", "AGE"]);
    for job in &jobs {
        rows.row(row(job, now));
    }
    rows.print(&cx.printer)?;
    if hidden > 0 {
        cx.printer.note(&format!("{hidden} more wait; `darkmux job ls --all` lists them"));
    }
    Ok(Exit::Ok)
}

fn row(job: &JobView, now: u64) -> Vec<Cell> {
    let text = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or_default());
    let age = Duration::from_millis(now.saturating_sub(job.created_ms));
    let name: String = job.name.as_deref().unwrap_or_default().chars().take(NAME_MAX).collect();
    vec![
        Cell::from(job.id.as_str()),
        words::state_cell(job),
        text(&job.role),
        text(&job.machine),
        Cell::styled(human::duration(age), DIM),
        Cell::styled(words::span(words::waited(job, now)), DIM),
        Cell::from(words::span(words::ran(job, now))),
        words::code_cell(job),
        Cell::from(name),
        Cell::styled(job.title.as_deref().unwrap_or_default(), DIM),
    ]
}
