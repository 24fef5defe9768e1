//! `darkmux serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::printer::{BOLD, DIM};
use super::{Cx, Exit, Failure, Outcome, logging};
use crate::config::{Config, Paths};
use crate::daemon::{self, Ready};
use crate::serve::reach;
use crate::service;

/// Run this machine's daemon: viewer, flow and sessions over HTTP, and the runner of the fleet's queue.
///
/// It ends at Ctrl-C or SIGTERM; sessions and running jobs go on without it.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on (`serve.bind`); beside loopback, one of a tailnet or WireGuard
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,
    /// Port to listen on (`serve.port`); 0 takes a free one
    #[arg(long)]
    port: Option<u16>,
    /// Listen on any address: I know that everybody there can read what is sent, tokens included
    #[arg(long)]
    i_know: bool,
    /// Folder of the day files (`dirs.flows`)
    #[arg(long, value_name = "DIR")]
    flows_dir: Option<PathBuf>,
    /// Claim no jobs of the fleet's queue (`runner.enabled`)
    #[arg(long)]
    no_runner: bool,
    /// Jobs of the queue that run here at once (`runner.slots`)
    #[arg(long, value_name = "N")]
    slots: Option<usize>,
}

impl ServeArgs {
    /// Whether it means something else in another folder.
    pub fn has_relative_path(&self) -> bool {
        self.flows_dir.as_ref().is_some_and(|dir| dir.is_relative())
    }
}

/// Runs the verb.
pub fn run(args: ServeArgs, cx: &Cx) -> Outcome {
    let mut flags = Vec::new();
    flags.extend(args.bind.map(|bind| ("serve.bind", bind.to_string())));
    flags.extend(args.port.map(|port| ("serve.port", port.to_string())));
    flags.extend(args.no_runner.then(|| ("runner.enabled", "false".to_owned())));
    flags.extend(args.slots.map(|slots| ("runner.slots", slots.to_string())));
    if let Some(dir) = args.flows_dir {
        flags.push(("dirs.flows", std::path::absolute(dir)?.to_string_lossy().into_owned()));
    }
    // Beside what the environment of a service has.
    let config = cx.env.clone().with_service_file().and_then(|env| Config::load(env, &flags));
    if let Ok(paths) = Paths::from_env(&cx.env) {
        let most = config.as_ref().map_or(service::LOG_BYTES, Config::service_log_bytes);
        service::bound_at_start(&paths, most);
    }
    let config = config?;
    // Asked here already, so that a wrong one ends as any other wrong setting.
    config.serve_token()?;
    config.host()?;
    reach::check(config.serve().bind, args.i_know).map_err(|words| Failure::new(Exit::Usage, words))?;
    logging::init(config.env());
    // The provider that every TLS client of this process uses; one is there already only in tests.
    let _ = rustls::crypto::ring::default_provider().install_default();
    daemon::run(&config, &cx.clock, args.i_know, |ready| banner(cx, ready))?;
    Ok(Exit::Ok)
}

fn banner(cx: &Cx, ready: &Ready) {
    let Ready { info, flows_dir, machine_id } = ready;
    cx.printer.note(&format!("{BOLD}darkmux{BOLD:#} {}: {machine_id}", info.version));
    cx.printer.note(&format!("  viewer  {BOLD}{}{BOLD:#}", info.url()));
    cx.printer.note(&format!("  flow    {DIM}{}{DIM:#}", flows_dir.display()));
    cx.printer.note("  sign in `darkmux open`, to act and to see terminals");
    cx.printer.note("  stop    Ctrl-C; sessions go on");
}
