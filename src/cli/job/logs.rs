//! `darkmux job logs`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::follow::Output;
use super::{Follow, Followed, Interrupts, ending, follow, link, words};
use crate::cli::session::{Screen, block_on, tail_session};
use crate::cli::{Cx, Exit, Outcome, completions};
use crate::model::SessionId;
use crate::session::Table;
use crate::wire::SessionStatus;
use crate::work::{JobView, Queue};

/// Print a job's output, from whichever machine it runs or ran on.
///
/// The machine that ran it has all of it; from the others comes what Redis keeps: the newest part.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Job: an id, the beginning or the end of one, or a name
    #[arg(add = ArgValueCompleter::new(completions::jobs))]
    job: String,
    /// Go on until the job ends; then end with its status
    #[arg(short, long)]
    follow: bool,
    /// Only the newest attempt's output
    #[arg(long)]
    last_attempt: bool,
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
        // The session has all of the newest attempt.
        let is_ours = job.machine.as_deref() == Some(machine.as_str()) && job.attempts.len() <= 1;
        match here(job.id.as_str()).filter(|_| is_ours) {
            Some(session) => Ok(Shown::Here(Box::new(session))),
            None => from_redis(args, cx, &queue, &job).await.map(Shown::Already),
        }
    });
    match shown {
        Ok(Shown::Already(exit)) => Ok(exit),
        Ok(Shown::Here(session)) => tail_session(cx, &session, args.follow),
        // What ran here can be read without Redis.
        Err(failure) => match here(&args.job).filter(|_| failure.exit() == Exit::Unreachable) {
            Some(session) => tail_session(cx, &session, args.follow),
            None => Err(failure),
        },
    }
}

/// Where the output is.
enum Shown {
    Already(Exit),
    Here(Box<SessionStatus>),
}

async fn from_redis(args: &LogsArgs, cx: &Cx, queue: &Queue, job: &JobView) -> Outcome {
    let id: &SessionId = &job.id;
    if !args.follow {
        let output = Output::new(cx, Screen::later());
        let mut output = if args.last_attempt { output.of_attempt(job.attempt) } else { output };
        output.show_all(queue, id).await?;
        return Ok(Exit::Ok);
    }
    let how = Follow { cx, queue, id, tells: true, target: None, interrupts: Interrupts::Leave, until: None };
    match follow(&how, Some(Screen::of_job())).await? {
        Followed::Ended(job) | Followed::Cancelled(job) => Ok(words::exit_of(&job)),
        left => ending::report(cx, queue, id, left, false).await,
    }
}
