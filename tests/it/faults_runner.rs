//! What may happen to a runner and its machine, one test a fault: real daemons, killed and stopped.

use std::path::Path;
use std::time::{Duration, Instant};

use darkmux::model::{JobState, OnLoss, SessionId};
use darkmux::work::{Cancelled, JobView, Queue};
use serde_json::Value;

use crate::runner::{ended, processes_of, publish, running, until, wait_for_async};
use crate::support::queue::{job, queue};
use crate::support::runner::member;
use crate::support::{Daemon, Fault, FaultProxy, Home, RedisServer, is_alive, signal, wait_for};

fn beats(server: &RedisServer, id: &SessionId) -> u64 {
    server.cli(&["HGET", &format!("darkmux:job:{id}"), "hb"]).parse().unwrap_or_default()
}

fn token(server: &RedisServer, id: &SessionId) -> String {
    server.cli(&["HGET", &format!("darkmux:job:{id}"), "tok"])
}

/// Results that were ever accepted.
fn results(server: &RedisServer, id: &SessionId) -> usize {
    let log = server.cli(&["XRANGE", &format!("darkmux:log:{id}"), "-", "+"]);
    log.lines().filter(|line| *line == "end").count()
}

fn how_attempts_ended(view: &JobView) -> Vec<&str> {
    view.attempts.iter().map(|attempt| attempt.ended.as_str()).collect()
}

/// Everything that runs on the machine, and the daemon first, so that it sees nothing of it.
fn crash(home: &Home, daemon: &mut Daemon) {
    daemon.process.kill();
    for process in processes_of(home) {
        signal(process, "KILL");
    }
}

fn session_state(home: &Home, id: &SessionId) -> Option<Value> {
    let text = std::fs::read(home.darkmux().join("sessions").join(id.as_str()).join("state.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

fn log_of(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("serve.log")).unwrap_or_default()
}

/// Waits for a file that a job writes.
async fn written(path: &Path) -> String {
    wait_for_async(async || std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))).await
}

#[tokio::test]
async fn a_runner_killed_in_the_middle_of_a_job_takes_it_up_again_within_five_seconds() {
    let server = RedisServer::start();
    // A lease that is over long after the daemon is back, and beats that are often.
    let home = member("studio", &server.url()).with("DARKMUX_QUEUE_LEASE", "20s");
    let mut daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1", "sleep 4; echo $DARKMUX_ATTEMPT_TOKEN > ../../token").await;
    running(&queue, &id).await;
    wait_for("the session", || session_state(&home, &id).filter(|state| state["state"] == "running"));
    daemon.process.kill();
    let (before, held) = (beats(&server, &id), token(&server, &id));
    let began = Instant::now();
    let _again = Daemon::start(&home);
    wait_for("a sign of life", || (beats(&server, &id) > before).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.attempt, results(&server, &id)), (JobState::Done, 1, 1));
    assert_eq!(token(&server, &id), held);
    assert_eq!(std::fs::read_to_string(home.darkmux().join("token")).unwrap().trim(), held);
}

#[tokio::test]
async fn a_machine_that_crashes_and_is_back_before_the_lease_ends_runs_the_job_again() {
    let server = RedisServer::start();
    let home = member("studio", &server.url()).with("DARKMUX_QUEUE_LEASE", "1m");
    let mut daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let mark = home.path().join("mark");
    let script = format!("test -e {0} || {{ echo first > {0}; sleep 60; }}", mark.display());
    let id = publish(&queue, "again", &script).await;
    let (work, mut spec) = job("once", "sleep 60");
    spec.on_loss = OnLoss::Stop;
    queue.publish(&work, &spec).await.unwrap();
    queue.watch_log(&spec.id).await.unwrap();
    written(&mark).await;
    running(&queue, &spec.id).await;
    wait_for("its session", || session_state(&home, &spec.id).filter(|state| state["state"] == "running"));
    crash(&home, &mut daemon);
    let _again = Daemon::start(&home);
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, how_attempts_ended(&view)), (JobState::Done, vec!["lost", "done"]));
    let view = ended(&queue, &spec.id).await;
    assert_eq!((view.state, how_attempts_ended(&view)), (JobState::Dead, vec!["lost"]));
    assert_eq!((results(&server, &id), results(&server, &spec.id)), (1, 1));
}

