//! `darkmux job show`.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use jiff::Timestamp;
use serde_json::json;

use super::{here, link, words};
use crate::cli::printer::{BOLD, DIM};
use crate::cli::table::{Cell, Table};
use crate::cli::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::util::{clock, human, visible, visible_line};
use crate::wire::{AgentResult, WorkspaceResult};
use crate::work::{JobView, Queue};

/// Show one job: its state, its attempts and how each ended, its times, who published it.
///
/// What was dispatched on this machine without the queue, or while Redis is away, is shown as this machine's session
/// knows it.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Job: an id, the beginning or the end of one, or a name
    #[arg(add = ArgValueCompleter::new(completions::jobs))]
    job: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print only its message, exactly
    #[arg(long, conflicts_with = "json")]
    message: bool,
}

/// Runs the verb.
pub fn run(args: &ShowArgs, cx: &Cx) -> Outcome {
    let (why, is_away) =
        match link::queue(cx, "showing a job").map(|queue| block_on(of_queue(args, cx, &queue))) {
            Err(failure) => (failure, false),
            Ok(Ok(Some(exit))) => return Ok(exit),
            Ok(Ok(None)) => (link::no_job(&args.job), false),
            Ok(Err(failure)) => (failure, true),
        };
    let here = match why.exit() {
        Exit::Unreachable => here::find(cx, &args.job)?,
        Exit::Failed if !is_away => here::find(cx, &args.job)?,
        _ => None,
    };
    let Some(here) = here else { return Err(why) };
    if is_away {
        cx.printer.warn(&format!("{}; this is what the session on this machine says", why.words()));
    }
    match args {
        ShowArgs { message: true, .. } => here.message(cx, why),
        ShowArgs { json: true, .. } => here.document(cx),
        ShowArgs { .. } => here.show(cx),
    }
}

/// Shows the job of the queue; `None` where it has none that is called so.
async fn of_queue(args: &ShowArgs, cx: &Cx, queue: &Queue) -> Result<Option<Exit>, Failure> {
    let Some(id) = link::find_if_there(queue, &args.job).await? else { return Ok(None) };
    // It may have gone between the two looks.
    let Some(job) = queue.job(&id).await.map_err(|error| link::failure(&error))? else { return Ok(None) };
    if args.message {
        let message = queue.message(&job.id).await.map_err(|error| link::failure(&error))?;
        cx.printer.bytes(message.unwrap_or_default().as_bytes())?;
    } else if args.json {
        cx.printer.json(&json!({ "schema": 1, "job": job }))?;
    } else {
        let now = clock::unix_ms(cx.clock.now());
        print(cx, (job.id.as_str(), &words::end(&job)), &facts(&job, now), last_message(&job).as_deref())?;
        if !job.attempts.is_empty() {
            attempts(&job).print(&cx.printer)?;
        }
    }
    Ok(Some(Exit::Ok))
}

/// Prints what is known of a job: which and how it ended, facts, and the built-in agent's last message.
pub fn print(
    cx: &Cx,
    (id, end): (&str, &str),
    facts: &[(&str, String)],
    last: Option<&str>,
) -> Result<(), Failure> {
    cx.printer.line(&format!("{BOLD}{id}{BOLD:#}  {end}"))?;
    for (name, value) in facts {
        cx.printer.line(&format!("  {DIM}{name:<10}{DIM:#}  {}", visible_line(value)))?;
    }
    if let Some(last) = last.filter(|last| !last.is_empty()) {
        cx.printer.line("")?;
        cx.printer.line(&visible(last.trim_end()))?;
        cx.printer.line("")?;
    }
    Ok(())
}

