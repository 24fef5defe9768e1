//! `darkmux job cancel`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::link;
use crate::cli::dry::DryRun;
use crate::cli::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::model::{JobState, SessionId};
use crate::util::visible_line;
use crate::work::{Cancelled, Queue, WorkError};

/// Longest reason, in characters.
const REASON_MAX: usize = 500;

/// Cancel jobs: at once where they have not started, else their runners end them.
///
/// A job that has ended already is told so, and is no failure.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Jobs: ids, beginnings or ends of ids, or names
    #[arg(required = true, add = ArgValueCompleter::new(completions::jobs))]
    jobs: Vec<String>,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT", default_value = "cancelled by its user", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    dry: DryRun,
}

/// Runs the verb.
pub fn run(args: &CancelArgs, cx: &Cx) -> Outcome {
    let queue = link::queue(cx, "cancelling a job")?;
    let reason: String = args.reason.chars().take(REASON_MAX).collect();
    block_on(async {
        let mut exit = Exit::Ok;
        for text in &args.jobs {
            let id = match link::find(&queue, text).await {
                Ok(id) => id,
                // The others are still to be cancelled; a Redis that is away is away for all.
                Err(failure) if failure.exit() == Exit::Failed && args.jobs.len() > 1 => {
                    cx.printer.error(failure.words());
                    exit = Exit::Failed;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            if args.dry.dry_run {
                cx.printer.note(&would(&queue, &id).await?);
                continue;
            }
            let cancelled = queue.cancel(&id, &reason).await.map_err(|error| link::failure(&error))?;
            cx.printer.note(&match cancelled {
                Cancelled::Now => format!("job {id} is cancelled; it had not started"),
                Cancelled::Asked => {
                    format!("job {id} is being ended by its runner; `darkmux job wait {id}` waits for that")
                }
                Cancelled::Ended(state) => format!("job {id} had ended already ({})", state.as_str()),
            });
        }
        Ok(exit)
    })
}

/// What cancelling a job would do now.
async fn would(queue: &Queue, id: &SessionId) -> Result<String, Failure> {
    let job = queue.job(id).await.map_err(|error| link::failure(&error))?;
    let job = job.ok_or_else(|| link::failure(&WorkError::Unknown(id.clone())))?;
    Ok(match job.state {
        JobState::Queued | JobState::Waiting => {
            format!("job {id} would be cancelled at once: it has not started")
        }
        JobState::Running => {
            let machine = job.machine.as_deref().map(visible_line).unwrap_or_default();
            format!("job {id} would be ended by its runner on {machine}")
        }
        state => format!("job {id} has ended already ({})", state.as_str()),
    })
}
