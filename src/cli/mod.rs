//! The command line: one file a verb, one folder a group. The only place that knows clap, and the only one
//! that prints.
//!
//! A verb is `XArgs` and `run(args, &Cx) -> Outcome`; its doc comments are its help text. What it prints goes
//! through [`Printer`]; what goes wrong is a [`Failure`] with an [`Exit`] status and a message that ends with
//! what to do.

mod auth;
mod block;
mod completions;
mod config;
mod crew;
mod cx;
mod deferred;
mod demo;
mod doctor;
mod dry;
mod endpoints;
mod exit;
mod fleet;
mod flow;
mod guess;
mod hook;
mod hub;
mod inbox;
mod job;
mod kept;
mod link;
mod logging;
mod man;
mod mcp;
mod open;
mod printer;
mod queue;
mod remote;
mod run_agent;
mod serve;
mod service;
mod session;
mod skills;
mod table;
mod tool_guard;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use block::block_on;
pub use cx::Cx;
use deferred::{Deferred, DeferredArgs};
pub use exit::{Exit, Failure, FailureContext, Outcome};
pub use printer::{Color, Printer};

use crate::config::Environment;

/// One environment from all your computers: name a role, and a machine of yours runs it in a terminal you can reach from anywhere.
#[derive(Debug, Parser)]
#[command(name = "darkmux", version = crate::VERSION, after_help = exit::HELP, propagate_version = false)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
struct Cli {
    /// When to colour the output: auto, always or never
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    #[arg(
        value_name = "WHEN",
        hide_short_help = true,
        hide_possible_values = true,
        hide_default_value = true
    )]
    color: Color,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run this machine's daemon: viewer, flow and sessions over HTTP, and the runner of the fleet's queue
    Serve(DeferredArgs<serve::ServeArgs>),
    /// Open the viewer in the browser, signed in
    Open(DeferredArgs<open::OpenArgs>),
    /// Play a showcase in the browser: three machines, what they do for each other, and what happens when one dies
    Demo(DeferredArgs<demo::DemoArgs>),
    /// Roles, and handing work to them
    #[command(subcommand)]
    Crew(Deferred<crew::CrewVerb>),
    /// Terminals that outlive the terminal they were started from
    #[command(subcommand)]
    Session(Deferred<session::SessionVerb>),
    /// List who waits for you, and with which question
    Inbox(DeferredArgs<inbox::InboxArgs>),
    /// The machines that belong together
    #[command(subcommand)]
    Fleet(Deferred<fleet::FleetVerb>),
    /// The Redis that joins the fleet's machines, kept by this one
    #[command(subcommand)]
    Hub(Deferred<hub::HubVerb>),
    /// Have the system keep the daemon running, over crashes and restarts
    #[command(subcommand)]
    Service(Deferred<service::ServiceVerb>),
    /// Jobs of the fleet's queue, wherever they run
    #[command(subcommand)]
    Job(Deferred<job::JobVerb>),
    /// The queue as a whole
    #[command(subcommand)]
    Queue(Deferred<queue::QueueVerb>),
    /// The event log
    #[command(subcommand)]
    Flow(Deferred<flow::FlowVerb>),
    /// Tokens: who may act, and watch, over HTTP
    #[command(subcommand)]
    Auth(Deferred<auth::AuthVerb>),
    /// Let an agent drive darkmux: an MCP server on stdin and stdout
    Mcp(DeferredArgs<mcp::McpArgs>),
    /// Instructions for agents that drive darkmux
    #[command(subcommand)]
    Skills(Deferred<skills::SkillsVerb>),
    /// Model servers that the built-in agent asks
    #[command(subcommand)]
    Endpoints(Deferred<endpoints::EndpointsVerb>),
    /// Check this machine and say what mends what is wrong
    Doctor(DeferredArgs<doctor::DoctorArgs>),
    /// Settings, with where each value comes from
    #[command(subcommand)]
    Config(Deferred<config::ConfigVerb>),
    /// Print the completion script of a shell
    Completions(DeferredArgs<completions::CompletionsArgs>),
    /// Print the manual page, or write all of them to a folder
    Man(DeferredArgs<man::ManArgs>),
    /// 1.9 and 2.9 spelling of `crew dispatch`
    #[command(hide = true)]
    Dispatch(DeferredArgs<Box<crew::DispatchArgs>>),
    /// 2.9 spelling of `fleet`
    #[command(hide = true, subcommand)]
    Machine(Deferred<fleet::FleetVerb>),
    /// 1.9 spelling of `crew roles` and `crew show`
    #[command(hide = true, subcommand)]
    Role(Deferred<crew::RoleVerb>),
    #[command(hide = true)]
    Hook(hook::HookArgs),
    /// The process that owns one session's terminal; started by darkmux itself
    #[command(hide = true)]
    HostSession(DeferredArgs<session::HostArgs>),
    /// The same without a session yet: it waits for one on stdin; started by `darkmux serve` itself
    #[command(hide = true)]
    SpareHost,
    /// Watches over one command of the built-in agent; started by darkmux itself
    #[command(hide = true)]
    ToolGuard,
    /// The built-in agent at work on one task; started as a session's program by darkmux itself
    #[command(hide = true)]
    RunAgent(DeferredArgs<run_agent::RunAgentArgs>),
}

