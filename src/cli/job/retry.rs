//! `darkmux job retry`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::link;
use crate::cli::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::work::Retried;

/// Put ended jobs into the queue once more; their attempts are counted on.
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
        for text in &args.jobs {
            let id = link::find(&queue, text).await?;
            match queue.retry(&id).await.map_err(|error| link::failure(&error))? {
                Retried::Queued => {
                    cx.printer.note(&format!("job {id} is in the queue again"));
                }
                Retried::Live(state) => {
                    let words = format!("job {id} has not ended: it is {}", state.as_str());
                    return Err(Failure::new(Exit::Failed, words));
                }
            }
        }
        Ok(Exit::Ok)
    })
}