#[tokio::test]
async fn a_runner_killed_between_the_result_and_its_answer_tells_one_result() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let queue = queue(&server.url());
    let home = member("studio", &proxy.url()).with("DARKMUX_QUEUE_LEASE", "1m");
    for (number, fault) in [Fault::BlackHole, Fault::DropReplies].into_iter().enumerate() {
        let mut daemon = Daemon::start(&home);
        let go = home.path().join(format!("go-{number}"));
        let script = format!("until test -e {}; do sleep 0.05; done; exit 5", go.display());
        let id = publish(&queue, &format!("job-{number}"), &script).await;
        running(&queue, &id).await;
        wait_for("the session", || session_state(&home, &id).filter(|state| state["state"] == "running"));
        proxy.set(fault);
        std::fs::write(&go, "").unwrap();
        let journal = wait_for("its entry in the journal", || home.journal_of(id.as_str()));
        wait_for("the result in the journal", || {
            std::fs::read_to_string(&journal).is_ok_and(|text| text.contains("ended")).then_some(())
        });
        if fault == Fault::DropReplies {
            until(&queue, &id, "the result without its answer", |view| view.state.is_final()).await;
        }
        daemon.process.kill();
        proxy.set(Fault::None);
        let _again = Daemon::start(&home);
        let view = ended(&queue, &id).await;
        let code = view.result.as_ref().and_then(|result| result.exit_code);
        assert_eq!((view.state, view.attempt, code), (JobState::Failed, 1, Some(5)), "{fault:?}");
        wait_for("the journal to know", || (!journal.exists()).then_some(()));
        assert_eq!(results(&server, &id), 1, "{fault:?}");
    }
}

/// A job that says when it is told to end, and ends when it may.
fn slow_to_end(home: &Home) -> (String, std::path::PathBuf, std::path::PathBuf) {
    let (told, go) = (home.path().join("told"), home.path().join("go"));
    let end = format!(
        "echo told > {}; until test -e {}; do sleep 0.05; done; exit 143",
        told.display(),
        go.display()
    );
    (format!("trap '{end}' INT TERM HUP; while :; do sleep 0.05; done"), told, go)
}

fn session_to_run(home: &Home, id: &SessionId) {
    wait_for("the session", || session_state(home, id).filter(|state| state["state"] == "running"));
}

fn session_to_end(home: &Home, id: &SessionId) {
    let state = wait_for("its end", || session_state(home, id).filter(|state| state["state"] == "exited"));
    assert_eq!((&state["exit_code"], &state["reason"]), (&143.into(), &"killed".into()), "{state}");
}

#[tokio::test]
async fn a_runner_killed_between_the_stop_and_the_result_is_followed_by_one_that_knows_why() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url())
        .with("DARKMUX_QUEUE_LEASE", "30s")
        .with("DARKMUX_SESSION_GRACE", "30s");
    let mut daemon = Daemon::start(&home);
    let (script, told, go) = slow_to_end(&home);
    let id = publish(&queue, "job-1", &script).await;
    session_to_run(&home, &id);
    assert_eq!(queue.cancel(&id, "enough").await.unwrap(), Cancelled::Asked);
    written(&told).await;
    daemon.process.kill();
    // Redis may have lost it: what this machine knew counts.
    server.cli(&["HDEL", "darkmux:job:job-1", "cancel"]);
    std::fs::write(&go, "").unwrap();
    session_to_end(&home, &id);
    let _again = Daemon::start(&home);
    let view = ended(&queue, &id).await;
    let result = view.result.clone().unwrap();
    assert_eq!((view.state, view.attempt, result.exit_code), (JobState::Cancelled, 1, Some(143)), "{view:?}");
    assert_eq!((result.error.as_deref(), results(&server, &id)), (Some("enough"), 1));
}

