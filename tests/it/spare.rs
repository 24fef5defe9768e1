//! Hosts that wait ready for the runner's jobs: what runs on one, and what becomes of one that is stopped, killed or
//! left alone.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use darkmux::model::JobState;

use crate::runner::{ended, output, publish, running};
use crate::support::queue::queue;
use crate::support::runner::member;
use crate::support::{BIN, Daemon, Home, RedisServer, is_alive, signal, wait_for};

/// The hosts that wait, or once waited, for the daemon `pid`.
fn spares(pid: i64) -> Vec<i64> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid=,stat=,args="]).output().expect("ps runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let of_daemon = |line: &str| {
        let mut words = line.split_whitespace();
        let (one, parent, stat) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
        let is_spare = words.any(|word| word == "spare-host") && !stat.starts_with('Z');
        (parent == pid.to_string() && is_spare).then_some(one)
    };
    text.lines().filter_map(of_daemon).collect()
}

fn spare(daemon: &Daemon) -> i64 {
    wait_for("a spare host", || spares(daemon.process.pid()).first().copied())
}

fn host_of(home: &Home, id: &str) -> Option<i64> {
    let text = std::fs::read(home.darkmux().join("sessions").join(id).join("state.json")).ok()?;
    serde_json::from_slice::<serde_json::Value>(&text).ok()?["host_pid"].as_i64()
}

/// What a job says of itself: folder, environment, what it was started by.
const TELL: &str = "pwd; env | grep -v '^_=' | sort; exit 3";

/// The lines of `text` without what differs from one session to the next.
fn alike(text: &str, id: &str) -> String {
    let lines = text.replace(id, "ID").replace("\r\n", "\n");
    let own = |line: &&str| !line.starts_with("DARKMUX_ATTEMPT_TOKEN=");
    lines.lines().filter(own).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_spare_host_that_can_make_no_log_says_why_it_runs_nothing() {
    let home = Home::new();
    let mut host = home.command(BIN).arg("spare-host").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let host = host.as_mut().unwrap();
    let folder = b"/nowhere/at/all";
    let order = [&u32::try_from(folder.len()).unwrap().to_be_bytes()[..], folder].concat();
    host.stdin.take().unwrap().write_all(&order).unwrap();
    let mut said = String::new();
    host.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!host.wait().unwrap().success());
    assert!(said.starts_with('.') && said.contains("/nowhere/at/all/host.log"), "{said}");
}

#[tokio::test]
async fn a_job_on_a_spare_host_is_the_same_as_on_one_of_its_own() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let mut home =
        member("studio", &server.url()).with("SECRET_OF_THE_DAEMON", "x").with("DARKMUX_RUNNER_ENV", "MINE");
    home = home.with("MINE", "a b").with("DARKMUX_RUNNER_SPARE_HOSTS", "1");
    let daemon = Daemon::start(&home);
    let waited = spare(&daemon);
    let id = publish(&queue, "on-spare", TELL).await;
    let on_spare = ended(&queue, &id).await;
    assert_eq!(host_of(&home, "on-spare"), Some(waited));
    let with_spare = output(&queue, &id).await;
    drop(daemon);
    home = home.with("DARKMUX_RUNNER_SPARE_HOSTS", "0");
    let daemon = Daemon::start(&home);
    let id = publish(&queue, "on-own", TELL).await;
    let on_own = ended(&queue, &id).await;
    assert_eq!(spares(daemon.process.pid()), [] as [i64; 0]);
    let without = output(&queue, &id).await;
    let setting = |text: &str| text.replace("DARKMUX_RUNNER_SPARE_HOSTS=1", "DARKMUX_RUNNER_SPARE_HOSTS=0");
    assert_eq!(setting(&alike(&with_spare, "on-spare")), alike(&without, "on-own"));
    assert!(with_spare.contains("MINE=a b") && !with_spare.contains("SECRET_OF_THE_DAEMON"), "{with_spare}");
    for view in [on_spare, on_own] {
        assert_eq!((view.state, view.result.unwrap().exit_code), (JobState::Failed, Some(3)));
    }
    let log = home.darkmux().join("sessions/on-spare/host.log");
    assert!(log.exists(), "what the host says has a place");
}

#[tokio::test]
async fn a_job_on_a_spare_host_outlives_the_daemon_and_its_result_is_told() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url()).with("DARKMUX_QUEUE_LEASE", "20s");
    let mut daemon = Daemon::start(&home);
    let waited = spare(&daemon);
    let id = publish(&queue, "job-1", "until [ -e ../../go ]; do sleep 0.05; done; exit 5").await;
    running(&queue, &id).await;
    wait_for("the host", || (host_of(&home, "job-1") == Some(waited)).then_some(()));
    daemon.process.kill();
    let _again = Daemon::start(&home);
    std::fs::write(home.darkmux().join("go"), "").unwrap();
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.result.unwrap().exit_code), (JobState::Failed, Some(5)));
}

#[tokio::test]
async fn a_spare_host_ends_with_its_daemon_however_that_ends() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    for name in ["KILL", "TERM"] {
        let daemon = Daemon::start(&home);
        let waits = spare(&daemon);
        signal(daemon.process.pid(), name);
        wait_for("the end of the spare host", || (!is_alive(waits)).then_some(()));
    }
}

#[tokio::test]
async fn a_spare_host_that_dies_is_replaced() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let daemon = Daemon::start(&home);
    let first = spare(&daemon);
    signal(first, "KILL");
    let second =
        wait_for("another one", || spares(daemon.process.pid()).into_iter().find(|pid| *pid != first));
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1", "true").await;
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
    assert_eq!(host_of(&home, "job-1"), Some(second));
    // And so is one that was taken.
    wait_for("a third one", || {
        spares(daemon.process.pid()).into_iter().find(|pid| ![first, second].contains(pid))
    });
}

#[tokio::test]
async fn a_stopped_spare_host_costs_a_job_some_seconds_and_never_runs_it() {
    let server = RedisServer::start();
    let home = member("studio", &server.url()).with("DARKMUX_QUEUE_LEASE", "20s");
    let daemon = Daemon::start(&home);
    let stopped = spare(&daemon);
    signal(stopped, "STOP");
    let queue = queue(&server.url());
    let began = Instant::now();
    let id = publish(&queue, "job-1", "echo once >> ../../runs").await;
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_ne!(host_of(&home, "job-1"), Some(stopped));
    assert!(!is_alive(stopped), "it could take the session when it goes on");
    assert_eq!(std::fs::read_to_string(home.darkmux().join("runs")).unwrap(), "once\n");
}

#[tokio::test]
async fn there_are_as_many_spare_hosts_as_the_settings_say_and_slots_use() {
    let server = RedisServer::start();
    let home = member("studio", &server.url())
        .with("DARKMUX_RUNNER_SPARE_HOSTS", "9")
        .with("DARKMUX_RUNNER_SLOTS", "2");
    let daemon = Daemon::start(&home);
    wait_for("both", || (spares(daemon.process.pid()).len() == 2).then_some(()));
    let queue = queue(&server.url());
    for number in 0..8 {
        let id = publish(&queue, &format!("job-{number}"), "true").await;
        assert_eq!(ended(&queue, &id).await.state, JobState::Done);
    }
    wait_for("two that wait", || (spares(daemon.process.pid()).len() == 2).then_some(()));
    let mut off = daemon;
    off.process.kill();
    let home = home.with("DARKMUX_RUNNER", "false");
    let daemon = Daemon::start(&home);
    assert_eq!(spares(daemon.process.pid()), [] as [i64; 0], "who claims nothing keeps none");
}
