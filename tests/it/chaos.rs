//! The chaos test: runners, publishers and Redis, all of them killed, stopped, cut off and made to forget, and a
//! checker that goes through everything that happened. `tests/chaos` runs it; it is no part of `cargo test`,
//! because it takes as long as it is told to.
//!
//! The same checker must fail runners that hold no lease and are fenced by nothing.

mod away;
mod history;
mod machines;
mod nemesis;
mod publishers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{FaultProxy, PATIENCE, RedisServer};
use history::{Acked, Final, Findings, History};
use machines::Machine;
use nemesis::Nemesis;
use publishers::Publisher;
use tokio::sync::watch;

/// Names of the machines.
const MACHINES: [&str; 3] = ["ada", "bob", "cyd"];

/// How long everything may take to come to rest.
const REST: Duration = Duration::from_mins(2);

/// A number that `tests/chaos` sets.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    setting("CHAOS_SEED", u64::from(now.subsec_nanos()))
}

struct Report {
    history: History,
    found: Findings,
    faults: BTreeMap<&'static str, u32>,
    seed: u64,
    synced: &'static str,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut ids: Vec<&str> = self.history.acked.iter().map(|acked| acked.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let faults: Vec<String> = self.faults.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let mut states: BTreeMap<&str, u32> = BTreeMap::new();
        for last in self.history.finals.values() {
            *states.entry(&last.state).or_default() += 1;
        }
        write!(
            f,
            "chaos: {} jobs {states:?}, {} runs, {} faults ({}), {} lost, {} doubled, {} other, \
             appendfsync {}, seed {}",
            ids.len(),
            self.history.runs.len(),
            self.faults.values().sum::<u32>(),
            faults.join(", "),
            self.found.lost.len(),
            self.found.doubled.len(),
            self.found.other.len(),
            self.synced,
            self.seed
        )
    }
}

/// Runs everything and checks it. Naive runners get no time to come to rest: they never do.
fn run(seed: u64, time: Duration, synced: &'static str, naive: bool) -> Report {
    let mut redis = RedisServer::with(&[
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        synced,
        "--loglevel",
        "warning",
    ]);
    let dir = tempfile::Builder::new().prefix("dmxchaos").tempdir().expect("a folder");
    let lines = dir.path().join("lines");
    let port = redis.port();
    let make = if naive { Machine::naive } else { Machine::daemon };
    let mut machines: Vec<Machine> = MACHINES.iter().map(|name| make(name, port)).collect();
    let network = FaultProxy::before(port);
    let acked = Arc::new(Mutex::new(Vec::new()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (stop, stopping) = watch::channel(false);
    let publishers: Vec<_> = (0..2)
        .map(|number| {
            let files = (dir.path(), lines.as_path());
            // Naive runners know no lanes and no delays, and are not asked to.
            let pinned = if naive { &[][..] } else { &MACHINES };
            let publisher = Publisher::new((number, seed), &network.url(), files, pinned, &acked);
            runtime.spawn(publisher.publish(stopping.clone()))
        })
        .collect();
    let mut nemesis = Nemesis::new(seed, &mut redis, &mut machines, &network);
    // What is synced with every write does not go back.
    nemesis.goes_back = synced == "everysec";
    nemesis.rage(time);
    let faults = std::mem::take(&mut nemesis.done);
    stop.send_replace(true);
    rest(&redis, if naive { Duration::from_secs(5) } else { REST });
    drop(stop);
    for publisher in publishers {
        runtime.block_on(publisher).expect("a publisher");
    }
    let acked = std::mem::take(&mut *acked.lock().expect("no panic"));
    let rollbacks = faults.get("Redis goes back").copied().unwrap_or_default();
    let mut history = History { acked, rollbacks, ..History::default() };
    history.read_runs(&std::fs::read_to_string(&lines).unwrap_or_default());
    gather(&redis, &mut history);
    if !naive {
        let quiet = Instant::now();
        let hosts = || machines.iter().map(Machine::hosts).sum::<u64>();
        while hosts() > 0 && quiet.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(100));
        }
        history.left_over.insert("hosts of sessions whose jobs have ended".to_owned(), hosts());
    }
    let found = history.check();
    if !naive && !found.is_clean() {
        keep_logs(seed, &machines, &lines, &redis);
    }
    Report { history, found, faults, seed, synced }
}

