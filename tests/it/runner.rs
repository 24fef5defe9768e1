//! The runner: real daemons, a real Redis, jobs as sessions.

use std::time::{Duration, Instant};

use darkmux::model::{JobState, SessionId};
use darkmux::work::{Cancelled, JobView, LogPart, Queue};

use crate::support::queue::{job, queue};
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, is_alive, signal, wait_for};

pub async fn publish(queue: &Queue, id: &str, script: &str) -> SessionId {
    let (job, spec) = job(id, script);
    queue.publish(&job, &spec).await.unwrap();
    // So that its log counts its ends.
    queue.watch_log(&spec.id).await.unwrap();
    spec.id
}

pub async fn until(queue: &Queue, id: &SessionId, what: &str, done: impl Fn(&JobView) -> bool) -> JobView {
    let began = Instant::now();
    loop {
        let view = queue.job(id).await.unwrap();
        if let Some(view) = view.filter(|view| done(view)) {
            return view;
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{id}: waited for {what}: {:?}",
            queue.job(id).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn ended(queue: &Queue, id: &SessionId) -> JobView {
    until(queue, id, "its end", |view| view.state.is_final()).await
}

pub async fn running(queue: &Queue, id: &SessionId) -> JobView {
    until(queue, id, "its start", |view| view.state == JobState::Running).await
}

pub async fn output(queue: &Queue, id: &SessionId) -> String {
    let mut text = Vec::new();
    for (_, part) in queue.log_after(id, "0-0", 1000).await.unwrap() {
        if let LogPart::Output { bytes, .. } = part {
            text.extend(bytes);
        }
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_job_is_a_session_with_its_id_its_output_and_its_result() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let good = publish(&queue, "good", "echo \"$DARKMUX_JOB_ID $DARKMUX_ATTEMPT\"; pwd").await;
    let bad = publish(&queue, "bad", "echo oops; exit 7").await;
    let view = ended(&queue, &good).await;
    assert_eq!((view.state, view.machine.as_deref()), (JobState::Done, Some("studio")));
    let result = view.result.unwrap();
    assert_eq!((result.exit_code, result.attempt), (Some(0), 1));
    assert!(result.workdir.unwrap().ends_with("worktrees/good"));
    let text = output(&queue, &good).await;
    assert!(text.starts_with("good 1\r\n") && text.contains("worktrees/good"), "{text}");
    let view = ended(&queue, &bad).await;
    assert_eq!((view.state, view.result.unwrap().exit_code), (JobState::Failed, Some(7)));
    let session = home.json(["session", "ls", "--all", "--json"]);
    assert!(session.to_string().contains("\"good\""), "{session}");
    let records = home.ok(["flow", "tail", "--json"]);
    let lines: Vec<serde_json::Value> =
        records.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for action in ["job.claimed", "dispatch start", "dispatch complete", "job.done"] {
        let of = |line: &&serde_json::Value| line["action"] == action && line["work_id"] == "good";
        let found = wait_for(action, || {
            lines.iter().find(of).cloned().or_else(|| {
                let text = home.ok(["flow", "tail", "--json"]);
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).find(|line| of(&line))
            })
        });
        assert_eq!(found["attempt"], 1, "{found}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_run_here_is_given_back() {
    let server = RedisServer::start();
    let home = member("studio", &server.url()).with("DARKMUX_RUNNER_ACCEPT", "");
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1", "true").await;
    let view = until(&queue, &id, "the refusal", |view| !view.declined.is_empty()).await;
    assert_eq!(view.state, JobState::Queued);
    assert!(view.declined["studio"].contains("runner.accept"), "{view:?}");
    let other = member("laptop", &server.url());
    let _other = Daemon::start(&other);
    assert_eq!(ended(&queue, &id).await.machine.as_deref(), Some("laptop"));
}

#[tokio::test]
async fn a_job_that_waits_for_its_time_begins_then() {
    let server = RedisServer::start();
    let home = member("studio", &server.url()).with("DARKMUX_QUEUE_LEASE", "2m");
    let _daemon = Daemon::start(&home.with("DARKMUX_QUEUE_RECONCILE", "30s"));
    let queue = queue(&server.url());
    let (work, mut spec) = job("job-1", "true");
    spec.delay_ms = 800;
    queue.publish(&work, &spec).await.unwrap();
    let view = ended(&queue, &spec.id).await;
    let waited = view.started_ms.unwrap() - view.created_ms;
    assert!((800..8000).contains(&waited), "{waited} ms");
}

/// A job that only `studio` may run, and that it refuses as long as no folder can be made for it.
async fn refused(home: &Home, queue: &Queue) -> (SessionId, std::path::PathBuf) {
    let worktrees = home.path().join(".darkmux/worktrees");
    std::fs::write(&worktrees, "").unwrap();
    let (work, mut spec) = job("job-1", "true");
    spec.lane.pin = "studio".parse().ok();
    queue.publish(&work, &spec).await.unwrap();
    let view = until(queue, &spec.id, "nobody", |view| view.parked.is_some()).await;
    assert_eq!((view.state, view.declined.len()), (JobState::Queued, 1), "{view:?}");
    (spec.id, worktrees)
}

#[tokio::test]
async fn a_refusal_that_passes_does_not_keep_the_job() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let (id, worktrees) = refused(&home, &queue).await;
    std::fs::remove_file(worktrees).unwrap();
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
    let records = home.ok(["flow", "tail", "--json"]);
    assert!(records.contains("job.offered"), "{records}");
}

#[tokio::test]
async fn a_refused_job_is_offered_again_at_its_users_word() {
    let server = RedisServer::start();
    let home = member("studio", &server.url()).with("DARKMUX_QUEUE_LEASE", "60s");
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let (id, worktrees) = refused(&home, &queue).await;
    std::fs::remove_file(worktrees).unwrap();
    home.ok(["job", "retry", id.as_str()]);
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
}

#[tokio::test]
async fn a_cancelled_job_ends_with_its_whole_process_tree() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1", "sleep 300 & echo \"pid $!\"; wait").await;
    running(&queue, &id).await;
    let pid = wait_for_async(async || {
        let text = output(&queue, &id).await;
        text.lines().find_map(|line| line.strip_prefix("pid ")?.trim().parse::<i64>().ok())
    })
    .await;
    assert_eq!(queue.cancel(&id, "enough").await.unwrap(), Cancelled::Asked);
    let view = ended(&queue, &id).await;
    assert_eq!(view.state, JobState::Cancelled);
    wait_for("the process to be gone", || (!is_alive(pid)).then_some(()));
}

pub async fn wait_for_async<T>(mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_killed_daemon_s_job_goes_on_and_is_adopted_with_its_token() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let mut daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1", "echo one; sleep 2; echo two").await;
    running(&queue, &id).await;
    wait_for_async(async || output(&queue, &id).await.contains("one").then_some(())).await;
    daemon.process.kill();
    let _again = Daemon::start(&home);
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.attempt), (JobState::Done, 1));
    let text = output(&queue, &id).await;
    assert_eq!(text.replace("\r\n", "\n"), "one\ntwo\n");
}

