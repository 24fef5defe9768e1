//! `darkmux tool-guard`: the process that watches over one command of the built-in agent.

use crate::agent::tools::bash;
use crate::cli::{Exit, FailureContext, Outcome};

/// Runs the verb; what it is to do comes by standard input, which is a socket.
pub fn run() -> Outcome {
    bash::guard().or_exit(Exit::Internal)?;
    Ok(Exit::Ok)
}
