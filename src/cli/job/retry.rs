//! `darkmux job retry`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::link;
use crate::cli::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::work::{Queue, Retried};

/// Put ended jobs into the queue once more; their attempts are counted on.
///
/// A job that waits, and that machines refused, is offered to them again at once.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Jobs: ids, beginnings or ends of ids, or names
    #[arg(required = true, add = ArgValueCompleter::new(completions::jobs))]
    jobs: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &RetryArgs, cx: &Cx) -> Outcome {
    let queue = link::queue(cx, "trying a job again")?;
    block_on(async {
        let mut exit = Exit::Ok;
        for text in &args.jobs {
            match again(&queue, text).await {
                Ok(said) => cx.printer.note(&said),
                // The others are still to be tried; a Redis that is away is away for all.
                Err(failure) if failure.exit() == Exit::Failed && args.jobs.len() > 1 => {
                    cx.printer.error(failure.words());
                    exit = Exit::Failed;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(exit)
    })
}

async fn again(queue: &Queue, text: &str) -> Result<String, Failure> {
    let id = link::find(queue, text).await?;
    match queue.retry(&id).await.map_err(|error| link::failure(&error))? {
        Retried::Queued => Ok(format!("job {id} is in the queue again")),
        Retried::Offered => Ok(format!("job {id} is offered again to those that refused it")),
        Retried::Live(state) => {
            let words = format!("job {id} has not ended: it is {}", state.as_str());
            Err(Failure::new(Exit::Failed, words))
        }
    }
}
