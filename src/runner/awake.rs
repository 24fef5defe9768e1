//! Keeping the machine awake while it works, and noticing that it slept.

use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::util::Clock;

/// How much further than the timers the wall clock must be.
const SLEPT: Duration = Duration::from_secs(5);

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

    /// Holds, or lets go.
    pub fn set(&self, awake: bool) {
        let mut holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        if !awake {
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

/// Notices when the wall clock ran on while the timers stood still.
#[derive(Debug)]
pub struct SleepWatch {
    clock: Clock,
    last: (Instant, Timestamp),
}

impl SleepWatch {
    /// From now on.
    pub fn new(clock: Clock) -> Self {
        let last = (Instant::now(), clock.now());
        Self { clock, last }
    }

    /// How long the machine slept since the last look, if it did.
    pub fn look(&mut self) -> Option<Duration> {
        let now = (Instant::now(), self.clock.now());
        let timers = now.0.duration_since(self.last.0);
        let wall = Duration::try_from(now.1.duration_since(self.last.1)).unwrap_or_default();
        self.last = now;
        wall.checked_sub(timers).filter(|slept| *slept >= SLEPT)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[tokio::test]
    async fn a_jump_of_the_wall_clock_is_a_sleep_and_a_pause_is_none() {
        let clock = Clock::manual("2026-11-22T00:00:00Z".parse().unwrap());
        let mut watch = SleepWatch::new(clock.clone());
        assert_eq!(watch.look(), None);
        clock.advance(SignedDuration::from_hours(1));
        assert!(watch.look().unwrap() > Duration::from_mins(59));
        clock.advance(SignedDuration::from_hours(-1));
        assert_eq!(watch.look(), None);
    }
}
