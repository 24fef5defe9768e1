//! `darkmux crew dispatch`: hand a message to a role and run it in a session on this machine. What goes to other
//! machines is in `fleet_dispatch`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::args::DispatchArgs;
use super::fleet_dispatch;
use super::worktree::{self, Placed};
use super::{failure, outcome};
use crate::cli::job::Delivery;
use crate::cli::session::{Keys, Screen, Seen, Watch, start_failure, watch, workdir};
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome, block_on};
use crate::config::Config;
use crate::crew::{Crew, Launch, Ready, Role, SessionFile};
use crate::fleet::route;
use crate::model::{MachineId, RoleId, SessionId};
use crate::session::{self, Table, check_free_name};
use crate::util::{clock, human};
use crate::wire::{Sandbox, SessionSpec};

/// Runs the verb.
pub fn run(args: &DispatchArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let machine_id = config.machine_id()?;
    let target = args.machine.as_deref().map(MachineId::new).transpose().or_exit(Exit::Usage)?;
    if args.fleet.is_asked() || target.as_ref().is_some_and(|target| *target != machine_id) {
        return fleet_dispatch::run(args, cx, &machine_id, target);
    }
    let role = Crew::open(&config.crew()).find(&args.role).map_err(|error| failure::of(&error))?;
    let message = args.message()?;
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
                if let Some(name) = &args.name {
                    check_free_name(&table, name, &id).map_err(|error| start_failure(error.into()))?;
                }
                let made = Placed::make(cx, config, source, (&id, &machine_id)).await?;
                placed.insert(made).cwd().to_owned()
            }
            None => workdir(args.workdir.as_deref())?,
        };
        let job = Job::new(args, cx, config, (machine_id, id, cwd), &role, &message)?;
        if args.dry_run {
            return dry_run(cx, &job, args.json);
        }
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
        let seen = match watch(cx, &table, &job.spec.id, &how, Screen::live(&cx.printer)).await {
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
