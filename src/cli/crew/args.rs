//! What `darkmux crew dispatch` is asked for, here and in the fleet.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use clap_complete::engine::ArgValueCompleter;

use crate::cli::{Exit, Failure, completions};
use crate::crew::MESSAGE_MAX;
use crate::fleet::parse_key;
use crate::model::{MachineId, Priority, Requirement, SessionId};
use crate::session;
use crate::util::human;
use crate::wire::{Lane, Sandbox};

/// Hand a message to a role and run it in a session of its own.
///
/// The session's output comes to this terminal, and the command ends with the session's status. It runs here,
/// unless --machine names another machine or one of the fleet's flags is given: then it is published to the queue,
/// and the output comes from wherever it runs.
///
/// In a git repository, the work travels with everything that is not committed and not ignored: to another machine
/// always, on this one into a worktree of its own for agents that may write. What they change comes back as the
/// branch `darkmux/<job>`; `darkmux job diff` shows it and `darkmux job apply` takes it into your files.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of the command line.
#[command(group = ArgGroup::new("text").required(true).args(["message", "message_from_file", "stdin"]))]
pub struct DispatchArgs {
    /// Role; `darkmux crew roles` lists them
    #[arg(add = ArgValueCompleter::new(completions::roles))]
    pub(super) role: String,
    /// What the role is to do
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) message: Option<String>,
    /// Read the message from this file
    #[arg(long, value_name = "FILE")]
    pub(super) message_from_file: Option<PathBuf>,
    /// `-` reads the message from standard input
    #[arg(value_name = "-", value_parser = ["-"])]
    pub(super) stdin: Option<String>,
    /// Machine it is meant for: it gets a head start, then the first free one takes it
    #[arg(long, value_name = "ID")]
    pub(super) machine: Option<String>,
    /// Folder to run in, instead of the current one; for the fleet, a path on the machine that runs it
    #[arg(long, value_name = "DIR")]
    pub(super) workdir: Option<PathBuf>,
    /// Leave the repository here: run in the current folder, or on another machine in an empty one
    #[arg(long, conflicts_with = "workdir")]
    pub(super) no_repo: bool,
    /// Run in a worktree of its own, also a role that would run in the current folder
    #[arg(long, conflicts_with_all = ["workdir", "no_repo"])]
    pub(super) worktree: bool,
    /// End the session after this time, such as 90s or 10m
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, allow_hyphen_values = true)]
    pub(super) timeout: Option<Duration>,
    /// Name the session
    #[arg(long, value_name = "NAME", value_parser = session::parse_name, allow_hyphen_values = true)]
    pub(super) name: Option<String>,
    /// Id of the session, instead of a new one
    #[arg(long, value_name = "ID")]
    pub(super) session_id: Option<SessionId>,
    /// Start the role's interactive form: the message is its first prompt, and you go on with it
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Wait for the session's end (the default)
    #[arg(long, overrides_with = "detach")]
    pub(super) wait: bool,
    /// Print the session's id and leave it running
    #[arg(short = 'd', long, visible_alias = "no-wait")]
    pub(super) detach: bool,
    /// The first Ctrl-C ends the session
    #[arg(long)]
    pub(super) cancel_on_interrupt: bool,
    /// Run the commands of the built-in agent in a container of this image (Docker or Podman)
    #[arg(long, value_name = "IMAGE", conflicts_with = "no_sandbox")]
    pub(super) image: Option<String>,
    /// Do not confine the commands of the built-in agent
    #[arg(long)]
    pub(super) no_sandbox: bool,
    /// Say what would run, and run nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print the session and its output as JSON at its end
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) fleet: FleetArgs,
}

impl DispatchArgs {
    /// What the role is to do, from wherever it comes.
    pub(super) fn message(&self) -> Result<String, Failure> {
        if let Some(message) = &self.message {
            return Ok(message.clone());
        }
        let wrong =
            |what: &str, error: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("{what}: {error}"));
        let limit = MESSAGE_MAX as u64 + 1;
        let mut bytes = Vec::new();
        let read = match &self.message_from_file {
            Some(path) => std::fs::File::open(path)
                .and_then(|file| file.take(limit).read_to_end(&mut bytes))
                .map_err(|error| {
                    let why = format!("{error}; give it a file that can be read");
                    wrong(&format!("--message-from-file {}", path.display()), &why)
                }),
            None => std::io::stdin()
                .take(limit)
                .read_to_end(&mut bytes)
                .map_err(|error| wrong("standard input", &error)),
        };
        if read? > MESSAGE_MAX {
            let why =
                format!("it has more than {MESSAGE_MAX} bytes; put the data into a file and name the file");
            return Err(wrong("the message", &why));
        }
        String::from_utf8(bytes).map_err(|_| {
            Failure::new(Exit::Usage, "the message is not UTF-8; put the data into a file and name the file")
        })
    }

    /// How commands of the built-in agent are confined.
    pub(super) fn sandbox(&self) -> Sandbox {
        match &self.image {
            Some(image) => Sandbox::Image(image.clone()),
            None if self.no_sandbox => Sandbox::None,
            None => Sandbox::System,
        }
    }
}

/// Where and when a job of the queue runs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fleet (each publishes to the queue)")]
pub struct FleetArgs {
    /// Any machine of the fleet
    #[arg(long)]
    pub(super) fleet: bool,
    /// This machine and no other
    #[arg(long, value_name = "ID", conflicts_with = "machine")]
    pub(super) pin: Option<MachineId>,
    /// Machines that have this: os, arch, ram, free_ram, cores, gpu, ac_power, model, role, repo, or a label
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(super) require: Vec<Requirement>,
    /// Machines that have this get a head start
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(super) prefer: Vec<Requirement>,
    /// Try again as often after a failure, and also in a folder of yours when the runner is lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(super) retries: Option<u32>,
    /// Who goes first: low, normal or high
    #[arg(long, value_name = "PRIORITY")]
    pub(super) priority: Option<Priority>,
    /// Start no earlier than this
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, allow_hyphen_values = true)]
    pub(super) delay: Option<Duration>,
    /// A job with the same key within 7 days is this one, and is not published again
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    pub(super) key: Option<String>,
}

impl FleetArgs {
    /// Whether anything asks for the queue.
    pub fn is_asked(&self) -> bool {
        let Self { fleet, pin, require, prefer, retries, priority, delay, key } = self;
        *fleet
            || pin.is_some()
            || !require.is_empty()
            || !prefer.is_empty()
            || retries.is_some()
            || priority.is_some()
            || delay.is_some()
            || key.is_some()
    }

    /// The lane of such a job.
    pub(super) fn lane(&self) -> Lane {
        let mut require: Vec<String> = self.require.iter().map(Requirement::to_string).collect();
        require.sort();
        require.dedup();
        Lane { priority: self.priority.unwrap_or_default(), pin: self.pin.clone(), require, not: Vec::new() }
    }
}
