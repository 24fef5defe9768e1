//! `darkmux doctor`.

use clap::Args;

use super::{Cx, Exit, Outcome};

/// Check this machine.
#[derive(Debug, Args)]
pub struct DoctorArgs {}

/// Runs the verb.
pub fn run(_args: &DoctorArgs, _cx: &Cx) -> Outcome {
    Ok(Exit::Failed)
}
