//! `darkmux service status`.

use clap::Args;
use serde_json::{Value, json};

use super::failure;
use crate::cli::printer::{BOLD, GOOD, WARN};
use crate::cli::{Cx, Exit, Outcome, block_on};
use crate::client;
use crate::config::{Config, Paths};
use crate::service::hub::HubFiles;
use crate::service::{Kind, LIMIT, Look, Manager, Services, log_file};
use crate::util::{human, visible_line};
use crate::wire::DaemonInfo;

/// Show what the system runs of darkmux, and how it is.
///
/// Ends with 0 when the daemon runs as a service, else with 1.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
struct Status {
    manager: Manager,
    looks: Vec<Look>,
    daemon: Option<DaemonInfo>,
}

/// Runs the verb.
pub fn run(args: &StatusArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let status = block_on(async {
        let services = Services::at_work(config).await.map_err(failure)?;
        let mut looks = Vec::new();
        for kind in Kind::ALL {
            looks.push(services.look(kind, LIMIT).await.map_err(failure)?);
        }
        // One that starts or stops has nothing to say yet.
        let daemon = client::find(&config.paths).ok().flatten();
        Ok(Status { manager: services.manager(), looks, daemon })
    })?;
    if args.json {
        cx.printer.json(&status.document(&config.paths))?;
    } else {
        status.print(config, cx)?;
    }
    Ok(if status.is_serving() { Exit::Ok } else { Exit::Failed })
}

/// What the daemon says of itself, behind what the manager says.
fn more(daemon: &DaemonInfo) -> String {
    let same = if daemon.version == crate::VERSION { "the same as this" } else { "this is another" };
    let (since, version) = (visible_line(&daemon.started_at), visible_line(&daemon.version));
    format!(", since {since}, version {version} ({same})")
}

impl Status {
    fn serve(&self) -> Option<&Look> {
        self.looks.iter().find(|look| look.kind == Kind::Serve)
    }

    /// Whether the daemon that runs for this home is the manager's.
    fn is_serving(&self) -> bool {
        let pid = self.serve().and_then(|look| look.state.pid);
        self.daemon.as_ref().is_some_and(|daemon| pid == Some(daemon.pid))
    }

    fn print(&self, config: &Config, cx: &Cx) -> std::io::Result<()> {
        let line = |name: &str, words: &str| cx.printer.line(&format!("{BOLD}{name:<10}{BOLD:#} {words}"));
        line("manager", self.manager.name())?;
        let is_hub = HubFiles::new(&config.paths).dir().exists();
        for look in &self.looks {
            let is_shown = look.kind != Kind::Redis || is_hub || look.is_installed();
            if self.manager == Manager::None || !is_shown {
                continue;
            }
            let style = if look.state.running || look.kind == Kind::Integrity { GOOD } else { WARN };
            let daemon = self.daemon.as_ref().filter(|_| look.kind == Kind::Serve && self.is_serving());
            let more = daemon.map_or(String::new(), more);
            line(look.kind.name(), &format!("{style}{}{style:#}{more}", look.words()))?;
        }
        let log = log_file(&config.paths, Kind::Serve);
        if let Ok(meta) = log.metadata() {
            line("log", &format!("{} ({})", visible_line(&log.to_string_lossy()), human::bytes(meta.len())))?;
        }
        for advice in self.advice() {
            cx.printer.line(&format!("→ {}", visible_line(&advice)))?;
        }
        Ok(())
    }

    /// What to do, if anything.
    fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        if self.manager == Manager::None {
            return vec![
                "no service manager answers here; let whatever starts this machine start `darkmux serve`"
                    .to_owned(),
            ];
        }
        let Some(serve) = self.serve() else { return advice };
        match &self.daemon {
            Some(daemon) if !self.is_serving() => advice.push(format!(
                "a daemon runs, pid {}, and not as a service: `kill {}`, then `darkmux service install`",
                daemon.pid, daemon.pid
            )),
            Some(daemon) if daemon.version != crate::VERSION => {
                advice.push("`darkmux service install` starts this version".to_owned());
            }
            Some(_) => {}
            None if !serve.is_installed() => {
                advice.push("`darkmux service install` has it started".to_owned());
            }
            None if serve.state.loaded => advice.push("`darkmux service logs` says why it ends".to_owned()),
            None => advice.push("`darkmux service install` starts it".to_owned()),
        }
        for look in &self.looks {
            if let Some(program) = &look.lost {
                let again = if look.kind == Kind::Redis { "hub up" } else { "service install" };
                advice.push(format!("{} is not there any more: `darkmux {again}` again", program.display()));
            }
        }
        let nightly = self.looks.iter().find(|look| look.kind == Kind::Integrity);
        if nightly.is_some_and(|look| look.state.last_exit.is_some_and(|code| code != 0)) {
            advice.push(
                "the nightly check of the audit chain did not pass: `darkmux service logs integrity`, `darkmux flow \
                 integrity-check`"
                    .to_owned(),
            );
        }
        advice
    }

    fn document(&self, paths: &Paths) -> Value {
        let units: Vec<Value> = self
            .looks
            .iter()
            .map(|look| {
                json!({
                    "name": look.kind.name(),
                    "installed": look.is_installed(),
                    "files": look.files,
                    "log": log_file(paths, look.kind),
                    "state": look.state,
                    "lost_program": look.lost,
                })
            })
            .collect();
        let daemon = self.daemon.as_ref().map(|daemon| {
            json!({
                "pid": daemon.pid,
                "version": daemon.version,
                "same_version": daemon.version == crate::VERSION,
                "started_at": daemon.started_at,
                "is_service": self.is_serving(),
            })
        });
        json!({
            "schema": 1,
            "manager": self.manager.name(),
            "services": units,
            "daemon": daemon,
            "advice": self.advice(),
        })
    }
}
