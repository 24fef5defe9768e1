//! `darkmux crew`: roles, and handing work to them.

mod args;
mod dispatch;
mod failure;
mod fleet_dispatch;
mod outcome;
mod parcel;
mod roles;
mod show;
mod worktree;

pub use args::DispatchArgs;
pub use outcome::{document, how};

use clap::Subcommand;

use super::deferred::DeferredArgs;
use super::{Cx, Outcome};

/// Roles, and handing work to them.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum CrewVerb {
    /// Hand a message to a role and run it in a session of its own
    Dispatch(DeferredArgs<Box<DispatchArgs>>),
    Roles(roles::RolesArgs),
    Show(show::ShowArgs),
}

/// 1.9 spelling of `crew roles` and `crew show`
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum RoleVerb {
    List(roles::RolesArgs),
    Show(show::ShowArgs),
}

impl From<RoleVerb> for CrewVerb {
    fn from(verb: RoleVerb) -> Self {
        match verb {
            RoleVerb::List(args) => Self::Roles(args),
            RoleVerb::Show(args) => Self::Show(args),
        }
    }
}

/// Runs the verb.
pub fn run(verb: CrewVerb, cx: &Cx) -> Outcome {
    match verb {
        CrewVerb::Dispatch(DeferredArgs(args)) => dispatch::run(&args, cx),
        CrewVerb::Roles(args) => roles::run(&args, cx),
        CrewVerb::Show(args) => show::run(&args, cx),
    }
}