#[tokio::test]
async fn a_session_that_heard_nothing_of_its_stop_is_told_by_the_next_daemon() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url())
        .with("DARKMUX_QUEUE_LEASE", "30s")
        .with("DARKMUX_SESSION_GRACE", "30s");
    let mut daemon = Daemon::start(&home);
    let (script, told, go) = slow_to_end(&home);
    let id = publish(&queue, "job-1", &script).await;
    session_to_run(&home, &id);
    // Its host hears nothing, so that the daemon dies between its journal and the session.
    let host = session_state(&home, &id).unwrap()["host_pid"].as_i64().unwrap();
    signal(host, "STOP");
    assert_eq!(queue.cancel(&id, "enough").await.unwrap(), Cancelled::Asked);
    let journal = wait_for("its entry in the journal", || home.journal_of("job-1"));
    wait_for("the reason in the journal", || {
        std::fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"stopping\"")).then_some(())
    });
    daemon.process.kill();
    assert!(!told.exists(), "it was told already");
    server.cli(&["HDEL", "darkmux:job:job-1", "cancel"]);
    std::fs::write(&go, "").unwrap();
    signal(host, "CONT");
    let _again = Daemon::start(&home);
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.attempt, results(&server, &id)), (JobState::Cancelled, 1, 1), "{view:?}");
}

#[tokio::test]
async fn a_cancellation_that_the_dead_daemon_never_heard_of_is_asked_for_by_the_next() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url())
        .with("DARKMUX_RUNNER_SLOTS", "8")
        .with("DARKMUX_QUEUE_LEASE", "30s")
        .with("DARKMUX_SESSION_GRACE", "30s");
    let mut daemon = Daemon::start(&home);
    let (script, _, go) = slow_to_end(&home);
    // Several: each end races with its worker's first beat.
    let mut cancelled = Vec::new();
    for number in 0..7 {
        cancelled.push(publish(&queue, &format!("cancelled-{number}"), &script).await);
    }
    let killed = publish(&queue, "killed", &script).await;
    for id in cancelled.iter().chain([&killed]) {
        session_to_run(&home, id);
    }
    signal(daemon.process.pid(), "STOP");
    for id in &cancelled {
        assert_eq!(queue.cancel(id, "enough").await.unwrap(), Cancelled::Asked);
    }
    std::fs::write(&go, "").unwrap();
    for id in cancelled.iter().chain([&killed]) {
        home.ok(["session", "kill", id.as_str()]);
        session_to_end(&home, id);
    }
    daemon.process.kill();
    let _again = Daemon::start(&home);
    for id in &cancelled {
        let view = ended(&queue, id).await;
        assert_eq!((view.state, results(&server, id)), (JobState::Cancelled, 1), "{view:?}");
    }
    let view = ended(&queue, &killed).await;
    assert_eq!((view.state, results(&server, &killed)), (JobState::Failed, 1), "{view:?}");
}

#[tokio::test]
async fn a_job_that_was_fenced_stays_so_for_the_next_daemon() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let queue = queue(&server.url());
    let home =
        member("studio", &proxy.url()).with("DARKMUX_QUEUE_LEASE", "2s").with("DARKMUX_SESSION_GRACE", "30s");
    let mut daemon = Daemon::start(&home);
    let (script, told, go) = slow_to_end(&home);
    let (work, mut spec) = job("once", &script);
    spec.on_loss = OnLoss::Stop;
    queue.publish(&work, &spec).await.unwrap();
    queue.watch_log(&spec.id).await.unwrap();
    session_to_run(&home, &spec.id);
    proxy.set(Fault::BlackHole);
    written(&told).await;
    daemon.process.kill();
    std::fs::write(&go, "").unwrap();
    session_to_end(&home, &spec.id);
    proxy.set(Fault::None);
    let _again = Daemon::start(&home);
    let view = ended(&queue, &spec.id).await;
    assert_eq!((view.state, how_attempts_ended(&view)), (JobState::Dead, vec!["lost"]), "{view:?}");
    assert_eq!(results(&server, &spec.id), 1);
}

