//! Whether the daemon runs, answers, and is of this version.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use jiff::Timestamp;

use super::{Check, Finding, Machine, question};
use crate::client::{self, Client};
use crate::service::{Kind, Services};
use crate::wire::DaemonInfo;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long a connection to a port of this machine may take.
const CONNECT: Duration = Duration::from_millis(300);

/// The daemon of this home.
pub struct Daemon;

impl Check for Daemon {
    fn name(&self) -> &'static str {
        "daemon"
    }

    fn run(&self, machine: &Machine) -> Finding {
        match client::find(&machine.config.paths) {
            Ok(Some(info)) => asked(machine, info),
            Ok(None) => absent(machine),
            Err(error) => not_well(&error.to_string(), "darkmux serve"),
        }
    }
}

fn asked(machine: &Machine, info: DaemonInfo) -> Finding {
    let restart = restart(machine, info.pid);
    let (url, started_at) = (info.url(), info.started_at.clone());
    let health = question(PATIENCE, async {
        let client = Client::new(info)?;
        client.health().await
    });
    match health {
        Ok(Ok(health)) if health.darkmux_version == machine.version => {
            if has_newer_settings(machine, &started_at) {
                return Finding::warn(
                    format!("answers at {url}, and config.json was changed after its start"),
                    "the daemon reads settings when it starts, and goes by those of then",
                    restart,
                );
            }
            Finding::pass(format!("answers at {url}, of this version"))
        }
        Ok(Ok(health)) => Finding::warn(
            format!(
                "answers at {url}, and is of version {}; this is {}",
                health.darkmux_version, machine.version
            ),
            "the page and the daemon's answers are those of its version",
            restart,
        ),
        Ok(Err(error)) => not_well(&error.to_string(), &restart),
        Err(error) => not_well(&format!("at {url}: {error}"), &restart),
    }
}

/// What starts it anew: the service manager, where it has a unit of it, else whoever sits here.
fn restart(machine: &Machine, pid: u32) -> String {
    if Services::of_path(&machine.config).is_ok_and(|services| services.is_installed(Kind::Serve)) {
        return "darkmux service install --restart   # sessions go on".to_owned();
    }
    format!("kill {pid}; darkmux serve   # sessions go on")
}

/// Whether `config.json` was written after the daemon had read it.
fn has_newer_settings(machine: &Machine, started_at: &str) -> bool {
    let written = std::fs::metadata(machine.config.paths.config_file()).and_then(|meta| meta.modified());
    let written = written.ok().and_then(|written| Timestamp::try_from(written).ok());
    let started = started_at.parse::<Timestamp>().ok();
    written.zip(started).is_some_and(|(written, started)| written > started)
}

fn not_well(finding: &str, fix: &str) -> Finding {
    let why = "the page and whoever asks this machine over HTTP get no answer; sessions and dispatch go on";
    Finding::fail(finding, why, fix)
}

fn absent(machine: &Machine) -> Finding {
    let serve = machine.config.serve();
    let address = SocketAddr::new(serve.bind, serve.port);
    if serve.port != 0 && is_taken(address) {
        return Finding::warn(
            format!("not running, and something else listens on {address}"),
            "`darkmux serve` can't have its port; it may be a daemon of another home, or of darkmux 1.9",
            "stop the other one, or take another port: darkmux config set serve.port 8766",
        );
    }
    let why = "nobody serves the page; dispatch and sessions work without";
    Finding::warn("not running", why, "darkmux serve")
}

fn is_taken(address: SocketAddr) -> bool {
    let answer: io::Result<TcpStream> = TcpStream::connect_timeout(&address, CONNECT);
    answer.is_ok()
}