/// Waits until no job is live and stays so for some looks of every reconciler.
fn rest(redis: &RedisServer, patience: Duration) {
    let deadline = Instant::now() + patience;
    let mut quiet = 0;
    while quiet < 20 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        let left = left_over(redis).values().sum::<u64>();
        quiet = if left == 0 { quiet + 1 } else { 0 };
    }
}

fn left_over(redis: &RedisServer) -> BTreeMap<String, u64> {
    let number = |words: &[&str]| redis.cli(words).lines().next().and_then(|line| line.parse().ok());
    let mut left = BTreeMap::new();
    left.insert("darkmux:live".to_owned(), number(&["SCARD", "darkmux:live"]).unwrap_or_default());
    for stream in redis.cli(&["KEYS", "darkmux:work*"]).lines().filter(|line| !line.is_empty()) {
        left.insert(stream.to_owned(), number(&["XLEN", stream]).unwrap_or_default());
        let pending = number(&["XPENDING", stream, "darkmux-runners"]).unwrap_or_default();
        left.insert(format!("the pending entries of {stream}"), pending);
    }
    left
}

fn gather(redis: &RedisServer, history: &mut History) {
    history.left_over = left_over(redis);
    let acked: Vec<Acked> = history.acked.clone();
    for Acked { id, .. } in acked {
        let fields = redis.cli(&["HMGET", &format!("darkmux:job:{id}"), "state", "tok", "attempt"]);
        let fields: Vec<&str> = fields.lines().collect();
        let [state, token, attempt] = fields[..] else { continue };
        let log = redis.cli(&["XRANGE", &format!("darkmux:log:{id}"), "-", "+"]);
        let last = Final {
            state: state.to_owned(),
            token: Some(token.to_owned()).filter(|token| !token.is_empty() && token != "none"),
            attempt: attempt.parse().unwrap_or_default(),
            ends: log.lines().filter(|line| *line == "end").count() as u64,
        };
        history.finals.insert(id, last);
    }
}

/// What is needed to find out why.
fn keep_logs(seed: u64, machines: &[Machine], lines: &Path, redis: &RedisServer) {
    let to = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/chaos").join(seed.to_string());
    let _ = std::fs::create_dir_all(&to);
    let _ = std::fs::copy(lines, to.join("lines"));
    let _ = std::fs::copy(redis.dir().join("redis.log"), to.join("redis.log"));
    for machine in machines {
        let _ = std::fs::copy(machine.home().path().join("runner.log"), to.join(machine.name()));
        for day in std::fs::read_dir(machine.home().darkmux().join("flows")).into_iter().flatten().flatten() {
            let _ = std::fs::copy(day.path(), to.join(format!("{}.jsonl", machine.name())));
        }
    }
    println!("the logs are in {}", to.display());
}

#[test]
#[ignore = "takes as long as it is told to; tests/chaos runs it"]
fn nothing_is_lost_and_nothing_doubled() {
    let (seed, time) = (seed(), Duration::from_secs(setting("CHAOS_SECONDS", 60)));
    // Half of the time without lost writes: then the checker forgives no overlap.
    for synced in ["always", "everysec"] {
        let report = run(seed, time / 2, synced, false);
        println!("{report}");
        assert!(report.found.is_clean(), "{:#?}\n{report}", report.found);
        assert!(report.history.acked.len() > 20, "too few jobs to say anything: {report}");
    }
}

#[test]
#[ignore = "part of tests/chaos"]
fn the_checker_fails_runners_that_know_no_better() {
    let report = run(seed(), Duration::from_secs(setting("CHAOS_NAIVE_SECONDS", 15)), "everysec", true);
    println!("naive {report}");
    assert!(report.history.runs.len() > 5, "they ran next to nothing: {report}");
    assert!(!report.found.lost.is_empty() || !report.found.doubled.is_empty(), "{:#?}", report.found);
}
