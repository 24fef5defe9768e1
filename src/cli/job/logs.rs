//! `darkmux job logs`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::follow::{Output, Part, follow_part};
use super::link::failure;
use super::{Follow, Followed, Interrupts, ending, link, words};
use crate::cli::session::{Screen, Tail, tail_session};
use crate::cli::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::model::SessionId;
use crate::session::Table;
use crate::wire::SessionStatus;
use crate::work::{JobView, Queue};

/// Print a job's output, from whichever machine it runs or ran on.
///
/// The machine that ran it has all of it; from the others comes what Redis keeps: the newest part. Where there was
/// more than one attempt, a line on stderr says where each begins.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Job: an id, a part of one, or a name
    #[arg(add = ArgValueCompleter::new(completions::jobs))]
    job: String,
    /// Go on until the job ends; then end with its status
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines, of the newest attempt where none is named
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Only this attempt's output
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Only the newest attempt's output
    #[arg(long, conflicts_with = "attempt")]
    last_attempt: bool,
    /// Print JSON, a line a piece of output; the last line is the job
    ///
    /// `{"schema":1,"attempt":1}`: whose output follows.
    /// `{"schema":1,"from":0,"to":6,"output":"hello\n"}`: offsets in bytes, and the bytes as text.
    /// `{"schema":1,"from":6,"to":90,"gap":true}`: a part that is no longer kept.
    /// `{"schema":1,"job":{…}}`: the job as in `job show --json`, with --follow after its end.
    #[arg(long, verbatim_doc_comment)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &LogsArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let table = Table::new(config.session().dir);
    let here = |id: &str| table.find(id).ok().filter(|session| session.id.as_str() == id);
    let machine = config.machine_id()?;
    let shown = block_on(async {
        let queue = link::queue(cx, "reading a job's output from another machine")?;
        let job = link::find_view(&queue, &args.job).await?;
        if let Some(attempt) = args.attempt.filter(|attempt| *attempt > job.attempt) {
            let message = format!("job {} has no attempt {attempt}; it had {} so far", job.id, job.attempt);
            return Err(Failure::new(Exit::Failed, message));
        }
        // The session has all of the newest attempt.
        let is_ours = job.machine.as_deref() == Some(machine.as_str()) && job.attempt <= 1 && !args.json;
        match here(job.id.as_str()).filter(|_| is_ours) {
            Some(session) => Ok(Shown::Here(Box::new(session))),
            None => from_redis(args, cx, &queue, &job).await.map(Shown::Already),
        }
    });
    let tail = Tail { follow: args.follow, lines: args.lines.map(|lines| lines as u64), json: args.json };
    match shown {
        Ok(Shown::Already(exit)) => Ok(exit),
        Ok(Shown::Here(session)) => {
            let exit = tail_session(cx, &session, tail)?;
            let has_ended = here(session.id.as_str()).is_none_or(|session| session.state.is_final());
            if args.follow && has_ended { to_end(args, cx, &session.id) } else { Ok(exit) }
        }
        // What ran here can be read without Redis.
        Err(failure) => match here(&args.job).filter(|_| failure.exit() == Exit::Unreachable) {
            Some(session) => tail_session(cx, &session, tail),
            None => Err(failure),
        },
    }
}

/// Where the output is.
enum Shown {
    Already(Exit),
    Here(Box<SessionStatus>),
}

/// The session of the first attempt has ended and was shown; the job ends with the last one.
fn to_end(args: &LogsArgs, cx: &Cx, id: &SessionId) -> Outcome {
    let queue = link::queue(cx, "following a job")?;
    let further = Part { first: 2, last: args.attempt, from: 0, marked: args.attempt.is_none() };
    block_on(follow_on(args, cx, (&queue, id), further))
}

async fn from_redis(args: &LogsArgs, cx: &Cx, queue: &Queue, job: &JobView) -> Outcome {
    let id: &SessionId = &job.id;
    let part = part(args, queue, job).await?;
    if !args.follow {
        let screen = if args.json { Screen::json_lines(0) } else { Screen::later(&cx.printer) };
        let mut output = Output::of(cx, Some(screen), part);
        output.show_all(queue, id).await?;
        if let Some(result) = job.result.as_ref().filter(|_| args.lines.is_none() && !args.json) {
            output.tell_missing(result.attempt, result.output_bytes);
        }
        return last_line(args, cx, job, Exit::Ok);
    }
    follow_on(args, cx, (queue, id), part).await
}

/// Shows this part of the output until the job has ended, and ends with its status.
async fn follow_on(args: &LogsArgs, cx: &Cx, (queue, id): (&Queue, &SessionId), part: Part) -> Outcome {
    let tells = !args.json;
    let (target, interrupts) = (None, Interrupts::Leave);
    let how = Follow { cx, queue, id, tells, is_told: false, target, interrupts, until: None };
    let screen = if args.json { Screen::json_lines(0) } else { Screen::of_job(&cx.printer) };
    match follow_part(&how, Some(screen), part).await? {
        Followed::Ended(job) | Followed::Cancelled(job) => last_line(args, cx, &job, words::exit_of(&job)),
        left => ending::report(cx, queue, id, left, ending::Telling::Words).await,
    }
}

/// What of the output is asked for.
async fn part(args: &LogsArgs, queue: &Queue, job: &JobView) -> Result<Part, Failure> {
    let one = args.attempt.or_else(|| (args.last_attempt || args.lines.is_some()).then_some(job.attempt));
    let first = one.unwrap_or(0);
    let from = match args.lines {
        Some(lines) => queue.last_lines(&job.id, first, lines).await.map_err(|error| failure(&error))?,
        None => 0,
    };
    // Attempts that follow the newest one are shown when they come.
    let last = args.attempt;
    Ok(Part { first, last, from, marked: args.json || one.is_none() && (job.attempt > 1 || args.follow) })
}

/// The last line of the JSON form.
fn last_line(args: &LogsArgs, cx: &Cx, job: &JobView, exit: Exit) -> Outcome {
    if args.json {
        cx.printer.json_line(&json!({ "schema": 1, "job": job }))?;
    }
    Ok(exit)
}
