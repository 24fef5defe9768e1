//! Looking first.

use clap::Args;

/// For verbs that act.
#[derive(Debug, Args)]
pub struct DryRun {
    /// Say what it would do and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
