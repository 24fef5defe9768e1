//! What the tests share: a home of their own, the real binary, and waiting on conditions.
//!
//! No test changes its own process environment; each gives the binary one of its own.

pub mod api;
mod door;
pub mod engine;
pub mod gmuxd;
pub mod hub;
pub mod local;
pub mod managers;
mod mcp;
pub mod model_server;
pub mod queue;
mod redis;
pub mod repo;
pub mod runner;
pub mod spoke;
pub mod tools;
mod tty;
pub mod ws;

pub use door::{Door, cookie, forged};
pub use mcp::Mcp;
pub use redis::{Fault, FaultProxy, RedisServer, free_port, redis_server};
pub use tty::{SIZE, Tty, blank};

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub const BIN: &str = env!("CARGO_BIN_EXE_darkmux");

/// How long a condition may take before a test gives up; generous, because machines are loaded.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long one command may run. A test of what ends must fail where it does not end, and not hang.
pub const RUN_LIMIT: Duration = Duration::from_secs(90);

/// A machine of its own: an empty home folder and an environment that holds nothing else. Dropping it ends
/// every session that was started in it.
pub struct Home {
    dir: TempDir,
    vars: Vec<(String, String)>,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("dmx").tempdir().expect("a temporary folder");
        let vars = [
            ("PATH", std::env::var("PATH").expect("PATH")),
            ("HOME", dir.path().display().to_string()),
            ("SHELL", "/bin/sh".to_owned()),
            ("TERM", "xterm-256color".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("DARKMUX_MACHINE_ID", "testbox".to_owned()),
            // No test asks a model server that happens to run on this machine.
            ("DARKMUX_LMSTUDIO_URL", "http://127.0.0.1:9".to_owned()),
            ("DARKMUX_OLLAMA_URL", "http://127.0.0.1:9".to_owned()),
            // Nor the tailnet or the containers of this machine.
            ("DARKMUX_TAILSCALE_SOCKET", dir.path().join("tailscaled.sock").display().to_string()),
            ("DOCKER_HOST", format!("unix://{}", dir.path().join("docker.sock").display())),
        ];
        Self { dir, vars: vars.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
    }

    /// Sets a variable for every command of this home.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.vars.retain(|(name, _)| name != key);
        self.vars.push((key.to_owned(), value.into()));
        self
    }

    /// The folder that `HOME` names.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// darkmux's own folder.
    pub fn darkmux(&self) -> PathBuf {
        self.path().join(".darkmux")
    }

    /// The header line that opens this home's sockets.
    pub fn socket_key(&self) -> String {
        let key = std::fs::read_to_string(self.darkmux().join("socket-key")).expect("the sockets' key");
        format!("Authorization: Bearer {}", key.trim())
    }

    /// The journal's entry of an attempt at this job.
    pub fn journal_of(&self, id: &str) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.darkmux().join("queue/ran")).ok()?.flatten();
        let of_id = |path: &PathBuf| path.file_name()?.to_str()?.starts_with(&format!("{id}.")).then_some(());
        entries.map(|entry| entry.path()).find(|path| of_id(path).is_some())
    }

    /// The environment of this home's commands.
    pub fn vars(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A command with this home's environment and nothing else.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.vars.iter().map(|(key, value)| (key, value)));
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// darkmux with these arguments.
    pub fn cmd<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = self.command(BIN);
        command.args(args);
        command
    }

    /// Runs darkmux to its end, which must come within [`RUN_LIMIT`].
    pub fn run<const N: usize>(&self, args: [&str; N]) -> Output {
        let mut command = self.cmd(args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("darkmux runs");
        let pid = i64::from(child.id());
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let guard = std::thread::spawn(move || {
            let late = end.recv_timeout(RUN_LIMIT) == Err(RecvTimeoutError::Timeout);
            if late {
                signal(pid, "KILL");
            }
            late
        });
        let output = child.wait_with_output().expect("darkmux runs");
        drop(ended);
        let late = guard.join().expect("the guard ends");
        assert!(!late, "darkmux {args:?} did not end within {RUN_LIMIT:?}: {}", describe(&output));
        output
    }

    /// Runs darkmux, which must succeed, and returns its stdout.
    pub fn ok<const N: usize>(&self, args: [&str; N]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "darkmux {args:?} failed: {}", describe(&output));
        String::from_utf8(output.stdout).expect("UTF-8 on stdout")
    }

    /// Runs darkmux, which must succeed, and reads its stdout as JSON.
    pub fn json<const N: usize>(&self, args: [&str; N]) -> Value {
        let text = self.ok(args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error} in {text}"))
    }
}

/// Whether `tests/run` found that this machine's kernel has no such thing. What a test misses and is not named makes it fail.
pub fn lacks(what: &str) -> bool {
    std::env::var("DARKMUX_TEST_LACKS").is_ok_and(|all| all.split(' ').any(|one| one == what))
}

impl Drop for Home {
    fn drop(&mut self) {
        // What still runs in this home was started by the test and must not outlive it.
        let sessions = std::fs::read_dir(self.darkmux().join("sessions")).into_iter().flatten().flatten();
        for session in sessions {
            let Ok(text) = std::fs::read(session.path().join("state.json")) else { continue };
            let Ok(state) = serde_json::from_slice::<Value>(&text) else { continue };
            if state["state"] == "exited" {
                continue;
            }
            for key in ["host_pid", "pid"] {
                if let Some(pid) = state[key].as_i64() {
                    signal(pid, "KILL");
                }
            }
        }
    }
}

/// A process that is killed when the test ends.
pub struct Running(pub Child);

impl Running {
    pub fn pid(&self) -> i64 {
        i64::from(self.0.id())
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running `darkmux serve` on a free port.
pub struct Daemon {
    pub process: Running,
    pub port: u16,
}

impl Daemon {
    /// Starts it and waits until it answers.
    pub fn start(home: &Home) -> Self {
        Self::start_with(home, ["serve", "--port", "0"])
    }

    /// Starts it with these arguments and waits until it answers.
    pub fn start_with<const N: usize>(home: &Home, args: [&str; N]) -> Self {
        let log = std::fs::File::create(home.path().join("serve.log")).expect("a log file");
        let mut command = home.cmd(args);
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        let process = Running(command.spawn().expect("the daemon starts"));
        let pid = process.pid();
        let port = wait_for("the daemon to say its port", || {
            let text = std::fs::read(home.darkmux().join("daemon.json")).ok()?;
            let said: Value = serde_json::from_slice(&text).ok()?;
            (said["pid"].as_i64() == Some(pid)).then(|| said["port"].as_u64()).flatten()
        });
        Self { process, port: u16::try_from(port).expect("a port") }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// Waits until `ready` gives a value; panics with `what` after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: i64) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().expect("ps runs");
    let stat = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    !stat.is_empty() && !stat.starts_with('Z')
}

/// Stops a process, and waits until all of it stands still.
pub fn freeze(pid: i64) {
    signal(pid, "STOP");
    wait_for("it to stand still", || {
        let output =
            Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().expect("ps runs");
        String::from_utf8_lossy(&output.stdout).trim().starts_with('T').then_some(())
    });
}

/// Sends a signal by name.
pub fn signal(pid: i64, name: &str) {
    let _ = Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status();
}

/// The numbers, one a line.
pub fn lines(numbers: std::ops::RangeInclusive<u32>) -> String {
    let mut lines: Vec<String> = numbers.map(|number| number.to_string()).collect();
    lines.push(String::new());
    lines.join("\n")
}

/// A finished process in words.
pub fn describe(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