#[tokio::test]
async fn a_dead_machine_s_job_is_run_by_another_and_a_living_one_keeps_its_own() {
    let server = RedisServer::start();
    let first = member("studio", &server.url());
    let mut daemon = Daemon::start(&first);
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1", "echo here; sleep 4").await;
    let view = running(&queue, &id).await;
    assert_eq!(view.machine.as_deref(), Some("studio"));
    let second = member("laptop", &server.url());
    let _other = Daemon::start(&second);
    // Several leases long it stays with its living runner.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(queue.job(&id).await.unwrap().unwrap().attempt, 1);
    daemon.process.kill();
    for process in processes_of(&first) {
        signal(process, "KILL");
    }
    let began = Instant::now();
    let view = until(&queue, &id, "another attempt", |view| view.attempt == 2).await;
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(view.machine.as_deref(), Some("laptop"));
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
}

/// Host and leader of every session of a home.
pub fn processes_of(home: &Home) -> Vec<i64> {
    let sessions = std::fs::read_dir(home.darkmux().join("sessions")).unwrap().flatten();
    let states = sessions.filter_map(|session| std::fs::read(session.path().join("state.json")).ok());
    states
        .filter_map(|text| serde_json::from_slice::<serde_json::Value>(&text).ok())
        .flat_map(|state| [state["host_pid"].as_i64(), state["pid"].as_i64()])
        .flatten()
        .collect()
}

#[tokio::test]
async fn jobs_go_on_without_redis_and_their_results_follow() {
    let mut server = RedisServer::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1", "echo one; sleep 2; echo two; exit 3").await;
    running(&queue, &id).await;
    server.kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.restart();
    let view = until_back(&queue, &id).await;
    assert_eq!((view.state, view.attempt, view.result.unwrap().exit_code), (JobState::Failed, 1, Some(3)));
    assert_eq!(output(&queue, &id).await.replace("\r\n", "\n"), "one\ntwo\n");
}

async fn until_back(queue: &Queue, id: &SessionId) -> JobView {
    wait_for_async(async || queue.job(id).await.ok().flatten().filter(|view| view.state.is_final())).await
}

