//! `darkmux job explain`.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::{fleet, link, words};
use crate::cli::printer::{BAD, BOLD, DIM, GOOD, WARN};
use crate::cli::table::{Cell, Table};
use crate::cli::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::fleet::{Ask, Gate, Row, Verdict, headline, rows};
use crate::model::JobState;
use crate::util::{human, visible_line};

/// Say why a job is where it is: for each machine, whether it can run it now, and why not.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Job: an id, the beginning or the end of one, or a name
    #[arg(add = ArgValueCompleter::new(completions::jobs))]
    job: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &ExplainArgs, cx: &Cx) -> Outcome {
    let queue = link::queue(cx, "explaining a job")?;
    block_on(async {
        let mut job = link::find_view(&queue, &args.job).await?;
        let asked = async {
            let presence = fleet::presence(&queue).await?;
            let position = queue.position(&job.id).await?;
            let lane = queue.lane_now(&job.id).await?;
            Ok((presence, position, queue.status().await?, lane))
        };
        let (presence, position, status, lane) = asked.await.map_err(|error| link::failure(&error))?;
        job.lane = lane.or(job.lane);
        let role = job.role.as_deref().unwrap_or_default();
        let ask = Ask::of(&job, fleet::needs_accept(cx, role));
        let machines = rows(&ask, &Gate::from(&status), &fleet::all(cx, presence.as_ref()));
        let why = headline(&job, &machines, status.paused).unwrap_or_else(|| words::end(&job));
        if args.json {
            cx.printer.json(&json!({
                "schema": 1, "job": job, "why": why, "ahead": position, "paused": status.paused,
                "machines": machines,
            }))?;
            return Ok(Exit::Ok);
        }
        cx.printer.line(&format!("{BOLD}{}{BOLD:#}  {why}", job.id))?;
        if let Some(ahead) = position.filter(|_| job.state == JobState::Queued) {
            cx.printer.line(&format!(
                "  {DIM}ahead of it{DIM:#}  {} in its queue",
                human::count(ahead as u64, "job")
            ))?;
        }
        if let Some(parked) = &job.parked {
            cx.printer.line(&format!("  {DIM}parked{DIM:#}       {}", visible_line(parked)))?;
        }
        if let Some(runner) = &job.legacy_runner {
            cx.printer.line(&format!("  {} of darkmux 1.9 took it", visible_line(runner)))?;
        }
        if presence.is_none() {
            cx.printer.note("Redis takes too long to say which machines are alive");
        }
        if !job.state.is_final() {
            print_rows(cx, &machines)?;
        }
        if let Some(at_ms) = job.offered_again_ms {
            let left = Duration::from_millis(at_ms.saturating_sub(status.now_ms));
            cx.printer.note(&format!(
                "who refused it is asked again in {}; at once: darkmux job retry {}",
                human::duration(left),
                job.id
            ));
        }
        Ok(Exit::Ok)
    })
}

/// Prints a row a machine.
pub fn print_rows(cx: &Cx, rows: &[Row]) -> Result<(), Failure> {
    if rows.is_empty() {
        cx.printer.note("no machine is known; `darkmux serve` on each of them makes it show");
        return Ok(());
    }
    let mut table = Table::new(&["MACHINE", "CAN RUN IT", "WHY"]);
    for row in rows {
        let style = match row.verdict {
            Verdict::Now => GOOD,
            Verdict::Later => WARN,
            Verdict::No => BAD,
        };
        let word = row.verdict.as_str();
        table.row(vec![
            Cell::from(&row.machine),
            Cell::styled(word, style),
            Cell::from(row.reasons.join("; ")),
        ]);
    }
    Ok(table.print(&cx.printer)?)
}
