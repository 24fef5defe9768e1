//! Limits: each area runs darkmux and a bare loop that does the same with no library in turns, and prints the
//! ratios of the pairs.
//!
//! ```text
//! cargo bench --bench limits -- AREA… [--rounds N] [--bin PATH]
//! ```
//!
//! `AREA` is `cli`, `dispatch`, `file`, `sse`, `idle`, `terminal`, `sessions`, `agent`, `tools`, `peers`, or `sse-redis`, `queue-core`,
//! `queue-start`, `queue-sessions`, `queue-idle`, which need a `redis-server`, or `all`. Only ratios of one run count: the machine's own speed cancels out of them, and out of nothing else. Nothing here fails on a number, for a number on a
//! loaded machine proves nothing; docs/PERFORMANCE.md holds the figures and what they mean.
//!
//! The binary is that of a user: the first area that starts darkmux has cargo build it, because the one that
//! `cargo bench` makes beside this program carries the features that the tests ask of its crates, and starts
//! slower for them. `--bin` measures another build.

// A program for a terminal, not a part of darkmux: it prints, sleeps to pace its load, reads its own
// environment, and ends loudly when the machine refuses something.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]
// Counts and times become floating-point figures; none is near the end of the mantissa.
#![allow(clippy::cast_precision_loss)]

#[cfg(target_os = "linux")]
mod agent;
#[cfg(target_os = "linux")]
mod broker;
#[cfg(target_os = "linux")]
mod cli;
#[cfg(target_os = "linux")]
mod dispatch;
#[cfg(target_os = "linux")]
mod file;
#[cfg(target_os = "linux")]
mod floor;
#[cfg(target_os = "linux")]
mod http;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod peers;
#[cfg(target_os = "linux")]
mod queue;
#[cfg(target_os = "linux")]
mod queue_limit;
#[cfg(target_os = "linux")]
mod sessions;
#[cfg(target_os = "linux")]
mod sse;
#[cfg(target_os = "linux")]
mod sse_limit;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
mod terminal_client;
#[cfg(target_os = "linux")]
mod terminal_limit;
#[cfg(target_os = "linux")]
mod tools;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("The limits are written with epoll, sendfile and /proc: they run on Linux only.");
}

#[cfg(target_os = "linux")]
type Area = (&'static str, fn(&Setup));

#[cfg(target_os = "linux")]
const AREAS: &[Area] = &[
    ("cli", cli::run),
    ("dispatch", dispatch::run),
    ("file", file::run),
    ("sse", sse::run),
    ("sse-redis", sse::run_redis),
    ("idle", idle::run),
    ("terminal", terminal::run),
    ("sessions", sessions::run),
    ("agent", agent::run),
    ("tools", tools::run),
    ("peers", peers::run),
    ("queue-core", queue::run_core),
    ("queue-start", queue::run_start),
    ("queue-sessions", queue::run_sessions),
    ("queue-idle", queue::run_idle),
];

#[cfg(target_os = "linux")]
const NAMES: &str = "cli, dispatch, file, sse, sse-redis, idle, terminal, sessions, agent, tools, peers, queue-core, queue-start, queue-sessions, queue-idle, all";

/// What the command line asks for.
#[cfg(target_os = "linux")]
pub struct Setup {
    /// How often each pair is measured.
    pub rounds: usize,
    /// The darkmux to measure, once it is known.
    bin: std::cell::OnceCell<std::path::PathBuf>,
}

#[cfg(target_os = "linux")]
impl Setup {
    /// The darkmux to measure: that of `--bin`, else a user's, built at the first call.
    pub fn bin(&self) -> std::path::PathBuf {
        self.bin.get_or_init(machine::built_for_a_user).clone()
    }
}

#[cfg(target_os = "linux")]
fn main() {
    let mut words = std::env::args().skip(1).peekable();
    if words.peek().is_some_and(|word| word == floor::ASK) {
        floor::run();
        return;
    }
    if words.peek().is_some_and(|word| word == queue::ASK) {
        queue::stamp();
        return;
    }
    let mut setup = Setup { rounds: 3, bin: std::cell::OnceCell::new() };
    let mut areas = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            // What cargo itself adds.
            "--bench" => {}
            "--rounds" => setup.rounds = words.next().and_then(|n| n.parse().ok()).expect("--rounds N"),
            "--bin" => {
                let bin = words.next().map(std::path::absolute).expect("--bin PATH").unwrap();
                setup.bin = bin.into();
            }
            "all" => areas.extend(AREAS),
            name => match AREAS.iter().find(|(area, _)| *area == name) {
                Some(area) => areas.push(area),
                None => panic!("no area `{name}`; there are {NAMES}"),
            },
        }
    }
    if areas.is_empty() {
        println!("usage: limits AREA… [--rounds N] [--bin PATH]; {NAMES}");
        return;
    }
    println!("{}", machine::facts());
    let _homes = machine::Homes;
    for (_, run) in areas {
        run(&setup);
    }
}
