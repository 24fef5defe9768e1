//! `darkmux job`: jobs of the fleet's queue, wherever they run.

mod apply;
mod cancel;
mod dead;
mod delivery;
mod diff;
mod ending;
mod explain;
mod fetch;
mod fleet;
mod follow;
mod here;
mod logs;
mod ls;
mod news;
mod retry;
mod show;
mod wait;
mod words;

use clap::Subcommand;

use super::{Cx, Outcome, link};

pub use crate::work::JobView;
pub use delivery::{Delivery, records, workspace_failure};
pub use ending::{document, report_with_workspace, with};
pub use explain::print_rows;
pub use fleet::{all as members, known_machines, needs_accept, presence};
pub use follow::{Follow, Followed, Interrupts, follow};
pub use link::{exit_of, failure, find_view, queue, queue_of};
pub use words::{end, exit_of as exit_of_job, ran, why};

/// Jobs of the fleet's queue, wherever they run.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum JobVerb {
    #[command(visible_alias = "list")]
    Ls(ls::LsArgs),
    Show(show::ShowArgs),
    Wait(wait::WaitArgs),
    Logs(logs::LogsArgs),
    Cancel(cancel::CancelArgs),
    Diff(diff::DiffArgs),
    Apply(apply::ApplyArgs),
    Retry(retry::RetryArgs),
    Explain(explain::ExplainArgs),
    Dead(dead::DeadArgs),
}

/// Runs the verb.
pub fn run(verb: JobVerb, cx: &Cx) -> Outcome {
    match verb {
        JobVerb::Ls(args) => ls::run(&args, cx),
        JobVerb::Show(args) => show::run(&args, cx),
        JobVerb::Wait(args) => wait::run(&args, cx),
        JobVerb::Logs(args) => logs::run(&args, cx),
        JobVerb::Cancel(args) => cancel::run(&args, cx),
        JobVerb::Diff(args) => diff::run(&args, cx),
        JobVerb::Apply(args) => apply::run(&args, cx),
        JobVerb::Retry(args) => retry::run(&args, cx),
        JobVerb::Explain(args) => explain::run(&args, cx),
        JobVerb::Dead(args) => dead::run(&args, cx),
    }
}
