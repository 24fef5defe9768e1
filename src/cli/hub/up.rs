//! `darkmux hub up`.

use std::net::IpAddr;

use clap::Args;

use crate::cli::printer::{BOLD, GOOD, WARN};
use crate::cli::service::{failure, is_run_by, show_plan, tell_lingering, until_serving};
use crate::cli::{Cx, Exit, Failure, Outcome, block_on};
use crate::client;
use crate::config::{Config, edit, key_named};
use crate::serve::reach;
use crate::service::hub::{self, Found, HubFile, HubFiles, ServerProgram};
use crate::service::{self, Kind, Manager, Plan, Services};
use crate::util::visible_line;
use crate::work::FleetKey;

/// Make this machine the hub of its fleet: run a Redis here that keeps jobs and records, and use it.
///
/// Its configuration, its passwords and its data are in `hub` of darkmux's folder. It asks for a password, keeps what it
/// accepted, and is run by launchd or systemd; where neither is, as in a container, it is started in the background. Other machines come
/// in by `darkmux fleet invite`. Doing it again changes only what is different.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Address that other machines reach it at, beside loopback: this machine's one in a tailnet or WireGuard
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,
    /// Its port (6379, or what it was before)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Listen on any address: I know that everybody on the way can read what is sent
    #[arg(long)]
    i_know: bool,
    /// Use it in the place of the Redis that is set now
    #[arg(long)]
    replace: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Everything that is known before something is changed.
struct Before<'a> {
    config: &'a Config,
    files: HubFiles,
    hub: HubFile,
    program: ServerProgram,
    services: Services,
    /// Of the service manager, where there is one.
    plan: Option<Plan>,
    /// Who listens on the port.
    found: Found,
    is_written: bool,
    is_used: bool,
    /// Where the daemon is to listen from now on, so that who is invited reaches it.
    daemon_bind: Option<IpAddr>,
}

/// Runs the verb.
pub fn run(args: &UpArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let files = HubFiles::new(&config.paths);
    let asked = files.read().map_err(failure)?;
    let hub = asked.unwrap_or_default().with(args.bind, args.port);
    check_bind(hub.bind, args.i_know)?;
    let is_used = hub::is_used(config, &files, &hub).or_else(|other| {
        if args.replace {
            return Ok(false);
        }
        let words = format!(
            "this machine uses another Redis, {}; --replace uses its own instead",
            visible_line(&other)
        );
        Err(Failure::new(Exit::Failed, words))
    })?;
    block_on(async {
        let program = ServerProgram::find(&cx.env).await.map_err(failure)?;
        let services = Services::at_work(config).await.map_err(failure)?;
        let unit = service::redis(config, &program.path, &files.conf());
        let plan = match services.manager() {
            Manager::None => None,
            _ => Some(services.plan(&unit).await.map_err(failure)?),
        };
        let found = hub::look(&files, &hub).await.map_err(failure)?;
        let is_written = files.is_written(&hub);
        let daemon_bind = daemon_bind(config, hub.bind);
        let before =
            Before { config, files, hub, program, services, plan, found, is_written, is_used, daemon_bind };
        before.show(args.dry_run, cx)?;
        before.check_port()?;
        if args.dry_run {
            return Ok(Exit::Ok);
        }
        let changed = before.carry_out(cx).await?;
        before.tell(changed, cx).await?;
        Ok(Exit::Ok)
    })
}

/// Beside loopback it listens only where the network encrypts.
fn check_bind(bind: IpAddr, i_know: bool) -> Result<(), Failure> {
    if i_know || reach::is_safe(bind) {
        return Ok(());
    }
    let what = if bind.is_unspecified() {
        "is every network this machine is in"
    } else {
        "belongs to no tailnet and no WireGuard interface"
    };
    let words = format!(
        "{bind} {what}, and what machines and Redis say to each other is not encrypted: give this machine's address in a \
         tailnet, or say --i-know"
    );
    Err(Failure::new(Exit::Usage, words))
}

/// Where the daemon has to listen too, where nobody has set `serve.bind`: on loopback it can invite nobody.
fn daemon_bind(config: &Config, hub: IpAddr) -> Option<IpAddr> {
    let listens = client::find(&config.paths).ok().flatten();
    let is_elsewhere = listens.is_some_and(|daemon| !daemon.bind.is_loopback());
    let wanted = !hub.is_loopback() && !is_elsewhere && config.is_default("serve.bind");
    // Where it could not listen, it would not start.
    (wanted && reach::is_safe(hub) && reach::is_own(hub)).then_some(hub)
}

