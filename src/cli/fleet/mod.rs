//! `darkmux fleet`: the machines that belong together.

mod add;
mod asking;
mod discover;
mod drain;
mod invite;
mod join;
mod known;
mod leave;
mod links;
mod list;
mod remove;
mod status;

use clap::Subcommand;

use super::{Cx, Outcome};
use crate::client::Client;
use crate::config::Paths;

/// The machines that belong together.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum FleetVerb {
    Invite(invite::InviteArgs),
    Join(join::JoinArgs),
    Leave(leave::LeaveArgs),
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
        FleetVerb::Invite(args) => invite::run(&args, cx),
        FleetVerb::Join(args) => join::run(&args, cx),
        FleetVerb::Leave(args) => leave::run(&args, cx),
        FleetVerb::Add(args) => add::run(&args, cx),
        FleetVerb::Discover(args) => discover::run(&args, cx),
        FleetVerb::Remove(args) => remove::run(&args, cx),
        FleetVerb::List(args) => list::run(&args, cx),
        FleetVerb::Status(args) => status::run(&args, cx),
        FleetVerb::Drain(args) => drain::drain(&args, cx),
        FleetVerb::Undrain(args) => drain::undrain(&args, cx),
    }
}

/// Has a daemon look at its tokens and its peers now; it would within a few seconds by itself.
async fn tell_daemon(paths: &Paths) {
    let Ok(client) = Client::local(paths) else { return };
    // Without an answer it notices by itself.
    let _ = client.peers().await;
}
