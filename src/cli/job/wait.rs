//! `darkmux job wait`.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde_json::Map;
use tokio::time::Instant;

use super::{Follow, Interrupts, ending, follow, link};
use crate::cli::{Cx, Outcome, block_on, completions};
use crate::util::human;

/// Wait for a job's end and end with its status.
///
/// Exit status: the job's own; 124 when its time limit, or the time to wait (the message says which), is over;
/// 130 for a job that was cancelled; 126 for one that its machine refused; 125 for one that was lost.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Job: an id, the beginning or the end of one, or a name
    #[arg(add = ArgValueCompleter::new(completions::jobs))]
    job: String,
    /// Wait no longer than this; the job goes on
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// Print the job and the end of its output as JSON at its end
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &WaitArgs, cx: &Cx) -> Outcome {
    let queue = link::queue(cx, "waiting for a job")?;
    block_on(async {
        let id = link::find(&queue, &args.job).await?;
        let until = args.timeout.map(|timeout| Instant::now() + timeout);
        let how = Follow {
            cx,
            queue: &queue,
            id: &id,
            tells: !args.json,
            is_told: false,
            target: None,
            interrupts: Interrupts::Leave,
            until,
        };
        let followed = follow(&how, None).await?;
        ending::report_with_workspace(cx, &queue, &id, followed, args.json.then(Map::new)).await
    })
}