#[tokio::test]
async fn a_runner_that_was_frozen_ends_what_another_took_over() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let frozen = member("frozen", &server.url());
    let daemon = Daemon::start(&frozen);
    let pids = frozen.path().join("pids");
    let script = format!(
        "sleep 300 & echo $! >> {0}; test $DARKMUX_ATTEMPT = 2 || wait; kill $!; exit 0",
        pids.display()
    );
    let id = publish(&queue, "job-1", &script).await;
    let first: i64 = written(&pids).await.trim().parse().unwrap();
    let held = token(&server, &id);
    signal(daemon.process.pid(), "STOP");
    let other = member("other", &server.url());
    let _other = Daemon::start(&other);
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.machine.as_deref()), (JobState::Done, Some("other")));
    assert!(is_alive(first), "nobody could end it while its runner was frozen");
    signal(daemon.process.pid(), "CONT");
    wait_for("its process tree to end", || (!is_alive(first)).then_some(()));
    let view = queue.job(&id).await.unwrap().unwrap();
    assert_eq!((view.state, how_attempts_ended(&view)), (JobState::Done, vec!["lost", "done"]));
    assert_ne!(token(&server, &id), held);
    assert_eq!(results(&server, &id), 1);
    wait_for("the record of it", || {
        let records = frozen.ok(["flow", "tail", "--json"]);
        records.lines().any(|line| line.contains("job.fenced")).then_some(())
    });
}

#[tokio::test]
async fn a_job_that_kills_its_own_host_is_dead_after_three_times() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let marks = home.path().join("marks");
    let id = publish(
        &queue,
        "poison",
        &format!("echo x >> {}; sleep 0.5; kill -9 $PPID; sleep 60", marks.display()),
    )
    .await;
    let view = until(&queue, &id, "its end", |view| {
        if view.state == JobState::Waiting {
            // Nobody waits for the pause.
            server.cli(&["HSET", "darkmux:job:poison", "due", "1"]);
        }
        view.state.is_final()
    })
    .await;
    assert_eq!((view.state, how_attempts_ended(&view)), (JobState::Dead, vec!["lost", "lost", "lost"]));
    assert_eq!(std::fs::read_to_string(&marks).unwrap().lines().count(), 3);
    assert_eq!(queue.dead(10).await.unwrap()[0].job.as_ref(), Some(&id));
    // The runner is none the worse for it.
    let next = publish(&queue, "next", "true").await;
    assert_eq!(ended(&queue, &next).await.state, JobState::Done);
}

#[tokio::test]
async fn a_job_whose_host_dies_before_it_is_up_may_have_run_and_is_no_other_machines() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let homes = [member("studio", &server.url()), member("laptop", &server.url())];
    let _daemons = [Daemon::start(&homes[0]), Daemon::start(&homes[1])];
    let marks = homes[0].path().join("marks");
    let (work, mut spec) = job("once", &format!("echo x >> {}; kill -9 $PPID; sleep 60", marks.display()));
    spec.on_loss = OnLoss::Stop;
    queue.publish(&work, &spec).await.unwrap();
    queue.watch_log(&spec.id).await.unwrap();
    let view = ended(&queue, &spec.id).await;
    assert_eq!((view.state, view.attempt), (JobState::Dead, 1), "{view:?}");
    assert!(view.declined.is_empty(), "{view:?}");
    assert_eq!(std::fs::read_to_string(&marks).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_job_that_may_not_run_twice_stops_itself_when_its_runner_is_cut_off() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let queue = queue(&server.url());
    let home = member("studio", &proxy.url());
    let _daemon = Daemon::start(&home);
    let pids = home.path().join("pids");
    let (work, mut spec) = job("once", &format!("sleep 300 & echo $! > {}; wait", pids.display()));
    spec.on_loss = OnLoss::Stop;
    queue.publish(&work, &spec).await.unwrap();
    queue.watch_log(&spec.id).await.unwrap();
    let other = publish(&queue, "more-than-once", "sleep 300").await;
    running(&queue, &other).await;
    let pid: i64 = written(&pids).await.trim().parse().unwrap();
    proxy.set(Fault::BlackHole);
    wait_for("the job to be stopped", || (!is_alive(pid)).then_some(()));
    let goes_on = session_state(&home, &other).unwrap();
    assert_eq!(goes_on["state"], "running", "what may run twice goes on");
    proxy.set(Fault::None);
    let view = ended(&queue, &spec.id).await;
    assert_eq!((view.state, results(&server, &spec.id)), (JobState::Dead, 1));
    let view = until(&queue, &other, "a sign of life", |view| view.state == JobState::Running).await;
    assert_eq!(view.attempt, 1);
}

