//! What installing and removing say, and waiting for the daemon that was installed.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::failure;
use crate::cli::printer::{BOLD, DIM, GOOD, WARN};
use crate::cli::{Cx, Exit, Failure};
use crate::client::{self, Client};
use crate::config::Config;
use crate::service::{Before, Kind, Manager, Plan, Removal, Services, last_lines, log_file};
use crate::util::{visible, visible_line};
use crate::wire::DaemonInfo;

/// How long a daemon may take to answer after its start.
const STARTING: Duration = Duration::from_secs(20);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Lines of its log that are shown of one that does not.
const LAST: usize = 10;

/// How long the manager may take to say whether the daemon is its own, where that only chooses words.
const ASKING: Duration = Duration::from_secs(1);

/// The daemon that runs here, and the command that starts it anew.
#[derive(Debug)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// What starts it anew.
    pub restart: String,
}

impl Running {
    /// Looks for it; `None` where none runs.
    pub async fn find(config: &Config) -> Option<Self> {
        let daemon = client::find(&config.paths).ok().flatten()?;
        let pid = daemon.pid;
        let is_service = match Services::of_path(config) {
            Ok(services) => is_run_by(&services, &daemon).await,
            Err(_) => false,
        };
        let restart = if is_service {
            "darkmux service install --restart".to_owned()
        } else {
            format!("kill {pid}; darkmux serve")
        };
        Some(Self { pid, restart })
    }
}

/// Whether the manager runs this daemon. A manager that does not say so does not.
pub async fn is_run_by(services: &Services, daemon: &DaemonInfo) -> bool {
    services.is_installed(Kind::Serve)
        && services.state_within(Kind::Serve, ASKING).await.is_ok_and(|state| state.pid == Some(daemon.pid))
}

/// Says what a plan changes; with `whole`, what would be in the files as well.
pub fn show_plan(plan: &Plan, whole: bool, cx: &Cx) -> io::Result<()> {
    if plan.is_done() {
        return cx.printer.line(&format!("{GOOD}={GOOD:#} {}: as it should be", plan.kind.name()));
    }
    for file in &plan.files {
        let path = visible_line(&file.path.to_string_lossy()).into_owned();
        let (mark, note) = match file.before {
            Before::Absent => ("+", ""),
            Before::Same => ("=", ""),
            Before::Other => ("~", "  (another one is there; it is kept as `.before`)"),
        };
        cx.printer.line(&format!("{BOLD}{mark}{BOLD:#} {path}{WARN}{note}{WARN:#}"))?;
        if whole && file.before != Before::Same {
            for line in file.text.lines() {
                cx.printer.line(&format!("    {DIM}{}{DIM:#}", visible(line)))?;
            }
        }
    }
    for step in &plan.steps {
        cx.printer.line(&command(&step.argv))?;
    }
    Ok(())
}

/// Says what a removal takes away.
pub fn show_removal(removal: &Removal, cx: &Cx) -> io::Result<()> {
    for step in &removal.before {
        cx.printer.line(&command(&step.argv))?;
    }
    for path in &removal.files {
        cx.printer.line(&format!("{BOLD}-{BOLD:#} {}", visible_line(&path.to_string_lossy())))?;
    }
    for step in &removal.after {
        cx.printer.line(&command(&step.argv))?;
    }
    Ok(())
}

fn command(argv: &[String]) -> String {
    format!("{BOLD}${BOLD:#} {}", visible_line(&shell_words::join(argv)))
}

/// Waits until the daemon that the manager runs answers, one after `before` where that is given, and returns what it says of itself.
pub async fn until_serving(
    services: &Services,
    config: &Config,
    before: Option<u32>,
    cx: &Cx,
) -> Result<DaemonInfo, Failure> {
    let deadline = Instant::now() + STARTING;
    loop {
        let state = services.state(Kind::Serve).await.map_err(failure)?;
        let said = client::find(&config.paths).ok().flatten();
        if let Some(info) = said.filter(|info| state.pid == Some(info.pid) && before != Some(info.pid))
            && let Ok(client) = Client::local(&config.paths)
            && client.health().await.is_ok()
        {
            return Ok(info);
        }
        if Instant::now() > deadline {
            let log = log_file(&config.paths, Kind::Serve);
            if let Ok((lines, _)) = last_lines(&log, LAST) {
                cx.printer.note(&format!("the end of {}:", visible_line(&log.to_string_lossy())));
                cx.printer.note(visible(&String::from_utf8_lossy(&lines)).trim_end());
            }
            let ended = state
                .last_exit
                .map_or(String::new(), |code| format!(", and ended with status {code} before"));
            let words = format!(
                "the service is installed, and its daemon does not answer within 20 s{ended}; mend what its log says: it \
                 is started again and again (`darkmux service status`, `darkmux service uninstall`)"
            );
            return Err(Failure::new(Exit::Failed, words));
        }
        sleep(PAUSE).await;
    }
}

/// Says when what the manager runs starts, and when it ends.
pub async fn tell_lingering(services: &Services, cx: &Cx) {
    let linger = "sudo loginctl enable-linger \"$USER\"";
    match (services.lingers().await, services.manager()) {
        (Some(true), _) | (_, Manager::None) => {}
        (Some(false), _) => cx.printer.warn(&format!(
            "it ends when you sign out, with every session, and starts when you sign in; for an always-on machine: {linger}"
        )),
        (None, Manager::Systemd) => {
            cx.printer.note(&format!("to have it start without anybody's signing in: {linger}"));
        }
        (None, Manager::Launchd) => {
            cx.printer.note("it starts when you sign in; on an always-on Mac switch on automatic login");
        }
    }
}
