//! `darkmux hub`: the Redis that this machine keeps for its fleet.

mod down;
mod status;
mod up;

use clap::Subcommand;

use super::{Cx, Outcome};

/// The Redis that joins the fleet's machines, kept by this one.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum HubVerb {
    Up(up::UpArgs),
    Status(status::StatusArgs),
    Down(down::DownArgs),
}

/// Runs the verb.
pub fn run(verb: HubVerb, cx: &Cx) -> Outcome {
    match verb {
        HubVerb::Up(args) => up::run(&args, cx),
        HubVerb::Status(args) => status::run(&args, cx),
        HubVerb::Down(args) => down::run(&args, cx),
    }
}
