//! `darkmux completions`.

use clap::Args;

use super::{Cx, Exit, Outcome};
use crate::config::Environment;

/// Print the completion script of a shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {}

/// Answers a shell that asks for completions; returns when none asks.
pub fn answer_shell(_command: fn() -> clap::Command, _env: &Environment) {}

/// Runs the verb.
pub fn run(_args: &CompletionsArgs, _cx: &Cx) -> Outcome {
    Ok(Exit::Failed)
}
