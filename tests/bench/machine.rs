//! A machine of its own for darkmux: an empty home, the daemon in it, and what the kernel says of processes.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Setup;

/// How long something may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Cores, memory and kernel, in one line.
pub fn facts() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!("{cores} cores, {} GiB of memory, Linux {kernel}", kib.div_ceil(1 << 20))
}

/// The homes of machines that are done with.
static LEFT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the homes that were left, when it is dropped: once everything is measured. For a minute and more ext4 gives no
/// file the place of one that was just deleted, and looks over all of those for each file it makes, which takes ten
/// times as long after a few thousand.
pub struct Homes;

impl Drop for Homes {
    fn drop(&mut self) {
        for home in LEFT.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = std::fs::remove_dir_all(home);
        }
    }
}

/// An empty home. Dropping it ends what was started in it, and leaves it to [`Homes`].
pub struct Machine {
    dir: PathBuf,
    bin: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl Machine {
    /// A home for this binary.
    pub fn new(setup: &Setup) -> Self {
        let dir = tempfile::Builder::new().prefix("dmx").tempdir().expect("a temporary folder").keep();
        std::fs::create_dir_all(dir.join(".darkmux/flows")).expect("a folder for the flow");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(dir.join(".darkmux"), private).expect("a private home");
        Self { dir, bin: setup.bin(), env: Vec::new() }
    }

    /// The same with this variable.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// The folder of everything.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The file of a day.
    pub fn day_file(&self, date: &str) -> PathBuf {
        self.path().join(format!(".darkmux/flows/{date}.jsonl"))
    }

    /// A program in this machine's environment.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path()).env("SHELL", "/bin/sh").env("TERM", "xterm-256color");
        command.env("DARKMUX_MACHINE_ID", "bench").env("LANG", "C.UTF-8");
        // Nobody asks a model server that happens to run here.
        command
            .env("DARKMUX_LMSTUDIO_URL", "http://127.0.0.1:9")
            .env("DARKMUX_OLLAMA_URL", "http://127.0.0.1:9");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// darkmux in this machine's environment.
    pub fn darkmux(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.bin);
        command.args(args);
        command
    }

    /// Starts an interactive shell in a session; returns its folder and the process of its host.
    pub fn session(&self, id: &str) -> (PathBuf, u32) {
        let args = ["crew", "dispatch", "shell", "-d", "--json", "--session-id", id, "-m", "exec /bin/sh"];
        let output = self.darkmux(&args).stdout(Stdio::piped()).stderr(Stdio::inherit()).output();
        let output = output.expect("darkmux runs").stdout;
        let said: Value = serde_json::from_slice(&output).expect("a session as JSON");
        let host = said["session"]["host_pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        (self.path().join(".darkmux/sessions").join(id), host.expect("a host"))
    }

    /// Starts the daemon and waits until it says where it listens.
    pub fn daemon(&self) -> Daemon {
        let child = self.darkmux(&["serve", "--port", "0"]).spawn().expect("darkmux starts");
        let told = self.path().join(".darkmux/daemon.json");
        let port = wait_for(|| {
            let said: Value = serde_json::from_slice(&std::fs::read(&told).ok()?).ok()?;
            u16::try_from(said["port"].as_u64()?).ok()
        });
        Daemon { process: Ended(child), port }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let sessions = std::fs::read_dir(self.path().join(".darkmux/sessions")).into_iter().flatten();
        for session in sessions.flatten() {
            if let Some(id) = session.file_name().to_str() {
                // One that has ended says so and is left alone.
                let _ = self.darkmux(&["session", "kill", "--now", id]).status();
            }
        }
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(self.dir.clone());
    }
}

/// A running daemon.
pub struct Daemon {
    process: Ended,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Daemon {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// A process that ends with its handle.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has cargo build darkmux as a user does, beside this program.
pub fn built_for_a_user() -> PathBuf {
    let bin = PathBuf::from(env!("CARGO_BIN_EXE_darkmux"));
    let target = bin.ancestors().nth(2).expect("a folder for what is built");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--bin", "darkmux", "--manifest-path"]);
    build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).arg("--target-dir").arg(target);
    assert!(build.status().expect("cargo starts").success(), "darkmux builds");
    target.join("release/darkmux")
}

/// The smallest program there is. By its path: each folder of the PATH that has it not would be a failed start.
pub fn smallest() -> &'static Path {
    let places = ["/bin/true", "/usr/bin/true"].map(Path::new);
    places.into_iter().find(|path| path.exists()).expect("a program called true")
}

/// Asks until there is an answer.
pub fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "it did not come up within 20 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// From before the start of a program to after its end; it must succeed.
pub fn time_to_exit(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let status = command.status().expect("the program starts");
    let took = begun.elapsed();
    assert!(status.success(), "{command:?} ended with {status}");
    took
}

/// Memory of a process by the names of /proc/PID/smaps_rollup, and `VmHWM`, the most it ever had; in MiB.
pub fn memory(pid: u32) -> HashMap<String, f64> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let text = read("smaps_rollup") + &read("status");
    let field = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let kib: f64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some((name.to_owned(), kib / 1024.0))
    };
    text.lines().filter_map(field).collect()
}

/// Makes the most memory a process ever had what it has now.
pub fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak is reset");
}

/// CPU time of a process so far, to the hundredth of a second.
pub fn cpu(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit(") ").next().unwrap_or_default();
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// CPU time of the first thread of a process so far, to the nanosecond: for a program that works in one.
pub fn on_cpu(pid: u32) -> Duration {
    scheduled(&format!("/proc/{pid}/schedstat"))
}

/// CPU time of this thread so far.
pub fn this_thread_on_cpu() -> Duration {
    scheduled("/proc/thread-self/schedstat")
}

fn scheduled(file: &str) -> Duration {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// How often each thread of some processes went to sleep by itself so far.
pub struct Switches(BTreeMap<String, u64>);

impl Switches {
    /// Those of these processes.
    pub fn of(pids: &[u32]) -> Self {
        let tasks = pids.iter().filter_map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")).ok());
        let of = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            Some((task.file_name().to_string_lossy().into_owned(), line.trim().parse().ok()?))
        };
        Self(tasks.flatten().flatten().filter_map(of).collect())
    }

    /// How often since then, a second. A thread that has ended meanwhile does not count.
    pub fn rate_since(&self, before: &Self, time: Duration) -> f64 {
        let since = |(thread, count): (&String, &u64)| count - before.0.get(thread).copied().unwrap_or(0);
        self.0.iter().map(since).sum::<u64>() as f64 / time.as_secs_f64()
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.0.len()
    }
}