#[tokio::test]
async fn two_machines_of_one_id_share_the_jobs_and_each_ends_once() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let homes = [member("twin", &server.url()), member("twin", &server.url())];
    let _daemons = [Daemon::start(&homes[0]), Daemon::start(&homes[1])];
    let ledger = homes[0].path().join("ledger");
    let mut ids = Vec::new();
    for number in 0..12 {
        let script = format!("sleep 0.3; echo {number} >> {}", ledger.display());
        ids.push(publish(&queue, &format!("job-{number}"), &script).await);
    }
    for id in &ids {
        let view = ended(&queue, id).await;
        assert_eq!((view.state, view.attempt, results(&server, id)), (JobState::Done, 1, 1));
    }
    assert_eq!(std::fs::read_to_string(&ledger).unwrap().lines().count(), 12);
    let sessions =
        |home: &Home| std::fs::read_dir(home.darkmux().join("sessions")).map_or(0, Iterator::count);
    assert_eq!(sessions(&homes[0]) + sessions(&homes[1]), 12);
    assert!(sessions(&homes[0]) > 0 && sessions(&homes[1]) > 0, "both work");
}

#[tokio::test]
async fn a_second_daemon_of_a_home_says_who_is_first_and_claims_nothing() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let daemon = Daemon::start(&home);
    let second = home.run(["serve", "--port", "0"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&daemon.process.pid().to_string()), "{said}");
    let queue: Queue = queue(&server.url());
    let id = publish(&queue, "job-1", "true").await;
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
    assert!(!log_of(&home).contains("panicked"));
}

#[tokio::test]
async fn nothing_is_claimed_before_the_whole_journal_was_read() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url()).with("DARKMUX_QUEUE_LEASE", "5s");
    let mut daemon = Daemon::start(&home);
    let go = home.path().join("go");
    let id = publish(&queue, "runs", &format!("until test -e {}; do sleep 0.05; done", go.display())).await;
    session_to_run(&home, &id);
    daemon.process.kill();
    // A file that the system does not let be read: here for any reason, and for everybody.
    let unreadable = home.darkmux().join("queue/ran/unreadable.0.json");
    std::os::unix::fs::symlink(&unreadable, &unreadable).unwrap();
    let waits = publish(&queue, "waits", "true").await;
    let _again = Daemon::start(&home);
    // What can be read is adopted.
    std::fs::write(&go, "").unwrap();
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.attempt), (JobState::Done, 1), "{view:?}");
    wait_for("the reason", || {
        let log = std::fs::read_to_string(home.path().join("serve.log")).unwrap();
        (log.matches("no job is claimed before").count() > 1).then_some(())
    });
    assert_eq!(queue.job(&waits).await.unwrap().unwrap().state, JobState::Queued);
    std::fs::remove_file(&unreadable).unwrap();
    assert_eq!(ended(&queue, &waits).await.state, JobState::Done);
}