#[tokio::test]
async fn a_redis_that_lost_everything_is_told_what_ran() {
    let mut server = RedisServer::start();
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let done = publish(&queue, "done", "true").await;
    ended(&queue, &done).await;
    let long = publish(&queue, "long", "sleep 3").await;
    running(&queue, &long).await;
    server.kill();
    server.restart();
    for id in [&done, &long] {
        let view = until_back(&queue, id).await;
        assert_eq!((view.state, view.attempt), (JobState::Done, 1), "{id}");
    }
}

#[tokio::test]
async fn slots_bound_what_runs_at_once_and_all_of_many_end() {
    let server = RedisServer::start();
    let home = member("studio", &server.url()).with("DARKMUX_RUNNER_SLOTS", "3");
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(publish(&queue, &format!("job-{number}"), "sleep 0.1").await);
    }
    let mut most = 0;
    loop {
        let status = queue.status().await.unwrap();
        most = most.max(status.depth["running"]);
        if status.depth.values().sum::<u64>() == 0 {
            break;
        }
    }
    assert!((2..=3).contains(&most), "{most}");
    for id in &ids {
        assert_eq!(queue.job(id).await.unwrap().unwrap().state, JobState::Done);
    }
}

#[tokio::test]
async fn three_machines_share_three_hundred_jobs_and_each_ends_once() {
    let server = RedisServer::start();
    let homes: Vec<Home> = ["studio", "laptop", "mini"]
        .map(|name| member(name, &server.url()).with("DARKMUX_RUNNER_SLOTS", "20"))
        .into();
    let daemons: Vec<Daemon> = homes.iter().map(Daemon::start).collect();
    let queue = queue(&server.url());
    let ledger = homes[0].path().join("ledger");
    let mut ids = Vec::new();
    for number in 0..300 {
        let seconds = f64::from(10 + number % 21) / 10.0;
        let script = format!("sleep {seconds}; echo {number} >>{}", ledger.display());
        ids.push(publish(&queue, &format!("job-{number}"), &script).await);
    }
    let mut machines = std::collections::BTreeMap::<String, usize>::new();
    for id in &ids {
        let view = until(&queue, id, "its end", |view| view.state.is_final()).await;
        assert_eq!((view.state, view.attempt), (JobState::Done, 1), "{view:?}");
        *machines.entry(view.machine.unwrap()).or_default() += 1;
    }
    assert_eq!(machines.len(), 3, "{machines:?}");
    assert!(machines.values().all(|jobs| *jobs >= 30), "{machines:?}");
    let ran = std::fs::read_to_string(ledger).unwrap();
    let mut numbers: Vec<u32> = ran.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
    assert_eq!(server.cli(&["SCARD", "darkmux:live"]), "0");
    assert_eq!(server.cli(&["XLEN", "darkmux:work"]), "0");
    drop(daemons);
}

#[tokio::test]
async fn a_job_that_no_machine_can_run_is_parked_with_the_reasons_until_one_can() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let (work, mut spec) = job("picky", "true");
    spec.lane.require = vec!["colour=green".to_owned()];
    queue.publish(&work, &spec).await.unwrap();
    let view = until(&queue, &spec.id, "its place", |view| view.parked.is_some()).await;
    let why = view.parked.unwrap();
    assert!(why.contains("studio: needs colour=green"), "{why}");
    let green = member("laptop", &server.url()).with("DARKMUX_RUNNER_LABELS", "colour=green");
    let _green = Daemon::start(&green);
    assert_eq!(ended(&queue, &spec.id).await.machine.as_deref(), Some("laptop"));
}

#[tokio::test]
async fn a_role_that_nobody_knows_is_a_dead_letter_and_its_publisher_is_told() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let record = r#"{"role_id":"juggler","message":"m","session_id":"old-1","timeout_seconds":60,"published_at_unix_ms":0,"published_by_machine":"oldmac","attempt":1}"#;
    server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "record", record]);
    let id = SessionId::new("old-1").unwrap();
    let view = ended(&queue, &id).await;
    assert_eq!(view.state, JobState::Dead);
    assert!(view.why.as_ref().unwrap().contains("studio: gave it back"), "{view:?}");
    let end = wait_for("the record that 1.9 looks for", || old_publisher_sees(&server, "old-1"));
    assert_eq!(
        (end["payload"]["result_class"].as_str(), end["payload"]["exit_code"].as_i64()),
        (Some("error"), Some(127))
    );
}

