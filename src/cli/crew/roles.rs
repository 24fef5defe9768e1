//! `darkmux crew roles` and `crew show`.

use clap::Args;

use crate::cli::{Cx, Exit, Outcome};

/// List the roles.
#[derive(Debug, Args)]
pub struct RolesArgs {}

/// Show one role.
#[derive(Debug, Args)]
pub struct ShowArgs {}

/// Lists.
pub fn list(_args: &RolesArgs, _cx: &Cx) -> Outcome {
    Ok(Exit::Failed)
}

/// Shows.
pub fn show(_args: &ShowArgs, _cx: &Cx) -> Outcome {
    Ok(Exit::Failed)
}
