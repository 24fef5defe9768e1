//! The queue: what claiming and finishing take, how soon a job starts, how many sessions a second.
//!
//! Limits: *piped*, a bare loop whose acknowledgement goes out with the next read; *exec*, the same whose job is a
//! program that is started and waited for. The programs are this one, which writes down the time as the first
//! thing it does.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use darkmux::config::QueueConfig;
use darkmux::model::{MachineId, OnLoss, SessionId};
use darkmux::store::{Redis, RedisTarget};
use darkmux::wire::{JobResult, JobSpec, Lane, WorkJob};
use darkmux::work::{Claim, Finish, Offer, Outcome, Queue, Seat, Told};
use futures_util::StreamExt;

use crate::Setup;
use crate::broker::{Broker, Reply};
use crate::machine::{Machine, Switches, on_cpu, wait_for};
use crate::queue_limit as limit;
use crate::table::{Table, Want, quantile};

/// The first word that makes this binary a job.
pub const ASK: &str = "stamp";

/// Jobs of a drain without processes.
const CORE: usize = 20_000;

/// Jobs whose start is timed, and the pause between two.
const TIMED: usize = 100;
const PACE: Duration = Duration::from_millis(50);

/// Jobs of a drain as sessions, and how many run at once.
const SESSIONS: usize = 300;
const SLOTS: usize = 4;

/// Writes down when it started: `stamp FILE [ID]`. A session's job knows its id from its environment.
pub fn stamp() {
    let now = unix_ns();
    let mut words = std::env::args().skip(2);
    let file = words.next().expect("a file");
    let id = words.next().or_else(|| std::env::var("DARKMUX_JOB_ID").ok()).expect("an id");
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).expect("the file opens");
    file.write_all(format!("{id} {now}\n").as_bytes()).expect("the file takes it");
}

fn unix_ns() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Measures and prints what claiming and finishing take.
pub fn run_core(setup: &Setup) {
    let mut table = Table::new("Queue: claim and finish, no process");
    for _ in 0..setup.rounds {
        for workers in [1, 4] {
            core_round(&mut table, workers);
        }
    }
    table.print();
}

/// Measures and prints how soon a job starts.
pub fn run_start(setup: &Setup) {
    let mut table = Table::new("Queue: from publishing to a job's first instruction, 20 jobs/s");
    for _ in 0..setup.rounds {
        start_round(setup, &mut table);
    }
    table.print();
}

/// Measures and prints how many jobs a second run as sessions.
pub fn run_sessions(setup: &Setup) {
    let mut table = Table::new("Queue: jobs as sessions");
    for _ in 0..setup.rounds {
        sessions_round(setup, &mut table);
    }
    table.print();
}

/// What a drain took.
struct Drain {
    /// Jobs a second.
    rate: f64,
    /// CPU of the workers and of the broker a job, in microseconds.
    worker: f64,
    broker: f64,
}