/// What a publisher of darkmux 1.9 does: it looks through the newest records for the end of its session.
fn old_publisher_sees(server: &RedisServer, session: &str) -> Option<serde_json::Value> {
    let entries = server.cli(&["XREVRANGE", "darkmux:flow", "+", "-", "COUNT", "10000"]);
    let records = entries.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let ends = |record: &serde_json::Value| {
        record["session_id"] == session
            && matches!(record["action"].as_str(), Some("dispatch complete" | "dispatch.complete"))
    };
    records.into_iter().find(ends)
}

#[tokio::test]
async fn a_publisher_of_1_9_sees_success_and_failure() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    for (session, script, class, code) in [("old-good", "true", "ok", 0), ("old-bad", "exit 9", "error", 9)] {
        let record = format!(
            r#"{{"target_machine":"elsewhere","role_id":"shell","message":"{script}","session_id":"{session}","runtime":"internal","timeout_seconds":60,"published_at_unix_ms":1795304012271,"published_by_machine":"oldmac","published_by_orchestrator":"claude-code","attempt":1}}"#
        );
        server.cli(&["XADD", "darkmux:work", "MAXLEN", "~", "1000", "*", "schema", "3", "record", &record]);
        let end = wait_for("the record that 1.9 looks for", || old_publisher_sees(&server, session));
        let payload = &end["payload"];
        assert_eq!(payload["result_class"], class, "{end}");
        assert_eq!(payload["exit_code"], code, "{end}");
    }
}

#[tokio::test]
async fn a_machine_with_a_fleet_key_refuses_what_is_not_signed() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    std::fs::create_dir_all(home.darkmux()).unwrap();
    std::fs::write(home.darkmux().join("fleet-key"), "ab".repeat(32)).unwrap();
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let record = r#"{"role_id":"shell","message":"true","session_id":"old-2","timeout_seconds":60,"published_at_unix_ms":0,"attempt":1}"#;
    server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "record", record]);
    let end = wait_for("the record that 1.9 looks for", || old_publisher_sees(&server, "old-2"));
    assert_eq!(end["payload"]["result_class"], "error");
    let unsigned = publish(&queue, "unsigned", "true").await;
    assert_eq!(ended(&queue, &unsigned).await.state, JobState::Dead);
    let dead = queue.dead(10).await.unwrap();
    assert!(dead.len() == 2 && dead.iter().all(|letter| letter.why.contains("not signed")), "{dead:?}");
    let signed = home.run(["crew", "dispatch", "shell", "--fleet", "-m", "echo signed"]);
    assert!(signed.status.success(), "{}", crate::support::describe(&signed));
}

#[tokio::test]
async fn a_session_of_the_users_own_is_no_job_of_that_id() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    home.ok(["crew", "dispatch", "shell", "--session-id", "build", "-m", "echo mine"]);
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let id = publish(&queue, "build", "echo theirs").await;
    let view = until(&queue, &id, "the refusal", |view| !view.declined.is_empty()).await;
    assert!(view.declined["studio"].contains("another session"), "{view:?}");
    assert_eq!(output(&queue, &id).await, "");
    let other = member("laptop", &server.url());
    let _other = Daemon::start(&other);
    assert_eq!(ended(&queue, &id).await.machine.as_deref(), Some("laptop"));
    assert_eq!(output(&queue, &id).await.trim(), "theirs");
}

#[tokio::test]
async fn a_job_whose_time_to_start_is_over_ends_dead() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let (work, mut spec) = job("late", "true");
    spec.not_after_ms = 1;
    queue.publish(&work, &spec).await.unwrap();
    let view = ended(&queue, &spec.id).await;
    assert_eq!(view.state, JobState::Dead);
    assert!(view.why.unwrap().contains("time to start"));
}

#[tokio::test]
async fn a_second_attempt_here_outlives_the_late_end_of_the_first() {
    let server = RedisServer::start();
    let proxy = crate::support::FaultProxy::before(server.port());
    let home = member("studio", &proxy.url());
    let mut daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1", "echo $DARKMUX_ATTEMPT; sleep 6; echo end").await;
    running(&queue, &id).await;
    // Cut off for longer than the lease; nobody else is there to take the job but this machine, later.
    proxy.set(crate::support::Fault::BlackHole);
    let observer = member("watcher", &server.url()).with("DARKMUX_RUNNER", "false");
    let _observer = Daemon::start(&observer);
    until(&queue, &id, "its loss", |view| view.state != JobState::Running).await;
    proxy.set(crate::support::Fault::None);
    let view = until(&queue, &id, "the second attempt", |view| view.attempt == 2).await;
    assert_eq!(view.machine.as_deref(), Some("studio"));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    daemon.process.kill();
    daemon = Daemon::start(&home);
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.attempt), (JobState::Done, 2), "{view:?}");
    drop(daemon);
}
