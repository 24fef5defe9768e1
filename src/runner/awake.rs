//! Keeping the machine awake while it works.

use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use tokio::process::{Child, Command};

/// What prevents sleep while it runs, by system. It reads from this daemon, so that it ends with it, however that
/// ends.
#[cfg(target_os = "macos")]
const INHIBITOR: &[&str] = &["/usr/bin/caffeinate", "-i", "-m", "/bin/cat"];
#[cfg(not(target_os = "macos"))]
const INHIBITOR: &[&str] =
    &["systemd-inhibit", "--what=sleep:idle", "--who=darkmux", "--why=a job runs", "--mode=block", "cat"];

/// Holds the machine awake while told to. Where there is nothing to do that with, it does nothing.
#[derive(Debug, Default)]
pub struct KeepAwake {
    holding: Mutex<Option<Child>>,
}

impl KeepAwake {
    /// Holds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds, or lets go; which of them is asked when it is done, so that of two who call at once none undoes what the
    /// later one knows.
    pub fn set(&self, awake: impl FnOnce() -> bool) {
        let mut holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        if !awake() {
            // Killed when dropped.
            *holding = None;
            return;
        }
        let ended = holding.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        if ended {
            *holding = hold();
        }
    }
}

fn hold() -> Option<Child> {
    let (program, arguments) = INHIBITOR.split_first()?;
    // Without the bus there is no inhibitor, and asking for one would start a shell's worth of processes each time.
    #[cfg(not(target_os = "macos"))]
    if !std::path::Path::new("/run/systemd/inhibit").exists() {
        return None;
    }
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.kill_on_drop(true).spawn() {
        Ok(child) => Some(child),
        Err(error) => {
            tracing::debug!(%error, "the machine may sleep while jobs run");
            None
        }
    }
}
