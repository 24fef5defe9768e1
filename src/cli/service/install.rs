//! `darkmux service install`.

use clap::{Args, Command, FromArgMatches};

use super::{failure, show_plan, tell_lingering, until_serving};
use crate::cli::printer::{BOLD, GOOD};
use crate::cli::serve::ServeArgs;
use crate::cli::{Cx, Exit, Failure, Outcome, block_on};
use crate::client;
use crate::config::{Config, ConfigFile, ServiceEnv};
use crate::service::{self, Kind, Manager, Plan, ServiceError, Services, own_program};
use crate::util::visible_line;

/// Have the system start the daemon and keep it running, and check the audit chain each night.
///
/// Writes units for this user (launchd: LaunchAgents; systemd: user units) and loads them. Sessions and running jobs outlive
/// the daemon. Doing it again changes only what is different; after an upgrade it starts the new version. Settings that come
/// from this shell's DARKMUX_ variables go along, secrets never do.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Show the files and commands, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Start the daemon anew also when nothing is different, so that it reads its settings
    #[arg(long)]
    restart: bool,
    /// Arguments for `darkmux serve`, such as `-- --bind 100.64.2.1`; settings (`serve.bind`) do without
    #[arg(last = true, value_name = "SERVE ARGUMENT")]
    flags: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &InstallArgs, cx: &Cx) -> Outcome {
    check_flags(&args.flags)?;
    let config = cx.config()?;
    config.serve_token()?;
    let env = config.service_env()?;
    check_redis(config, &env)?;
    let program = own_program(&cx.env).map_err(failure)?;
    block_on(async {
        let services = Services::at_work(config).await.map_err(failure)?;
        if services.manager() == Manager::None {
            return Err(failure(ServiceError::NoManager));
        }
        let units = [
            service::serve(config, &program.path, &env, &args.flags),
            service::integrity(config, &program.path, &env),
        ];
        let mut plans = Vec::new();
        for unit in &units {
            plans.push(services.plan(unit).await.map_err(failure)?);
        }
        for plan in &plans {
            show_plan(plan, args.dry_run, cx)?;
        }
        warn(&env, program.passing.as_deref(), cx);
        let stranger = stranger(config, &plans[0]);
        if args.dry_run {
            if let Some(pid) = stranger {
                cx.printer.warn(&format!(
                    "a daemon of this home runs already, and not as a service: `kill {pid}` first"
                ));
            }
            return Ok(Exit::Ok);
        }
        if let Some(pid) = stranger {
            let words = format!(
                "a daemon of this home runs already, and not as a service; stop it (`kill {pid}`; sessions go on) and run \
                 this again"
            );
            return Err(Failure::new(Exit::Failed, words));
        }
        for plan in &plans {
            services.install(plan).await.map_err(failure)?;
        }
        started(&services, config, &plans[0], args.restart, cx).await?;
        Ok(Exit::Ok)
    })
}

/// Refuses what `darkmux serve` would refuse, before a unit says it each ten seconds.
fn check_flags(flags: &[String]) -> Result<(), Failure> {
    let command = ServeArgs::augment_args(Command::new("serve").no_binary_name(true).disable_help_flag(true));
    let parsed =
        command.try_get_matches_from(flags).and_then(|matches| ServeArgs::from_arg_matches(&matches));
    let parsed = parsed.map_err(|error| {
        let words = error.to_string();
        let line = words.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Failure::new(
            Exit::Usage,
            format!("{line}; after `--` stand arguments of `darkmux serve` (see its --help)"),
        )
    })?;
    if parsed.has_relative_path() {
        let words = "a service runs in another folder: give --flows-dir an absolute path";
        return Err(Failure::new(Exit::Usage, words));
    }
    Ok(())
}

/// A daemon that silently goes without the Redis that every shell here has would be a surprise.
fn check_redis(config: &Config, env: &ServiceEnv) -> Result<(), Failure> {
    let withheld = env.withheld.iter().any(|name| name == "DARKMUX_REDIS_URL");
    if !withheld || ConfigFile::read(&config.paths.config_file())?.values.contains_key("redis.url") {
        return Ok(());
    }
    let words = "DARKMUX_REDIS_URL holds a password, which is written into no unit, and the service would do without Redis; put \
                 the URL without it into the settings (`darkmux config set redis.url redis://…`) and the password into a file \
                 of mode 0600 (`darkmux config set redis.password_file FILE`)";
    Err(Failure::new(Exit::Usage, words))
}

fn warn(env: &ServiceEnv, passing: Option<&str>, cx: &Cx) {
    if let Some(passing) = passing {
        cx.printer.warn(&visible_line(passing));
    }
    for name in &env.withheld {
        let name = visible_line(name);
        cx.printer.warn(&format!(
            "{name} holds a secret and is written into no unit; settings, files and ~/.darkmux/service.env are read by the \
             service"
        ));
    }
    if !env.missing.is_empty() {
        let names = visible_line(&env.missing.join(", ")).into_owned();
        cx.printer.warn(&format!(
            "runner.env names {names}, which the service has not: jobs that need them fail. A line NAME=value in \
             ~/.darkmux/service.env (mode 0600) gives it to them; agents that are signed in need none"
        ));
    }
}

/// The daemon of this home that the manager did not start.
fn stranger(config: &Config, plan: &Plan) -> Option<u32> {
    // One that starts or stops just now says nothing yet; the manager's own finds the home taken, and says so.
    let running = client::find(&config.paths).ok().flatten();
    running.map(|info| info.pid).filter(|pid| plan.state.pid != Some(*pid))
}

/// Waits for the daemon, has one of another version start anew, and says what there is now.
async fn started(
    services: &Services,
    config: &Config,
    plan: &Plan,
    restart: bool,
    cx: &Cx,
) -> Result<(), Failure> {
    let mut info = until_serving(services, config, None, cx).await?;
    let is_other = info.version != crate::VERSION;
    if is_other {
        cx.printer.note(&format!("it is of version {}: starting this one", visible_line(&info.version)));
    }
    // Steps that were taken have started it just now.
    if is_other || restart && plan.is_done() {
        services.take(&services.restarting(Kind::Serve)).await.map_err(failure)?;
        info = until_serving(services, config, Some(info.pid), cx).await?;
    }
    cx.printer.line(&format!(
        "{GOOD}serving{GOOD:#} at {BOLD}{}{BOLD:#} (pid {}), started by {}",
        visible_line(&info.url()),
        info.pid,
        services.manager().name()
    ))?;
    cx.printer
        .note("look: darkmux service status; read: darkmux service logs -f; end: darkmux service uninstall");
    tell_lingering(services, cx).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serve_would_refuse_is_refused_before_it_is_written() {
        let check =
            |flags: &[&str]| check_flags(&flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>());
        assert!(check(&[]).is_ok());
        assert!(check(&["--bind", "127.0.0.1", "--no-runner", "--slots=3", "--flows-dir", "/x"]).is_ok());
        for wrong in [["--bnid", "x"], ["--bind", "nowhere"], ["--flows-dir", "x"]] {
            assert_eq!(check(&wrong).unwrap_err().exit(), Exit::Usage, "{wrong:?}");
        }
    }
}
