//! `darkmux serve`.

use clap::Args;

use super::{Cx, Exit, Outcome};

/// Run this machine's daemon.
#[derive(Debug, Args)]
pub struct ServeArgs {}

/// Runs the verb.
pub fn run(_args: ServeArgs, _cx: &Cx) -> Outcome {
    Ok(Exit::Failed)
}
