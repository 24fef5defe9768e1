//! `darkmux crew dispatch`.

use clap::Args;

use crate::cli::{Cx, Exit, Outcome};

/// Hand a message to a role.
#[derive(Debug, Args)]
pub struct DispatchArgs {}

/// Runs the verb.
pub fn run(_args: DispatchArgs, _cx: &Cx) -> Outcome {
    Ok(Exit::Failed)
}
