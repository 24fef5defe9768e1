//! Every process that this one started, and what they started, wherever they went.
//!
//! On Linux a process whose parent ended becomes a child of this one ([`Offspring::adopt`]), so that also one that
//! called `setsid` and forked twice stays known. Elsewhere such a process has left.

use std::collections::HashSet;
use std::io;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process};

use crate::model::ExitStatus;

/// The processes below this one.
#[derive(Debug)]
pub struct Offspring(());

impl Offspring {
    /// Makes this process the one that its orphaned offspring comes to.
    pub fn adopt() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(getpid()))?;
        Ok(Self(()))
    }

    /// How many there are that have not ended.
    pub fn count(&self) -> usize {
        members().len()
    }

    /// Whether this one is among them, and has not ended.
    pub fn has(&self, pid: Pid) -> bool {
        members().contains(&pid)
    }

    /// Sends `signal` to each.
    pub fn signal(&self, signal: Signal) {
        for pid in members() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for a child to end, one of its own or one that came to it; `None` when there is none.
    pub fn next_end(&self) -> io::Result<Option<(u32, ExitStatus)>> {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let signal = status.terminating_signal().unwrap_or(0);
                    let status = status.exit_status().map_or(ExitStatus::Signal(signal), ExitStatus::Code);
                    return Ok(Some((pid.as_raw_nonzero().get().unsigned_abs(), status)));
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CHILD) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Bounds how many processes (and threads) this process' user may have: those there are now and `more`. What this
/// process starts inherits the bound. The kernel does not hold the superuser to it.
pub fn bound_processes(more: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = tasks_of_user() + more as u64;
    let old = getrlimit(Resource::Nproc);
    let bound = |old: Option<u64>| Some(old.map_or(now, |old| old.min(now)));
    // What can't be set is no reason not to run: who watches counts, too.
    let _ = setrlimit(Resource::Nproc, Rlimit { current: bound(old.current), maximum: bound(old.maximum) });
}

#[cfg(target_os = "linux")]
fn tasks_of_user() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let ours = rustix::process::getuid().as_raw();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_user = processes.filter(|entry| entry.metadata().is_ok_and(|meta| meta.uid() == ours));
    let tasks =
        |entry: std::fs::DirEntry| std::fs::read_dir(entry.path().join("task")).map_or(0, Iterator::count);
    of_user.map(tasks).sum::<usize>() as u64
}

#[cfg(not(target_os = "linux"))]
fn tasks_of_user() -> u64 {
    super::group::processes().len() as u64
}

fn members() -> HashSet<Pid> {
    let own = getpid();
    let processes = super::group::processes();
    let mut found = HashSet::new();
    // Each round finds the children of those found so far; a child may stand before its parent.
    loop {
        let before = found.len();
        for process in &processes {
            let below = |parent: Pid| parent == own || found.contains(&parent);
            if process.pid != own && (process.session == Some(own) || process.parent.is_some_and(below)) {
                found.insert(process.pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    #[test]
    fn a_child_s_child_is_found_with_its_parent() {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "sleep 60 & echo $!; wait"]).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let grandchild = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let found = members();
        for pid in [Pid::from_child(&child), grandchild] {
            assert!(found.contains(&pid), "{pid:?} in {found:?}");
            kill_process(pid, Signal::KILL).unwrap();
        }
        child.wait().unwrap();
    }
}
