//! `darkmux session`.

use clap::{Args, Subcommand};

use super::{Cx, Exit, Outcome};

/// Sessions.
#[derive(Debug, Subcommand)]
pub enum SessionVerb {
    /// Placeholder of the first sketch
    Ls,
}

/// Runs the verb.
pub fn run(_verb: SessionVerb, _cx: &Cx) -> Outcome {
    Ok(Exit::Failed)
}

/// Arguments of a session host.
#[derive(Debug, Args)]
pub struct HostArgs {}

/// Runs a session host.
pub fn host(_args: &HostArgs, _cx: &Cx) -> Outcome {
    Ok(Exit::Failed)
}
