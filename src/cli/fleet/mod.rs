//! `darkmux fleet`: the machines that belong together.

mod add;
mod discover;
mod drain;
mod known;
mod list;
mod remove;
mod status;

use clap::Subcommand;

use super::{Cx, Outcome};

/// The machines that belong together.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum FleetVerb {
    Add(add::AddArgs),
    Discover(discover::DiscoverArgs),
    Remove(remove::RemoveArgs),
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    Status(status::StatusArgs),
    Drain(drain::DrainArgs),
    Undrain(drain::UndrainArgs),
}

/// Runs the verb.
pub fn run(verb: FleetVerb, cx: &Cx) -> Outcome {
    match verb {
        FleetVerb::Add(args) => add::run(&args, cx),
        FleetVerb::Discover(args) => discover::run(&args, cx),
        FleetVerb::Remove(args) => remove::run(&args, cx),
        FleetVerb::List(args) => list::run(&args, cx),
        FleetVerb::Status(args) => status::run(&args, cx),
        FleetVerb::Drain(args) => drain::drain(&args, cx),
        FleetVerb::Undrain(args) => drain::undrain(&args, cx),
    }
}