/// The binary: parses, runs the verb, reports what went wrong.
pub fn main() -> ExitCode {
    let env = Environment::of_process();
    if let Some(answered) = completions::answer_shell(command, &env) {
        return answered;
    }
    // Lives as long as the process: taking the tree of all verbs apart would cost a tenth of a short verb.
    let command = Box::leak(Box::new(command()));
    let matches = match command.try_get_matches_from_mut(std::env::args_os()) {
        Ok(matches) => matches,
        Err(error) => return exit::usage(&guess::with_group(error, Cli::command)),
    };
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => {
            // As the command above: it ends with the process.
            let cx = Box::leak(Box::new(Cx::new(env, cli.color)));
            let outcome = run(cli.verb, cx);
            exit::report(outcome, cx)
        }
        Err(error) => exit::usage(&error),
    }
}

/// The whole command tree, for parsing, completion and the manual.
fn command() -> clap::Command {
    Cli::command()
}

fn run(verb: Verb, cx: &Cx) -> Outcome {
    match verb {
        Verb::Serve(DeferredArgs(args)) => serve::run(args, cx),
        Verb::Open(DeferredArgs(args)) => open::run(&args, cx),
        Verb::Demo(DeferredArgs(args)) => demo::run(&args, cx),
        Verb::Auth(Deferred(verb)) => auth::run(&verb, cx),
        Verb::Crew(Deferred(verb)) => crew::run(verb, cx),
        Verb::Session(Deferred(verb)) => session::run(verb, cx),
        Verb::Fleet(Deferred(verb)) | Verb::Machine(Deferred(verb)) => fleet::run(verb, cx),
        Verb::Hub(Deferred(verb)) => hub::run(verb, cx),
        Verb::Service(Deferred(verb)) => service::run(verb, cx),
        Verb::Flow(Deferred(verb)) => flow::run(verb, cx),
        Verb::Job(Deferred(verb)) => job::run(verb, cx),
        Verb::Queue(Deferred(verb)) => queue::run(&verb, cx),
        Verb::Mcp(DeferredArgs(args)) => mcp::run(&args, cx),
        Verb::Skills(Deferred(verb)) => skills::run(&verb, cx),
        Verb::Endpoints(Deferred(verb)) => endpoints::run(verb, cx),
        Verb::Doctor(DeferredArgs(args)) => doctor::run(&args, cx),
        Verb::Config(Deferred(verb)) => config::run(verb, cx),
        Verb::Completions(DeferredArgs(args)) => completions::run(&args, cx),
        Verb::Man(DeferredArgs(args)) => man::run(&args, cx),
        Verb::Dispatch(args) => crew::run(crew::CrewVerb::Dispatch(args), cx),
        Verb::Role(Deferred(verb)) => crew::run(verb.into(), cx),
        Verb::Inbox(DeferredArgs(args)) => inbox::run(&args, cx),
        Verb::Hook(args) => hook::run(&args, cx),
        Verb::HostSession(DeferredArgs(args)) => session::run_host(&args, cx),
        Verb::SpareHost => session::run_spare(cx),
        Verb::ToolGuard => tool_guard::run(),
        Verb::RunAgent(DeferredArgs(args)) => run_agent::run(args, cx),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn abouts(command: &clap::Command, path: &str, found: &mut BTreeMap<String, String>) {
        // An old spelling is in no list.
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let path = format!("{path} {}", verb.get_name());
            found.insert(path.clone(), verb.get_about().map(ToString::to_string).unwrap_or_default());
            abouts(verb, &path, found);
        }
    }

    #[test]
    fn a_list_of_verbs_says_of_each_what_its_own_help_says() {
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        let mut command = command();
        abouts(&command, "", &mut before);
        command.build();
        abouts(&command, "", &mut after);
        assert!(before.len() > 10 && after.len() > before.len(), "groups are deferred");
        for (path, about) in before {
            assert_eq!(about, after[&path], "{path}");
        }
    }
}
