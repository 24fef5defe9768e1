//! `darkmux flow`.

use clap::Subcommand;

use super::{Cx, Exit, Outcome};

/// The event log.
#[derive(Debug, Subcommand)]
pub enum FlowVerb {
    /// Placeholder of the first sketch
    Status,
}

/// Runs the verb.
pub fn run(_verb: FlowVerb, _cx: &Cx) -> Outcome {
    Ok(Exit::Failed)
}
