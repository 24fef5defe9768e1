//! `darkmux crew dispatch`: hand a message to a role and run it in a session on this machine. What goes to other
//! machines is in `fleet_dispatch`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::fleet_dispatch::{self, FleetArgs};
use super::worktree::{self, Placed};
use super::{failure, outcome};
use crate::cli::job::Delivery;
use crate::cli::session::{Keys, Screen, Seen, Watch, free_name, start_failure, watch, workdir};
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome, block_on, completions};
use crate::config::Config;
use crate::crew::{Crew, Launch, MESSAGE_MAX, Ready, Role, SessionFile};
use crate::fleet::route;
use crate::model::{MachineId, RoleId, SessionId};
use crate::session::{self, Table};
use crate::util::{clock, human};
use crate::wire::{Sandbox, SessionSpec};

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
    /// How commands of the built-in agent are confined.
    fn sandbox(&self) -> Sandbox {
        match &self.image {
            Some(image) => Sandbox::Image(image.clone()),
            None if self.no_sandbox => Sandbox::None,
            None => Sandbox::System,
        }
    }
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
    let table = Table::new(config.session().dir);
    let id = match &args.session_id {
        Some(id) => id.clone(),
        None => session::new_id(&role.manifest.id)?,
    };
    block_on(async {
        let source = worktree::wanted(cx, args, &role).await?;
        let mut placed = None;
        let cwd = match &source {
            Some(source) if args.dry_run => worktree::folder(config, source, &id).1,
            Some(source) => {
                free_name(args.name.as_deref(), &table)?;
                let made = Placed::make(cx, config, source, (&id, &machine_id)).await?;
                placed.insert(made).cwd().to_owned()
            }
            None => workdir(args.workdir.as_deref())?,
        };
        let job = Job::new(args, cx, config, (machine_id, id, cwd), &role, &message)?;
        if args.dry_run {
            return dry_run(cx, &job, args.json);
        }
        free_name(args.name.as_deref(), &table)?;
        session::start(&config.session().dir, &job.spec, &job.files, &cx.env).await.map_err(start_failure)?;
        let record = placed.map(|placed| placed.keep(cx, config));
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
        let back = match (&record, &seen) {
            (Some(record), Seen::Ended(_) | Seen::Cancelled(_)) => Some(Delivery::of(cx, None, record).await),
            _ => None,
        };
        let exit = outcome::report(cx, config, &table, (seen, &job.spec.id), (args.json, back.as_ref()))?;
        if let Some(back) = back.filter(|_| !args.json) {
            back.tell(cx);
        }
        Ok(exit)
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
        (machine_id, id, cwd): (MachineId, SessionId, PathBuf),
        role: &Role,
        message: &str,
    ) -> Result<Self, Failure> {
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
            sandbox: args.sandbox(),
        };
        let prepared = launch.prepare(role, &config.session());
        let Ready { spec, files, notes } = prepared.map_err(|error| failure::of(&error))?;
        for note in &notes {
            cx.printer.note(&format!("note: {}", crate::util::visible_line(note)));
        }
        if args.sandbox() != Sandbox::System && spec.kind.as_deref() != Some("agent") {
            let words = "--image and --no-sandbox are for the built-in agent, and the role runs by another here; leave them \
                         out, or let the built-in agent come first: darkmux config set crew.agents agent";
            return Err(Failure::new(Exit::Usage, words));
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