fn facts(job: &JobView, now: u64) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut say = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    let spec = job.spec.as_ref();
    let result = job.result.as_ref();
    let list = |list: &[String]| (!list.is_empty()).then(|| list.join(", "));
    say("role", job.role.clone());
    say("name", job.name.clone());
    say("what", job.title.clone());
    let pin = job.lane.as_ref().and_then(|lane| lane.pin.as_ref()).map(ToString::to_string);
    say("target", job.target.clone().filter(|_| pin.is_none()));
    say("machine", job.machine.clone());
    say("published", Some(published(job)));
    say(
        "priority",
        (job.priority != crate::model::Priority::Normal).then(|| job.priority.as_str().to_owned()),
    );
    say("pin", pin);
    say("require", job.lane.as_ref().and_then(|lane| list(&lane.require)));
    say("prefer", spec.and_then(|spec| list(&spec.prefer)));
    let limit = spec.and_then(|spec| spec.timeout_ms);
    say("limit", limit.map(|limit| human::duration(Duration::from_millis(limit))));
    say("retries", spec.filter(|spec| spec.retries > 0).map(|spec| spec.retries.to_string()));
    say("key", spec.and_then(|spec| spec.key.clone()));
    say("due", job.due_ms.map(moment));
    say("waited", words::waited(job, now).map(human::duration));
    say("ran", words::ran(job, now).map(human::duration));
    say("exit code", result.and_then(|result| result.exit_code).map(|code| code.to_string()));
    say("output", result.map(|result| human::bytes(result.output_bytes)));
    let folder = result.and_then(|result| result.workdir.as_ref());
    say("folder", folder.map(|folder| folder.display().to_string()));
    let brought = spec.and_then(|spec| spec.workspace.as_ref());
    say("repository", brought.map(|brought| format!("{} at {}", brought.repo, brought.base)));
    say("changed", result.and_then(|result| result.workspace.as_ref()).map(changed));
    say("why", words::why(job));
    let agent = result.and_then(|result| result.details.get("agent"));
    let agent: Option<AgentResult> = agent.and_then(|agent| serde_json::from_value(agent.clone()).ok());
    facts.extend(agent.iter().flat_map(of_agent));
    let mut say = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    say("parked", job.parked.clone());
    say("cancel", job.cancel.clone().filter(|_| !job.state.is_final()));
    for (machine, why) in &job.declined {
        say("refused by", Some(format!("{machine}: {why}")));
    }
    say("asked again", job.offered_again_ms.map(moment));
    say("1.9 has it", job.legacy_runner.clone());
    facts
}

/// What the built-in agent came to.
pub fn of_agent(agent: &AgentResult) -> Vec<(&'static str, String)> {
    let totals = agent.totals;
    let took = [
        human::count(totals.total_turns, "turn"),
        human::count(totals.total_tools, "call"),
        human::count(totals.total_tokens, "token"),
    ];
    let model = (!agent.model.is_empty()).then(|| format!("{} at {}", agent.model, agent.endpoint));
    let changed: Vec<String> = agent.changed.iter().map(|path| path.display().to_string()).collect();
    let mut facts: Vec<_> = model.map(|model| ("model", model)).into_iter().collect();
    facts.push(("took", took.join(", ")));
    facts.extend(agent.hand_off_to.as_ref().map(|role| ("hand it to", role.to_string())));
    if !changed.is_empty() {
        facts.push(("files", changed.join(", ")));
    }
    let mark = |ok| if ok { "✓" } else { "✗" };
    facts.extend(agent.checks.iter().map(|check| ("ran", format!("{} {}", mark(check.ok), check.command))));
    facts
}

fn changed(left: &WorkspaceResult) -> String {
    let files = human::count(left.changed, "file");
    let waits = left.bundle.as_ref().and_then(|bundle| bundle.at.as_ref());
    let waits = waits.map(|machine| format!("large: it waits on {machine} until it is asked for"));
    waits.iter().chain(&left.error).fold(files, |words, more| format!("{words}; {more}"))
}

/// The built-in agent's last message.
fn last_message(job: &JobView) -> Option<String> {
    let last = job.result.as_ref()?.details.pointer("/agent/final")?.as_str()?;
    (!last.is_empty()).then(|| last.to_owned())
}

fn published(job: &JobView) -> String {
    let by = job.published_by.as_deref().map(|by| format!(" by {by}"));
    format!("{}{}", moment(job.created_ms), by.unwrap_or_default())
}

/// Unix milliseconds as RFC 3339.
fn moment(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| ms.to_string(), clock::seconds)
}

fn attempts(job: &JobView) -> Table {
    let mut table = Table::new(&["ATTEMPT", "MACHINE", "STARTED", "RAN", "ENDED"]);
    for attempt in &job.attempts {
        let ran = attempt.ended_ms.checked_sub(attempt.started_ms).map(Duration::from_millis);
        table.row(vec![
            Cell::from(attempt.number.to_string()),
            Cell::from(&attempt.machine),
            Cell::styled(moment(attempt.started_ms), DIM),
            Cell::from(words::span(ran)),
            Cell::from(&attempt.ended),
        ]);
    }
    table
}
