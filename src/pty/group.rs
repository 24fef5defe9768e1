//! All processes of one kernel session, signalled together.

use std::io;
#[cfg(target_os = "linux")]
use std::io::Read as _;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The signals a user may send, by name.
const NAMED: [(&str, Signal); 11] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("WINCH", Signal::WINCH),
];

/// The names that [`signal_named`] knows.
pub fn signal_names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|(name, _)| *name)
}

/// The signal of a name such as `INT`.
pub fn signal_named(name: &str) -> Option<Signal> {
    NAMED.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal)
}

/// The processes of the kernel session that a leader made. A process that started a kernel session of its
/// own (`setsid`) has left and is not part of it.
#[derive(Debug, Clone, Copy)]
pub struct ProcessTree {
    leader: Pid,
}

impl ProcessTree {
    /// The tree of the session that process `pid` leads.
    pub fn of_leader(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { leader: pid })
    }

    /// The leader's process id.
    pub fn leader(self) -> u32 {
        self.leader.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends `signal` to the leader's process group and to every other process of the session (the jobs of
    /// an interactive shell have groups of their own). That nobody is left is no error.
    pub fn signal(self, signal: Signal) {
        let _ = kill_process_group(self.leader, signal);
        for pid in self.members() {
            // Its group was reached already, unless it has another.
            if rustix::process::getpgid(Some(pid)).is_ok_and(|group| group != self.leader) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Whether any process of the session is left, the leader included.
    pub fn is_alive(self) -> bool {
        !self.members().is_empty()
    }

    /// Every end of a session asks, on machines where a thousand processes run: reading what each of them is would be
    /// most of what an end takes, and one call says where it belongs.
    #[cfg(target_os = "linux")]
    fn members(self) -> Vec<Pid> {
        let leader = self.leader.as_raw_pid();
        let is_of_it = |pid: &Pid| {
            let pid = nix::unistd::Pid::from_raw(pid.as_raw_pid());
            nix::unistd::getsid(Some(pid)).is_ok_and(|session| session.as_raw() == leader)
        };
        pids().filter(is_of_it).filter(|pid| stat_of(*pid).is_some()).collect()
    }

    #[cfg(not(target_os = "linux"))]
    fn members(self) -> Vec<Pid> {
        let of_it = |process: Process| (process.session == Some(self.leader)).then_some(process.pid);
        processes().into_iter().filter_map(of_it).collect()
    }
}

/// A living process and where it belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: Pid,
    /// `None` where it is outside of what this process can see.
    pub parent: Option<Pid>,
    /// Likewise: in a container that was entered from outside nearly all processes have such a session.
    pub session: Option<Pid>,
}

/// Every process that lives. A zombie does nothing more; whoever adopted it may take its time to notice.
#[cfg(target_os = "linux")]
pub(super) fn processes() -> Vec<Process> {
    pids().filter_map(stat_of).collect()
}

/// Every process there is, also those that have ended and wait for their parent.
#[cfg(target_os = "linux")]
fn pids() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// A process, if it lives.
#[cfg(target_os = "linux")]
fn stat_of(pid: Pid) -> Option<Process> {
    // One read: what is asked stands at the beginning.
    let mut stat = [0; STAT_READ];
    let path = format!("/proc/{}/stat", pid.as_raw_pid());
    let count = std::fs::File::open(path).ok()?.read(&mut stat).ok()?;
    let (parent, session) = parent_and_session_of(&stat[..count])?;
    Some(Process { pid, parent: Pid::from_raw(parent), session: Pid::from_raw(session) })
}

/// Every process that lives.
#[cfg(not(target_os = "linux"))]
pub(super) fn processes() -> Vec<Process> {
    use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};
    let Ok(mut system) = System::new() else { return Vec::new() };
    let what = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    let pid = |pid: sysinfo::Pid| Pid::from_raw(i32::try_from(pid.as_u32()).ok()?);
    let process = |process: &sysinfo::Process| {
        let lives = process.status() != ProcessStatus::Zombie;
        let (parent, session) = (process.parent().and_then(pid), process.session_id().and_then(pid));
        lives.then_some(Process { pid: pid(process.pid())?, parent, session })
    };
    system.processes().values().filter_map(process).collect()
}

/// How much of /proc/PID/stat is read: more than the name (64 bytes at most) and the six fields around it.
#[cfg(target_os = "linux")]
const STAT_READ: usize = 256;

/// Parent and kernel session of a living process, from its /proc/PID/stat.
#[cfg(target_os = "linux")]
fn parent_and_session_of(stat: &[u8]) -> Option<(i32, i32)> {
    // The name in parentheses may hold anything, parentheses and blanks too.
    let after_name = memchr::memrchr(b')', stat)?;
    let mut fields = std::str::from_utf8(&stat[after_name + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some((parent, session))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_read_behind_any_name() {
        assert_eq!(parent_and_session_of(b"7 (sh) S 1 7 5 34816 7"), Some((1, 5)));
        assert_eq!(parent_and_session_of(b"7 (a) S 9 9 9) R 1 7 5 0"), Some((1, 5)));
        assert_eq!(parent_and_session_of(b"7 (sh) Z 1 7 5 0"), None);
        assert_eq!(parent_and_session_of(b"7 (sh) S 1"), None);
    }

    #[test]
    fn a_leader_is_a_member_of_its_session_and_this_process_is_not() {
        // `setsid` becomes the leader in place; whether this process has a session that it can name (in a pid
        // namespace the leader may be outside) is none of the test's business.
        let mut child = std::process::Command::new("setsid").args(["sleep", "60"]).spawn().unwrap();
        let tree = ProcessTree::of_leader(child.id()).unwrap();
        let began = std::time::Instant::now();
        while !tree.members().contains(&tree.leader) && began.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        let members = tree.members();
        child.kill().unwrap();
        // It has ended also where nobody has waited for it yet.
        let began = std::time::Instant::now();
        while tree.is_alive() && began.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        let is_alive = tree.is_alive();
        child.wait().unwrap();
        assert_eq!(members, [tree.leader]);
        assert!(!is_alive && !tree.is_alive());
    }
}
