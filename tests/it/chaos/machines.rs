//! The runners that the faults hit: three machines with a daemon each, or three runners that know no better.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{BIN, Fault, FaultProxy, Home, Running, is_alive, signal};

/// What the nemesis can do to a runner.
pub struct Machine {
    name: String,
    proxy: FaultProxy,
    home: Home,
    kind: Kind,
    process: Option<Running>,
}

enum Kind {
    Daemon,
    /// The script, and the port of Redis.
    Naive(PathBuf, u16),
}

impl Machine {
    /// A machine whose daemon runs jobs.
    pub fn daemon(name: &str, redis: u16) -> Self {
        let proxy = FaultProxy::before(redis);
        let home = Home::new()
            .with("DARKMUX_MACHINE_ID", name)
            .with("DARKMUX_REDIS_URL", proxy.url())
            .with("DARKMUX_QUEUE_LEASE", "1s")
            .with("DARKMUX_QUEUE_BEAT", "250ms")
            .with("DARKMUX_QUEUE_RECONCILE", "200ms")
            .with("DARKMUX_RUNNER_ACCEPT", "shell")
            .with("DARKMUX_RUNNER_SLOTS", "3");
        Self { name: name.to_owned(), proxy, home, kind: Kind::Daemon, process: None }.started()
    }

    /// A runner that reads, runs and acknowledges, and nothing else.
    pub fn naive(name: &str, redis: u16) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/chaos/naive.sh");
        let (proxy, home) = (FaultProxy::before(redis), Home::new());
        let port = proxy.port();
        Self { name: name.to_owned(), proxy, home, kind: Kind::Naive(script, port), process: None }.started()
    }

    fn started(mut self) -> Self {
        self.start();
        self
    }

    pub fn start(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.path().join("runner.log"))
            .expect("a log file");
        let mut command = match &self.kind {
            Kind::Daemon => {
                let mut command = self.home.command(BIN);
                command.args(["serve", "--port", "0"]);
                command
            }
            Kind::Naive(script, port) => {
                let mut command = self.home.command("bash");
                command.arg(script).arg(port.to_string()).arg(&self.name);
                command
            }
        };
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        self.process = Some(Running(command.spawn().expect("the runner starts")));
    }

    /// `kill -9` of the runner alone; its sessions go on.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// `kill -9` of everything that runs on the machine.
    pub fn crash(&mut self) {
        self.kill();
        for state in sessions(&self.home) {
            for key in ["host_pid", "pid"] {
                if let Some(pid) = state[key].as_i64().filter(|pid| *pid > 1) {
                    signal(pid, "KILL");
                    // The session's process leads a group of its own.
                    let _ = Command::new("kill")
                        .args(["-s", "KILL", "--", &format!("-{pid}")])
                        .stderr(Stdio::null())
                        .status();
                }
            }
        }
    }

    pub fn signal(&self, name: &str) {
        if let Some(process) = &self.process {
            signal(process.pid(), name);
        }
    }

    pub fn network(&self, fault: Fault) {
        self.proxy.set(fault);
    }

    /// Hosts of sessions that live.
    pub fn hosts(&self) -> u64 {
        let pids = sessions(&self.home).into_iter().filter_map(|state| state["host_pid"].as_i64());
        pids.filter(|pid| is_alive(*pid)).count() as u64
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn home(&self) -> &Home {
        &self.home
    }
}

/// The state documents of the sessions that have not ended.
fn sessions(home: &Home) -> Vec<Value> {
    let folders = std::fs::read_dir(home.darkmux().join("sessions")).into_iter().flatten().flatten();
    let states = folders.filter_map(|folder| std::fs::read(folder.path().join("state.json")).ok());
    let states = states.filter_map(|text| serde_json::from_slice::<Value>(&text).ok());
    states.filter(|state| state["state"] != "exited").collect()
}
