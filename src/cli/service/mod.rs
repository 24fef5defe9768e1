//! `darkmux service`: have the system keep the daemon running.

mod install;
mod logs;
mod said;
mod status;
mod uninstall;

use clap::Subcommand;

use super::{Cx, Exit, Failure, Outcome};
use crate::service::ServiceError;

pub use said::{Running, is_run_by, show_plan, show_removal, tell_lingering, until_serving};

/// Have the system keep the daemon running, over crashes and restarts.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum ServiceVerb {
    Install(install::InstallArgs),
    Uninstall(uninstall::UninstallArgs),
    Status(status::StatusArgs),
    Logs(logs::LogsArgs),
}

/// Runs the verb.
pub fn run(verb: ServiceVerb, cx: &Cx) -> Outcome {
    match verb {
        ServiceVerb::Install(args) => install::run(&args, cx),
        ServiceVerb::Uninstall(args) => uninstall::run(&args, cx),
        ServiceVerb::Status(args) => status::run(&args, cx),
        ServiceVerb::Logs(args) => logs::run(&args, cx),
    }
}

/// What stands for the failure: a wrong configuration is 2, everything else 1.
pub fn failure(error: ServiceError) -> Failure {
    let exit = if matches!(error, ServiceError::Config(_)) { Exit::Usage } else { Exit::Failed };
    Failure::new(exit, error)
}