/// Runs this many workers at once, which end when all jobs are done.
fn drain(broker: &Broker, workers: usize, work: impl Fn(usize, &AtomicU64) + Sync) -> Drain {
    let left = AtomicU64::new(CORE as u64);
    let (begun, before) = (Instant::now(), on_cpu(broker.pid()));
    let spent: Duration = std::thread::scope(|scope| {
        let (work, left) = (&work, &left);
        let threads: Vec<_> = (0..workers)
            .map(|number| {
                scope.spawn(move || {
                    work(number, left);
                    crate::machine::this_thread_on_cpu()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker")).sum()
    });
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(left.load(Ordering::Relaxed), 0, "jobs are left");
    let job = |spent: Duration| spent.as_secs_f64() * 1e6 / CORE as f64;
    let broker = job(on_cpu(broker.pid()).saturating_sub(before));
    Drain { rate: CORE as f64 / took, worker: job(spent), broker }
}

fn core_round(table: &mut Table, workers: usize) {
    let broker = Broker::start();
    limit::prepare(&broker);
    limit::fill(&broker, CORE);
    let bare = drain(&broker, workers, |number, left| limit::drain(&broker, &format!("c{number}"), left));
    drop(broker);
    let broker = Broker::start();
    block_on(publish(&queue(&broker), CORE, "core"));
    let ours = drain(&broker, workers, |number, left| block_on(claim_and_finish(&broker, number, left)));
    let row = |what: &str| format!("{workers}x1, {what}");
    let want = Want::AtLeast(0.30);
    table.pair(&row("jobs a second"), "1/s", want, (bare.rate, ours.rate));
    // Of four workers the waiting is dearer than the work: only one has a target.
    let (runner, of_broker) =
        if workers == 1 { (Want::AtMost(25.0), Want::AtMost(35.0)) } else { (Want::Nothing, Want::Nothing) };
    table.figure(&row("limit: CPU of the worker a job"), "µs", Want::Nothing, bare.worker);
    table.figure(&row("limit: CPU of the broker a job"), "µs", Want::Nothing, bare.broker);
    table.figure(&row("CPU of the runner a job"), "µs", runner, ours.worker);
    table.figure(&row("CPU of the broker a job"), "µs", of_broker, ours.broker);
}

async fn claim_and_finish(broker: &Broker, number: usize, left: &AtomicU64) {
    let queue = queue(broker);
    let seat = Seat::new(MachineId::new(format!("bench{number}")).expect("a name"));
    let streams: Vec<String> =
        queue.lanes().await.expect("lanes").into_iter().map(|(stream, _)| stream).collect();
    let result =
        JobResult { machine: Some(seat.machine.clone()), exit_code: Some(0), ..JobResult::default() };
    let mut nonces = 0_u64;
    let mut nonce = || {
        nonces += 1;
        format!("{number}n{nonces}")
    };
    let mut offer = queue.claim(&seat, &streams, &nonce(), false).await.expect("an offer");
    while let Offer::Job(claim) = offer {
        left.fetch_sub(1, Ordering::Relaxed);
        let Claim { id, token, .. } = &*claim;
        let told = Told { id, token, outcome: Outcome::Done, result: &result, retries: 0 };
        let (finish, next) =
            queue.finish_and_claim(told, &seat, &streams, &nonce()).await.expect("an answer");
        assert_eq!(finish, Finish::Accepted);
        offer = next;
    }
}

fn start_round(setup: &Setup, table: &mut Table) {
    let me = std::env::current_exe().expect("the path of this program");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let broker = Broker::start();
    limit::prepare(&broker);
    let log = dir.path().join("exec");
    let stop = AtomicBool::new(false);
    let mut bare = std::thread::scope(|scope| {
        scope.spawn(|| limit::run_programs(&broker, &me, &[Path::new(ASK), &log], &stop));
        let _stop = Stop(&stop);
        let mut wire = broker.wire();
        let sent = paced(|id| {
            limit::publish(&mut wire, id);
            wire.flush();
            wire.reply();
        });
        starts(&log, &sent)
    });
    drop(broker);

    let broker = Broker::start();
    let log = dir.path().join("session");
    let machine = runner(setup, &broker, &me, &log);
    let _daemon = machine.daemon();
    let mut ours = block_on(async {
        let queue = queue(&broker);
        warm(&queue, &log).await;
        let mut sent = HashMap::new();
        let begun = tokio::time::Instant::now();
        for number in 0..TIMED {
            tokio::time::sleep_until(begun + PACE * u32::try_from(number).unwrap_or(0)).await;
            let id = format!("t{number}");
            sent.insert(id.clone(), unix_ns());
            put(&queue, &id).await;
        }
        starts(&log, &sent)
    });
    let (mut p50, mut p99) = ((0.0, 0.0), (0.0, 0.0));
    for (share, pair) in [(0.5, &mut p50), (0.99, &mut p99)] {
        *pair = (quantile(&mut bare, share), quantile(&mut ours, share));
    }
    table.pair("start, median", "µs", Want::AtMost(3.0), p50);
    table.pair("start, 99 of 100", "µs", Want::Nothing, p99);
}

/// Ends the limit's worker, also when the measuring fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends ids in their pace; returns when each was sent.
fn paced(mut publish: impl FnMut(&str)) -> HashMap<String, u128> {
    let mut sent = HashMap::new();
    let begun = Instant::now();
    for number in 0..TIMED {
        let due = begun + PACE * u32::try_from(number).unwrap_or(0);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let id = format!("t{number}");
        sent.insert(id.clone(), unix_ns());
        publish(&id);
    }
    sent
}

/// How long after it was sent each job started.
fn starts(log: &Path, sent: &HashMap<String, u128>) -> Vec<Duration> {
    wait_for(|| {
        let text = std::fs::read_to_string(log).ok()?;
        let times: Vec<Duration> = text
            .lines()
            .filter_map(|line| {
                let (id, at) = line.split_once(' ')?;
                let took = at.parse::<u128>().ok()?.saturating_sub(*sent.get(id)?);
                Some(Duration::from_nanos(u64::try_from(took).ok()?))
            })
            .collect();
        (times.len() == sent.len()).then_some(times)
    })
}

fn sessions_round(setup: &Setup, table: &mut Table) {
    let me = std::env::current_exe().expect("the path of this program");
    let broker = Broker::start();
    let machine = runner(setup, &broker, &me, Path::new("/dev/null"));
    block_on(publish(&queue(&broker), SESSIONS, "s"));
    let daemon = machine.daemon();
    // Asked for in the cheapest way, for what asking takes is not the machine's to work with.
    let mut wire = broker.wire();
    let mut ended = || match wire.ask(&[b"SMEMBERS", b"darkmux:live"]) {
        Reply::Many(live) => SESSIONS - live.len(),
        _ => 0,
    };
    // The first ones find a cold machine.
    let (begun, first) =
        wait_for(|| Some((Instant::now(), ended())).filter(|(_, done)| *done >= SESSIONS / 10));
    let cpu = on_cpu_of_all(daemon.pid());
    wait_for(|| (ended() == SESSIONS).then_some(()));
    let rate = (SESSIONS - first) as f64 / begun.elapsed().as_secs_f64();
    table.figure(&format!("jobs a second, {SLOTS} slots"), "1/s", Want::AtLeast(150.0), rate);
    let spent = on_cpu_of_all(daemon.pid()).saturating_sub(cpu).as_secs_f64() * 1e6;
    table.figure("CPU of the daemon a job", "µs", Want::Nothing, spent / (SESSIONS - first) as f64);
}

/// CPU time of all threads of a process, to the hundredth of a second.
fn on_cpu_of_all(pid: u32) -> Duration {
    crate::machine::cpu(pid)
}

/// A machine whose runner takes jobs of the role `stamp`, whose program writes its start into `log`.
fn runner(setup: &Setup, broker: &Broker, me: &Path, log: &Path) -> Machine {
    let machine = Machine::new(setup)
        .with("DARKMUX_REDIS_URL", broker.url())
        .with("DARKMUX_RUNNER_ACCEPT", "*")
        .with("DARKMUX_RUNNER_SLOTS", SLOTS.to_string());
    let roles = machine.path().join(".darkmux/crew/roles");
    std::fs::create_dir_all(&roles).expect("a folder for roles");
    let argv = [&me.display().to_string(), ASK, &log.display().to_string()];
    let manifest = serde_json::json!({ "id": "stamp", "runtime": { "command": { "argv": argv } } });
    std::fs::write(roles.join("stamp.json"), manifest.to_string()).expect("the role is written");
    machine
}

/// The first jobs find a cold machine; they are not timed.
async fn warm(queue: &Queue, log: &Path) {
    for number in 0..10 {
        put(queue, &format!("warm{number}")).await;
    }
    wait_for(|| (std::fs::read_to_string(log).ok()?.lines().count() == 10).then_some(()));
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// A daemon that is connected to a Redis and has nothing to do.
pub fn run_idle(setup: &Setup) {
    let mut table = Table::new("Idle daemon with Redis and a runner");
    for _ in 0..setup.rounds {
        let broker = Broker::start();
        let machine =
            runner(setup, &broker, &std::env::current_exe().expect("a path"), Path::new("/dev/null"));
        let daemon = machine.daemon();
        std::thread::sleep(Duration::from_secs(6));
        let (before, cpu) = (Switches::of(&[daemon.pid()]), crate::machine::cpu(daemon.pid()));
        std::thread::sleep(IDLE);
        let woken = Switches::of(&[daemon.pid()]).rate_since(&before, IDLE);
        let spent = crate::machine::cpu(daemon.pid()).saturating_sub(cpu).as_secs_f64() / IDLE.as_secs_f64();
        table.figure("wake-ups a second", "1/s", Want::AtMost(5.0), woken);
        table.figure("CPU", "% of a core", Want::AtMost(1.0), spent * 100.0);
        let memory = crate::machine::memory(daemon.pid());
        let of = |name: &str| memory.get(name).copied().unwrap_or(f64::NAN);
        table.figure("RSS", "MiB", Want::AtMost(22.0), of("Rss"));
        table.figure("private", "MiB", Want::AtMost(9.0), of("Private_Clean") + of("Private_Dirty"));
    }
    table.print();
}

/// How long an idle daemon is watched.
const IDLE: Duration = Duration::from_secs(20);

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn queue(broker: &Broker) -> Queue {
    let numbers = QueueConfig {
        lease: Duration::from_secs(15),
        beat: Duration::from_secs(5),
        reconcile: Duration::from_secs(2),
        head_start: Duration::ZERO,
        max: CORE as u64 * 2,
        result_ttl: Duration::from_hours(1),
        dead_ttl: Duration::from_hours(1),
    };
    Queue::new(Redis::new(RedisTarget::parse(&broker.url()).expect("a URL")), numbers, None)
}

async fn publish(queue: &Queue, jobs: usize, prefix: &str) {
    let queue = Arc::new(queue.clone());
    let each = futures_util::stream::iter(0..jobs).map(|number| {
        let queue = Arc::clone(&queue);
        async move { put(&queue, &format!("{prefix}{number}")).await }
    });
    each.buffer_unordered(64).collect::<Vec<()>>().await;
}

async fn put(queue: &Queue, id: &str) {
    let job = WorkJob {
        target_machine: None,
        role_id: "stamp".parse().expect("a role"),
        message: "go".to_owned(),
        session_id: id.to_owned(),
        deliver: None,
        workdir: None,
        sprint_id: None,
        runtime: "internal".to_owned(),
        image: None,
        timeout_seconds: 3600,
        published_at_unix_ms: 1,
        published_by_machine: Some("bench".to_owned()),
        published_by_orchestrator: None,
        attempt: 1,
    };
    let spec = JobSpec {
        schema: 1,
        id: SessionId::new(id).expect("an id"),
        name: None,
        lane: Lane::default(),
        first: Vec::new(),
        prefer: Vec::new(),
        timeout_ms: None,
        retries: 0,
        on_loss: OnLoss::Rerun,
        delay_ms: 0,
        key: None,
        not_after_ms: u64::MAX,
        published_by: None,
        legacy_session: None,
        workspace: None,
    };
    queue.publish(&job, &spec).await.expect("it is accepted");
}
