//! What a session whose host died may have left running: its program got HUP with its terminal, and need not end by it.
//!
//! Invariant: a number alone proves nothing, because the system gives it to another process later. Only what is known
//! to be the session's own is signalled, and that is looked at again before each signal.

use std::time::{Duration, Instant};

use super::LifeError;
use crate::model::SessionState;
use crate::pty::{self, ProcessTree, Signal};
use crate::wire::SessionStatus;

/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// HUP follows TERM within this time: an interactive shell ends by it.
const HANG_UP_AFTER: Duration = Duration::from_secs(1);

/// How long the kernel may take after KILL.
const GONE: Duration = Duration::from_secs(5);

/// What is left of a session's processes.
#[derive(Debug, Clone, Copy)]
pub enum Remains {
    /// Nothing, or the session has a host, which knows.
    Nothing,
    /// Its program still runs.
    Program(ProcessTree),
    /// Processes of that kernel session run, and whether they are its own can't be told.
    Unknown(u32),
}

impl Remains {
    /// Looks for them.
    pub fn of(status: &SessionStatus) -> Self {
        let pid = status.pid.filter(|_| status.state == SessionState::Lost);
        let Some((pid, tree)) = pid.and_then(|pid| Some((pid, ProcessTree::of_leader(pid).ok()?))) else {
            return Self::Nothing;
        };
        match (pty::birth(pid), &status.process_birth) {
            (Some(now), Some(ours)) if now == *ours => Self::Program(tree),
            // Its number went to another process: of its kernel session nobody was left.
            (Some(_), Some(_)) => Self::Nothing,
            _ if tree.is_alive() => Self::Unknown(pid),
            _ => Self::Nothing,
        }
    }

    /// Ends them: TERM, then HUP, and after the grace KILL. Whether there was something to end. An error where there may be,
    /// and nothing proves that it is the session's.
    pub async fn end(status: &SessionStatus, grace: Duration) -> Result<bool, LifeError> {
        let tree = match Self::of(status) {
            Self::Nothing => return Ok(false),
            Self::Program(tree) => tree,
            Self::Unknown(pid) => return Err(LifeError::Remains { id: status.id.clone(), pid }),
        };
        let began = Instant::now();
        let plan = [
            (began, Some(Signal::TERM)),
            // One that is stopped acts on it when it goes on.
            (began, Some(Signal::CONT)),
            (began + HANG_UP_AFTER.min(grace / 2), Some(Signal::HUP)),
            (began + grace, Some(Signal::KILL)),
            (began + grace + GONE, None),
        ];
        for (at, signal) in plan {
            // What its program leaves in the background is its own, too: as long as one of them lives, nobody gets the number.
            while Instant::now() < at {
                if matches!(Self::of(status), Self::Nothing) {
                    return Ok(true);
                }
                tokio::time::sleep(LOOK).await;
            }
            match (Self::of(status), signal) {
                (Self::Nothing, _) => return Ok(true),
                (_, Some(signal)) => tree.signal(signal),
                (_, None) => break,
            }
        }
        Err(LifeError::Slow { id: status.id.clone(), limit: began.elapsed() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MachineId, SessionId};
    use std::process::{Child, Command};

    /// A session whose program is the leader of a kernel session that takes no polite signal.
    async fn lost(script: &str) -> (Child, SessionStatus) {
        let mut child = Command::new("setsid").args(["sh", "-c", script]).spawn().unwrap();
        let tree = ProcessTree::of_leader(child.id()).unwrap();
        let began = Instant::now();
        while !tree.is_alive() || ready(child.id()) < script.matches("sleep").count() {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", child.try_wait());
            tokio::time::sleep(LOOK).await;
        }
        let (id, machine) = (SessionId::new("shell-0000000000").unwrap(), MachineId::new("m").unwrap());
        let mut status = SessionStatus::unknown(id, machine, String::new());
        (status.state, status.pid) = (SessionState::Lost, Some(child.id()));
        status.process_birth = pty::birth(child.id());
        (child, status)
    }

    /// How many `sleep` there are in the kernel session.
    fn ready(session: u32) -> usize {
        let output = Command::new("ps").args(["-o", "comm=", "-s", &session.to_string()]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).matches("sleep").count()
    }

    #[tokio::test]
    async fn a_program_that_takes_no_hint_is_killed_with_what_it_started() {
        let (mut child, status) = lost("trap '' TERM HUP; sleep 600 & sleep 600; wait").await;
        // As the system does it for a parent that has gone.
        let reaped = std::thread::spawn(move || child.wait().unwrap());
        assert!(matches!(Remains::of(&status), Remains::Program(_)));
        assert!(Remains::end(&status, Duration::from_millis(300)).await.unwrap());
        reaped.join().unwrap();
        assert!(matches!(Remains::of(&status), Remains::Nothing));
        assert!(!Remains::end(&status, Duration::ZERO).await.unwrap(), "it was ended already");
    }

    #[tokio::test]
    async fn what_is_not_proved_to_be_its_own_is_left_alone() {
        let (mut child, ours) = lost("trap '' TERM HUP; sleep 600").await;
        let reused = SessionStatus { process_birth: Some("1@another".to_owned()), ..ours.clone() };
        assert!(!Remains::end(&reused, Duration::ZERO).await.unwrap(), "its number is another's");
        let running = SessionStatus { state: SessionState::Running, ..ours.clone() };
        assert!(!Remains::end(&running, Duration::ZERO).await.unwrap(), "its host knows");
        let old = SessionStatus { process_birth: None, ..ours.clone() };
        let said = Remains::end(&old, Duration::ZERO).await.unwrap_err().to_string();
        assert!(said.contains(&child.id().to_string()) && said.contains("may still run"), "{said}");
        assert!(child.try_wait().unwrap().is_none(), "it lives");
        assert!(matches!(Remains::of(&ours), Remains::Program(_)));
        child.kill().unwrap();
        child.wait().unwrap();
        // Its child is left, and its number says nothing without it.
        let said = Remains::end(&ours, Duration::ZERO).await.unwrap_err();
        assert!(matches!(said, LifeError::Remains { .. }), "{said}");
        ProcessTree::of_leader(child.id()).unwrap().signal(Signal::KILL);
    }
}