impl Before<'_> {
    fn is_ours(&self) -> bool {
        matches!(self.found, Found::Ours | Found::NotYet(_))
    }

    /// Whether another one has the port.
    fn check_port(&self) -> Result<(), Failure> {
        let Found::Other(fault) = &self.found else { return Ok(()) };
        let port = self.hub.port;
        let words = format!(
            "something else listens on port {port} ({}); stop it (`brew services stop redis`, `systemctl stop redis`), or \
             take another port: darkmux hub up --port {}",
            visible_line(fault.detail()),
            port.checked_add(1).unwrap_or(6380)
        );
        Err(Failure::new(Exit::Failed, words))
    }

    fn show(&self, whole: bool, cx: &Cx) -> std::io::Result<()> {
        let program = visible_line(&self.program.path.to_string_lossy()).into_owned();
        cx.printer.line(&format!("{BOLD}Redis{BOLD:#} {} ({program})", self.program.version))?;
        let mark = if self.is_written { "=" } else { "+" };
        let dir = visible_line(&self.files.dir().to_string_lossy()).into_owned();
        cx.printer.line(&format!(
            "{BOLD}{mark}{BOLD:#} {dir}: redis.conf, passwords, data; port {}",
            self.hub.port
        ))?;
        match &self.plan {
            Some(plan) => show_plan(plan, whole, cx)?,
            None if self.is_ours() => {}
            None => cx.printer.line(&format!("{BOLD}${BOLD:#} {program} redis.conf, in the background"))?,
        }
        if !self.is_used {
            let url = self.hub.url();
            cx.printer.line(&format!("{BOLD}+{BOLD:#} settings redis.url {url}, redis.password_file"))?;
        }
        if let Some(bind) = self.daemon_bind {
            cx.printer.line(&format!(
                "{BOLD}+{BOLD:#} setting serve.bind {bind}: the daemon listens there, in the place of 127.0.0.1"
            ))?;
        }
        Ok(())
    }

    /// Does it; whether what a running daemon goes by has changed.
    async fn carry_out(&self, cx: &Cx) -> Result<bool, Failure> {
        let Self { config, files, hub, services, .. } = self;
        let before = files.read().map_err(failure)?;
        let rewritten = files.write(hub).map_err(failure)?;
        let is_managed = self.plan.as_ref().is_some_and(|plan| plan.state.pid.is_some());
        if let Some(before) = before.filter(|_| !is_managed && (rewritten || self.plan.is_some())) {
            // It was started before there was a manager, or by another configuration. Two would share its data.
            hub::shut_down(files, &before).await.map_err(failure)?;
        }
        if let Some(plan) = &self.plan {
            services.install(plan).await.map_err(failure)?;
            if rewritten && plan.steps.is_empty() {
                services.take(&services.restarting(Kind::Redis)).await.map_err(failure)?;
            }
        } else if rewritten || !self.is_ours() {
            hub::start_detached(&self.program, files, &cx.env).await.map_err(failure)?;
        }
        hub::until_answers(files, hub).await.map_err(failure)?;
        let used = hub::take_over(config, files, hub).map_err(failure)?;
        if let Some(bind) = self.daemon_bind {
            edit(&config.paths.config_file(), key_named("serve.bind")?, Some(bind.to_string().into()))?;
        }
        let key = FleetKey::ensure(&config.paths.fleet_key());
        let (_, made) = key.map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(used || made || self.daemon_bind.is_some())
    }

    /// Says what there is, and what comes next.
    async fn tell(&self, changed: bool, cx: &Cx) -> Result<(), Failure> {
        let url = self.hub.url();
        cx.printer.line(&format!("{GOOD}up{GOOD:#}: {BOLD}{url}{BOLD:#}, used by this machine"))?;
        for name in ["redis.url", "redis.password_file"] {
            if self.config.is_from_env(name) {
                let variable = name.to_uppercase().replace('.', "_");
                cx.printer.warn(&format!(
                    "DARKMUX_{variable} is set and wins over the settings: remove it from your shell's startup file"
                ));
            }
        }
        if self.plan.is_none() {
            cx.printer.warn(
                "no service manager answers here: Redis runs in the background, and after a restart of the machine \
                 `darkmux hub up` starts it again",
            );
        }
        tell_lingering(&self.services, cx).await;
        self.restart_daemon(changed, cx).await?;
        if self.hub.bind.is_loopback() {
            let example = reach::encrypted().map_or_else(|| "ADDRESS".to_owned(), |own| own.to_string());
            cx.printer.note(&format!(
                "{WARN}next{WARN:#}: only this machine reaches it; for others, by this machine's address in the tailnet: \
                 darkmux hub up --bind {example}"
            ));
        } else {
            cx.printer.note(&format!(
                "{WARN}next{WARN:#}: darkmux fleet invite, and `darkmux fleet join` on the other machine"
            ));
        }
        Ok(())
    }

    /// Has the daemon read Redis and the fleet's key, which it does at its start.
    async fn restart_daemon(&self, changed: bool, cx: &Cx) -> Result<(), Failure> {
        let Self { config, services, .. } = self;
        // One that starts just now reads them.
        let Some(daemon) = client::find(&config.paths).ok().flatten() else {
            let how = match services.manager() {
                Manager::None => "start the daemon: darkmux serve",
                _ => "start the daemon, and keep it running: darkmux service install",
            };
            cx.printer.note(how);
            return Ok(());
        };
        if !changed {
            return Ok(());
        }
        if is_run_by(services, &daemon).await {
            services.take(&services.restarting(Kind::Serve)).await.map_err(failure)?;
            until_serving(services, config, Some(daemon.pid), cx).await?;
            cx.printer.note("the daemon was started anew, and uses it; sessions went on");
        } else {
            cx.printer.note(&format!(
                "start the daemon anew, so that it uses it (sessions go on): kill {}; darkmux serve",
                daemon.pid
            ));
        }
        Ok(())
    }
}
