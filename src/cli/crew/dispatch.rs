//! `darkmux crew dispatch`: hand a message to a role and run it in a session on this machine. What goes to other
//! machines is in `fleet_dispatch`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::fleet_dispatch::{self, FleetArgs};
use super::{failure, outcome};
use crate::cli::session::{Keys, Screen, Watch, block_on, free_name, start_failure, watch, workdir};
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome, completions};
use crate::config::Config;
use crate::crew::{Crew, Launch, MESSAGE_MAX, Ready, Role, SessionFile};
use crate::fleet::route;
use crate::model::{MachineId, RoleId, SessionId};
use crate::session::{self, Table};
use crate::util::{clock, human};
use crate::wire::SessionSpec;

/// Hand a message to a role and run it in a session of its own.
///
/// The session's output comes to this terminal, and the command ends with the session's status. It runs here,
/// unless --machine names another machine or one of the fleet's flags is given: then it is published to the queue,
/// and the output comes from wherever it runs.
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
    /// End the session after this time, such as 90s or 10m
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
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
    /// Say what would run, and run nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print the session and its output as JSON at its end
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) fleet: FleetArgs,
}

/// Runs the verb.
pub fn run(args: &DispatchArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let machine_id = config.machine_id()?;
    let target = args.machine.as_deref().map(MachineId::new).transpose().or_exit(Exit::Usage)?;
    if args.fleet.is_asked() || target.as_ref().is_some_and(|target| *target != machine_id) {
        return fleet_dispatch::run(args, cx, &machine_id, target);
    }
    let role = Crew::open(&config.crew()).find(&args.role).map_err(|error| failure::of(&error))?;
    let message = message(args)?;
    let job = Job::new(args, cx, config, machine_id, &role, &message)?;
    if args.dry_run {
        return dry_run(cx, &job, args.json);
    }
    let table = Table::new(config.session().dir);
    free_name(args.name.as_deref(), &table)?;
    block_on(async {
        session::start(&config.session().dir, &job.spec, &job.files, &cx.env).await.map_err(start_failure)?;
        if let (Some(target), Some(role)) = (&target, &job.spec.role) {
            let payload = json!({ "decision": "local", "target_machine": target });
            fleet_dispatch::keep(cx, config, route(role, &job.spec.id, payload));
        }
        if args.detach {
            return outcome::detached(cx, &table, &job.spec.id, args.json);
        }
        let keys =
            if args.interactive { Keys::Attached } else { Keys::Wait { cancel: args.cancel_on_interrupt } };
        let how = Watch { from: (!args.json).then_some(0), hold: true, keys, until: None, screen: false };
        let seen = match watch(cx, &table, &job.spec.id, &how, Screen::live()).await {
            Err(failure) if failure.is_silent() => return Ok(outcome::unread(cx, &job.spec.id)),
            seen => seen?,
        };
        outcome::report(cx, config, &table, (seen, &job.spec.id), args.json)
    })
}

/// What is about to run.
struct Job {
    spec: SessionSpec,
    files: Vec<SessionFile>,
}

impl Job {
    fn new(
        args: &DispatchArgs,
        cx: &Cx,
        config: &Config,
        machine_id: MachineId,
        role: &Role,
        message: &str,
    ) -> Result<Self, Failure> {
        let id = match &args.session_id {
            Some(id) => id.clone(),
            None => session::new_id(&role.manifest.id)?,
        };
        let cwd = workdir(args.workdir.as_deref())?;
        let launch = Launch {
            id,
            message,
            interactive: args.interactive,
            cwd,
            name: args.name.clone(),
            timeout: args.timeout,
            size: crate::pty::window_size(std::io::stdout()).unwrap_or_default(),
            machine_id,
            created_at: clock::millis(cx.clock.now()),
            env: Vec::new(),
            inherits: &cx.env,
            work: None,
        };
        let prepared = launch.prepare(role, &config.session());
        let Ready { spec, files, notes } = prepared.map_err(|error| failure::of(&error))?;
        for note in &notes {
            cx.printer.note(&format!("note: {}", crate::util::visible_line(note)));
        }
        Ok(Self { spec, files })
    }
}

/// What the role is to do, from wherever it comes.
pub(super) fn message(args: &DispatchArgs) -> Result<String, Failure> {
    if let Some(message) = &args.message {
        return Ok(message.clone());
    }
    let wrong =
        |what: &str, error: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("{what}: {error}"));
    let limit = MESSAGE_MAX as u64 + 1;
    let mut bytes = Vec::new();
    let read = match &args.message_from_file {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|error| wrong(&path.display().to_string(), &error)),
        None => std::io::stdin()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| wrong("standard input", &error)),
    };
    if read? > MESSAGE_MAX {
        let why = format!("it has more than {MESSAGE_MAX} bytes; put the data into a file and name the file");
        return Err(wrong("the message", &why));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::new(Exit::Usage, "the message is not UTF-8; put the data into a file and name the file")
    })
}

fn dry_run(cx: &Cx, job: &Job, as_document: bool) -> Outcome {
    let spec = &job.spec;
    if as_document {
        cx.printer.json(&json!({ "schema": 1, "dry_run": true, "spec": spec }))?;
        return Ok(Exit::Ok);
    }
    let line = |label: &str, value: &str| {
        cx.printer.line(&format!("{label:<9} {}", crate::util::visible_line(value)))
    };
    line("machine", spec.machine_id.as_str())?;
    line("role", spec.role.as_ref().map_or("", RoleId::as_str))?;
    line("runs", &shell_words::join(&spec.argv))?;
    line("folder", &spec.cwd.to_string_lossy())?;
    if let Some(limit) = spec.timeout_ms {
        line("limit", &human::duration(Duration::from_millis(limit)))?;
    }
    Ok(Exit::Ok)
}
