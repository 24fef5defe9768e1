//! All processes of one kernel session, signalled together.

use std::io;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

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

    fn members(self) -> Vec<Pid> {
        let Ok(mut system) = System::new() else { return Vec::new() };
        system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing().without_tasks(),
        );
        let leader = sysinfo::Pid::from_u32(self.leader());
        // A zombie does nothing more; whoever adopted it may take its time to notice.
        let of_session = |process: &&sysinfo::Process| {
            process.session_id() == Some(leader) && process.status() != ProcessStatus::Zombie
        };
        let pids = system.processes().values().filter(of_session).map(|process| process.pid().as_u32());
        pids.filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).collect()
    }
}
