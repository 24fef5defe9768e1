//! The verbs of jobs and of the queue, against a real Redis; where something must run, a real daemon runs it.

use std::time::{Duration, Instant};

use darkmux::model::SessionId;
use darkmux::wire::{JobResult, Lane};
use darkmux::work::{JobLog, Outcome, Queue, Reconciler, Seat};
use serde_json::Value;

use crate::support::queue::{job, machine, queue, seat, take};
use crate::support::runner::{alive, member};
use crate::support::{BIN, Daemon, Home, RedisServer, describe, wait_for};

fn home(server: &RedisServer) -> Home {
    Home::new().with("DARKMUX_REDIS_URL", server.url())
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn publish(queue: &Queue, id: &str, name: Option<&str>) -> SessionId {
    let (job, mut spec) = job(id, &format!("echo {id}\nsecond line"));
    spec.name = name.map(str::to_owned);
    queue.publish(&job, &spec).await.unwrap();
    spec.id
}

/// Claims the next job and ends it.
async fn end(queue: &Queue, seat: &Seat, outcome: Outcome, code: i32) -> SessionId {
    let claim = take(queue, seat).await;
    let mut log = JobLog::open(queue, &claim.id, claim.attempt, 100_000).await.unwrap();
    log.append(0, b"out of \x1b[1mit\x1b[0m\r\n").await.unwrap();
    let result = JobResult {
        schema: 1,
        machine: Some(seat.machine.clone()),
        attempt: claim.attempt,
        exit_code: Some(code),
        output_bytes: 18,
        ..JobResult::default()
    };
    queue.finish(&claim.id, &claim.token, outcome, (&result, 0)).await.unwrap();
    claim.id
}

#[tokio::test]
async fn the_list_shows_what_runs_and_the_newest_others() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    let empty = home.run(["job", "ls"]);
    assert!(empty.stdout.is_empty() && stderr(&empty).contains("no jobs"), "{}", describe(&empty));
    assert_eq!(home.json(["job", "ls", "--json"])["jobs"], serde_json::json!([]));
    let me = seat("studio");
    for n in 0..60 {
        publish(&queue, &format!("old-{n:02}"), None).await;
        let outcome = if n % 2 == 0 { Outcome::Done } else { Outcome::Failed };
        end(&queue, &me, outcome, n % 2).await;
    }
    publish(&queue, "run-1", Some("na\u{1b}me")).await;
    let _claim = take(&queue, &seat("laptop")).await;
    publish(&queue, "wait-1", None).await;
    let text = home.ok(["job", "ls"]);
    assert_eq!(text.lines().count(), 1 + 2 + 50, "{text}");
    let row = text.lines().find(|line| line.starts_with("run-1")).unwrap();
    for part in ["running", "shell", "laptop", "na\\u{1b}me", "echo run-1"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let count = |args: &[&str]| {
        let output = home.command(BIN).args(["job", "ls", "--json"]).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", describe(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["jobs"].as_array().unwrap().len()
    };
    assert_eq!((count(&[]), count(&["--all"]), count(&["-n", "7"])), (52, 62, 7));
    assert_eq!((count(&["--state", "failed", "--all"]), count(&["--state", "queued"])), (30, 1));
    assert_eq!((count(&["--machine", "laptop"]), count(&["--machine", "studio"])), (1, 50));
    assert_eq!((count(&["--role", "shell", "--state", "running"]), count(&["--role", "coder"])), (1, 0));
    assert_eq!(home.run(["job", "ls", "--state", "lost"]).status.code(), Some(2));
    // However many wait, the list stays short, and what runs is in it.
    for n in 0..120 {
        publish(&queue, &format!("more-{n:03}"), None).await;
    }
    let document = home.json(["job", "ls", "--json"]);
    let listed = document["jobs"].as_array().unwrap();
    assert_eq!((listed.len(), &document["left_out"]), (1 + 100 + 50, &21.into()));
    assert!(listed.iter().any(|job| job["id"] == "run-1"));
    assert!(stderr(&home.run(["job", "ls"])).contains("21 more wait"));
    assert_eq!((count(&["--all"]), count(&["--state", "queued"])), (182, 121));
}

#[tokio::test]
async fn a_job_is_shown_by_id_name_beginning_and_end() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    let me = seat("studio");
    publish(&queue, "alpha-12345678", Some("nightly")).await;
    publish(&queue, "alpha-87654321", None).await;
    end(&queue, &me, Outcome::Failed, 3).await;
    for name in ["alpha-12345678", "nightly", "alpha-1", "5678", "1234"] {
        let document = home.json(["job", "show", name, "--json"]);
        assert_eq!(document["job"]["id"], "alpha-12345678", "{name}");
    }
    let text = home.ok(["job", "show", "nightly"]);
    for part in ["ended with exit code 3", "by tester", "studio", "nightly", "failed", "18 B", "ATTEMPT"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(home.ok(["job", "show", "5678", "--message"]), "echo alpha-12345678\nsecond line");
    for (name, says) in [("alpha", "by its id"), ("678", "no job"), ("nobody", "job ls"), ("", "no job")] {
        for verb in ["show", "wait", "logs", "cancel", "retry", "explain"] {
            let output = home.run(["job", verb, name]);
            assert_eq!(output.status.code(), Some(1), "{verb} {name}: {}", describe(&output));
            assert!(stderr(&output).contains(says), "{verb} {name}: {}", describe(&output));
        }
    }
}

#[tokio::test]
async fn waiting_ends_with_the_jobs_status_or_at_its_time() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    let me = seat("studio");
    publish(&queue, "job-1", None).await;
    let over = home.run(["job", "wait", "job-1", "--timeout", "200ms"]);
    assert_eq!(over.status.code(), Some(124), "{}", describe(&over));
    assert!(stderr(&over).contains("nothing was ended"), "{}", describe(&over));
    let over = home.run(["job", "wait", "job-1", "--timeout", "200ms", "--json"]);
    let document: Value = serde_json::from_slice(&over.stdout).unwrap();
    assert_eq!((&document["time_over"], &document["job"]["state"]), (&true.into(), &"queued".into()));
    end(&queue, &me, Outcome::Failed, 5).await;
    let ended = home.run(["job", "wait", "job-1"]);
    assert_eq!(ended.status.code(), Some(5), "{}", describe(&ended));
    assert!(ended.stdout.is_empty() && stderr(&ended).contains("exit code 5"), "{}", describe(&ended));
    let ended = home.run(["job", "wait", "job-1", "--json"]);
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((ended.status.code(), &document["job"]["state"]), (Some(5), &"failed".into()));
    assert_eq!(document["output"], "out of \u{1b}[1mit\u{1b}[0m\n");
    // What never ran has a status of its own.
    publish(&queue, "job-2", None).await;
    home.ok(["job", "cancel", "job-2", "--reason", "not needed"]);
    let cancelled = home.run(["job", "wait", "job-2"]);
    assert_eq!(cancelled.status.code(), Some(130), "{}", describe(&cancelled));
    assert!(stderr(&cancelled).contains("not needed"), "{}", describe(&cancelled));
    publish(&queue, "job-3", None).await;
    let claim = take(&queue, &me).await;
    queue.refuse(&claim.id, &claim.token, "its signature is wrong").await.unwrap();
    let refused = home.run(["job", "wait", "job-3"]);
    assert_eq!(refused.status.code(), Some(126), "{}", describe(&refused));
    assert!(stderr(&refused).contains("its signature is wrong"), "{}", describe(&refused));
}

#[test]
fn output_is_read_from_any_machine_and_in_full_on_its_own() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url()).with("DARKMUX_RUNNER_LOG_BYTES", "65536");
    let daemon = Daemon::start(&studio);
    let here = home(&server);
    let script = "seq 1 60000; sleep 1; echo end";
    let id = here.ok(["crew", "dispatch", "shell", "--fleet", "-d", "-m", script]);
    let id = id.trim();
    let followed = here.run(["job", "logs", "-f", id]);
    assert_eq!(followed.status.code(), Some(0), "{}", stderr(&followed));
    assert!(followed.stdout.ends_with(b"60000\nend\n"));
    let elsewhere = here.run(["job", "logs", id]);
    assert!(stderr(&elsewhere).contains("no longer kept"), "{}", stderr(&elsewhere));
    assert!(elsewhere.stdout.len() < 100_000 && elsewhere.stdout.ends_with(b"60000\nend\n"));
    let all = crate::support::lines(1..=60_000) + "end\n";
    assert!(studio.ok(["job", "logs", id]) == all, "the machine that ran it has all of it");
    // It stays readable when that machine, or Redis, is gone.
    drop(daemon);
    assert!(here.ok(["job", "logs", id]).ends_with("60000\nend\n"));
    drop(server);
    assert!(studio.ok(["job", "logs", id]) == all, "the machine that ran it needs no Redis");
    assert_eq!(here.run(["job", "logs", id]).status.code(), Some(3));
}

#[tokio::test]
async fn cancel_and_retry_say_what_became_of_it() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    let me = seat("studio");
    for id in ["job-1", "job-2"] {
        publish(&queue, id, None).await;
    }
    let claim = take(&queue, &me).await;
    let output = home.run(["job", "cancel", "job-1", "job-2", "job-3"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = stderr(&output);
    assert!(said.contains("job-1 is being ended") && said.contains("job-2 is cancelled"), "{said}");
    assert!(said.contains("no job `job-3`"), "{said}");
    let again = home.run(["job", "cancel", "job-2"]);
    assert!(again.status.success() && stderr(&again).contains("had ended already (cancelled)"));
    let live = home.run(["job", "retry", "job-1"]);
    assert_eq!(live.status.code(), Some(1), "{}", describe(&live));
    assert!(stderr(&live).contains("has not ended"), "{}", describe(&live));
    home.ok(["job", "retry", "job-2"]);
    assert_eq!(home.json(["job", "show", "job-2", "--json"])["job"]["state"], "queued");
    drop(claim);
}

#[tokio::test]
async fn explain_names_every_machine_and_its_reason() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    alive(&server, "studio", |beat| beat.labels = vec!["gpu".into()]);
    alive(&server, "laptop", |_| {});
    alive(&server, "oldmac", |beat| (beat.runner, beat.darkmux_version) = (None, None));
    home.ok(["fleet", "add", "attic", "--address", "127.0.0.1:9"]);
    let (first, mut spec) = job("job-1", "true");
    spec.lane = Lane { require: vec!["room=attic".into()], ..Lane::default() };
    queue.publish(&first, &spec).await.unwrap();
    let (second, mut spec) = job("job-2", "true");
    spec.lane = Lane { require: vec!["room=attic".into()], ..Lane::default() };
    queue.publish(&second, &spec).await.unwrap();
    let text = home.ok(["job", "explain", "job-2"]);
    for part in ["ahead of it", "needs room=attic", "no sign of life", "runs darkmux 1.9"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let document = home.json(["job", "explain", "job-2", "--json"]);
    assert_eq!((&document["ahead"], &document["machines"][0]["verdict"]), (&1.into(), &"later".into()));
    // One that can, and one that gave it back.
    home.ok(["job", "cancel", "job-1", "job-2"]);
    publish(&queue, "job-3", None).await;
    let laptop = seat("laptop");
    let claim = take(&queue, &laptop).await;
    queue.decline(&laptop, &claim, "no model").await.unwrap();
    home.ok(["queue", "pause"]);
    let document = home.json(["job", "explain", "job-3", "--json"]);
    let row = |name: &str| {
        let rows = document["machines"].as_array().unwrap();
        rows.iter().find(|row| row["machine"] == name).unwrap().clone()
    };
    assert_eq!((&row("studio")["verdict"], &document["paused"]), (&"later".into(), &true.into()));
    let reasons = row("laptop")["reasons"].to_string();
    assert!(row("laptop")["verdict"] == "no" && reasons.contains("refused it: no model"), "{reasons}");
    home.ok(["queue", "resume"]);
    let text = home.ok(["job", "explain", "job-3"]);
    assert!(text.contains("waits for studio, which can run it now"), "{text}");
}

#[tokio::test]
async fn dead_letters_are_listed_requeued_and_dropped() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    let me = seat("studio");
    assert_eq!(home.json(["job", "dead", "--json"])["dead"], serde_json::json!([]));
    for id in ["job-1", "job-2"] {
        publish(&queue, id, None).await;
        let claim = take(&queue, &me).await;
        queue.refuse(&claim.id, &claim.token, "bad\u{1b}[2J").await.unwrap();
    }
    server.cli(&[
        "XADD",
        "darkmux:dead",
        "*",
        "entry",
        "1-1",
        "why",
        "it is no job",
        "raw",
        "{garb\u{1b}age",
    ]);
    let text = home.ok(["job", "dead"]);
    assert!(text.contains("job-1") && text.contains("{garb\\u{1b}age") && !text.contains('\u{1b}'), "{text}");
    let letters = home.json(["job", "dead", "--json"])["dead"].clone();
    let garbage = letters[0]["entry"].as_str().unwrap().to_owned();
    home.ok(["job", "dead", "--requeue", "job-1"]);
    assert_eq!(home.json(["job", "show", "job-1", "--json"])["job"]["state"], "queued");
    assert_eq!(home.run(["job", "dead", "--drop", "job-2"]).status.code(), Some(2));
    home.ok(["job", "dead", "--drop", "job-2", "--yes"]);
    let nothing = home.run(["job", "dead", "--requeue", &garbage]);
    assert_eq!(nothing.status.code(), Some(1), "{}", describe(&nothing));
    home.ok(["job", "dead", "--drop", &garbage, "--yes"]);
    assert_eq!(home.json(["job", "dead", "--json"])["dead"], serde_json::json!([]));
    let gone = home.run(["job", "dead", "--requeue", "job-2"]);
    assert!(stderr(&gone).contains("no dead letter"), "{}", describe(&gone));
}

#[tokio::test]
async fn the_queue_is_paused_drained_and_looked_at() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    publish(&queue, "job-1", None).await;
    publish(&queue, "job-2", None).await;
    let _claim = take(&queue, &seat("studio")).await;
    home.ok(["queue", "pause"]);
    for verb in ["drain", "undrain"] {
        let unknown = home.run(["fleet", verb, "lapto"]);
        assert_eq!(unknown.status.code(), Some(2), "{}", describe(&unknown));
        assert!(!stderr(&unknown).contains("did you mean"), "{}", describe(&unknown));
    }
    alive(&server, "laptop", |_| {});
    let unknown = home.run(["fleet", "drain", "lapto"]);
    assert!(stderr(&unknown).contains("(did you mean `laptop`?)"), "{}", describe(&unknown));
    assert!(!queue.gates(&machine("lapto")).await.unwrap().drained);
    assert!(stderr(&unknown).contains("--force"), "{}", describe(&unknown));
    // One that is off, and that nobody knows here, is drained for when it comes.
    home.ok(["fleet", "drain", "--force", "attic"]);
    assert!(queue.gates(&machine("attic")).await.unwrap().drained);
    home.ok(["fleet", "undrain", "attic"]);
    home.ok(["fleet", "drain", "laptop"]);
    let status = home.json(["queue", "status", "--json"]);
    assert_eq!((&status["paused"], &status["drained"][0]), (&true.into(), &"laptop".into()));
    assert_eq!((&status["depth"]["queued"], &status["running"]["studio"][0]), (&1.into(), &"job-1".into()));
    let text = home.ok(["queue", "status"]);
    for part in ["1 queued", "1 running", "paused", "undrain laptop", "studio runs job-1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let doctor = home.run(["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "queue").unwrap();
    assert_eq!((&check["finding"], &check["fix"]), (&"paused".into(), &"darkmux queue resume".into()));
    home.ok(["queue", "resume"]);
    home.ok(["fleet", "undrain", "laptop"]);
    assert!(!queue.gates(&machine("laptop")).await.unwrap().drained);
    assert_eq!(home.json(["queue", "status", "--json"])["paused"], false);
    assert_eq!(home.run(["fleet", "drain", "Bad Id"]).status.code(), Some(2));
}

#[tokio::test]
async fn the_check_of_the_queue_sees_a_group_that_is_gone() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    publish(&queue, "job-1", None).await;
    assert!(queue.health().await.unwrap().without_group.is_empty());
    // Held by a 1.9 runner that went away, an hour ago.
    server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "record", "{}"]);
    server.cli(&["XREADGROUP", "GROUP", "darkmux-runners", "oldmac", "STREAMS", "darkmux:work", ">"]);
    let pending = server.cli(&["XPENDING", "darkmux:work", "darkmux-runners", "-", "+", "1"]);
    let entry = pending.lines().next().unwrap().to_owned();
    let idle = ["XCLAIM", "darkmux:work", "darkmux-runners", "oldmac", "0", &entry, "IDLE", "3600000"];
    server.cli(&idle);
    let health = queue.health().await.unwrap();
    assert_eq!((health.orphans.len(), health.orphans[0].consumer.as_str()), (1, "oldmac"));
    server.cli(&["XGROUP", "DESTROY", "darkmux:work", "darkmux-runners"]);
    assert_eq!(queue.health().await.unwrap().without_group, ["darkmux:work"]);
    let report: Value = serde_json::from_slice(&home.run(["doctor", "--json"]).stdout).unwrap();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "queue").unwrap();
    assert_eq!(check["state"], "fail");
}

#[test]
fn without_redis_every_verb_says_so() {
    let home = Home::new();
    for args in [
        &["job", "ls"][..],
        &["job", "show", "x"],
        &["job", "wait", "x"],
        &["job", "logs", "x"],
        &["job", "cancel", "x"],
        &["job", "retry", "x"],
        &["job", "explain", "x"],
        &["job", "dead"],
        &["queue", "status"],
        &["queue", "pause"],
        &["queue", "resume"],
        &["fleet", "drain", "x"],
    ] {
        let output = home.command(BIN).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", describe(&output));
        assert!(stderr(&output).contains("darkmux hub up"), "{args:?}: {}", describe(&output));
    }
}

#[test]
fn a_frozen_redis_keeps_no_verb() {
    let server = RedisServer::start();
    let home = home(&server);
    home.ok(["crew", "dispatch", "shell", "--fleet", "-d", "--session-id", "job-1", "-m", "x"]);
    server.freeze();
    for args in [&["job", "ls"][..], &["job", "show", "x"], &["queue", "status"], &["job", "explain", "x"]] {
        let began = Instant::now();
        let output = home.command(BIN).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", describe(&output));
        assert!(began.elapsed() < Duration::from_secs(6), "{args:?}: {:?}", began.elapsed());
    }
    // A shell waits for completions no longer than a person does.
    let began = Instant::now();
    let mut ask = home.command(BIN);
    ask.env("COMPLETE", "fish").args(["--", "darkmux", "job", "show", ""]);
    let output = ask.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains("job-1") && output.stderr.is_empty(), "{text}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    server.thaw();
}

#[tokio::test]
async fn jobs_complete_by_id_and_name() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    publish(&queue, "job-1", Some("nightly")).await;
    let mut ask = home.command(BIN);
    ask.env("COMPLETE", "fish").args(["--", "darkmux", "job", "wait", ""]);
    let text = String::from_utf8(ask.output().unwrap().stdout).unwrap();
    assert!(text.contains("job-1\tqueued shell") && text.contains("nightly"), "{text}");
}

#[tokio::test]
async fn jobs_and_the_queue_are_served_without_words() {
    let mut server = RedisServer::start();
    let queue = queue(&server.url());
    let alone = Home::new();
    let without = Daemon::start(&alone);
    let get = |daemon: &Daemon, path: &str| {
        let output = std::process::Command::new("curl")
            .args(["-s", "-w", "\n%{http_code}", &daemon.url(path)])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, code) = text.rsplit_once('\n').unwrap();
        (code.to_owned(), serde_json::from_str::<Value>(body).unwrap_or_default())
    };
    assert_eq!(get(&without, "/jobs").1["jobs"], serde_json::json!([]));
    assert_eq!(get(&without, "/queue"), ("200".to_owned(), Value::Null));
    assert_eq!(get(&without, "/jobs/x"), ("200".to_owned(), Value::Null));
    let home = home(&server).with("DARKMUX_RUNNER", "false");
    let daemon = Daemon::start(&home);
    publish(&queue, "job-1", Some("nightly")).await;
    let claim = take(&queue, &seat("studio")).await;
    queue.refuse(&claim.id, &claim.token, "no").await.unwrap();
    server.cli(&["XADD", "darkmux:dead", "*", "entry", "1-1", "why", "it is no job", "raw", "secret words"]);
    publish(&queue, "job-2", None).await;
    let jobs = wait_for("both jobs", || {
        let (_, body) = get(&daemon, "/jobs");
        (body["jobs"].as_array().is_some_and(|jobs| jobs.len() == 2)).then_some(body)
    });
    assert!(!jobs.to_string().contains("echo job-"), "{jobs}");
    assert_eq!((&jobs["jobs"][0]["id"], &jobs["jobs"][1]["state"]), (&"job-2".into(), &"dead".into()));
    let (code, one) = get(&daemon, "/jobs/job-1");
    assert_eq!((code.as_str(), &one["job"]["name"]), ("200", &"nightly".into()));
    assert_eq!(
        (get(&daemon, "/jobs/nobody").0, get(&daemon, "/jobs/Bad%20Id").0),
        ("404".into(), "400".into())
    );
    let status = wait_for("the queue", || {
        let (_, body) = get(&daemon, "/queue");
        (body["dead"] == 2).then_some(body)
    });
    assert_eq!((&status["depth"]["queued"], &status["dead_letters"][1]["job"]), (&1.into(), &"job-1".into()));
    assert!(!status.to_string().contains("secret words"), "{status}");
    server.kill();
    for path in ["/jobs", "/queue", "/jobs/job-1"] {
        let body = wait_for("a refusal", || {
            let (code, body) = get(&daemon, path);
            (code == "503").then_some(body)
        });
        assert_eq!(body["error"]["code"], "redis_unreachable", "{path}");
    }
}

#[tokio::test]
async fn the_output_of_every_attempt_is_told_apart_and_can_be_had_alone() {
    let server = RedisServer::start();
    let (queue, home) = (queue(&server.url()), home(&server));
    let (work, mut spec) = job("job-1", "true");
    spec.retries = 1;
    queue.publish(&work, &spec).await.unwrap();
    let me = seat("studio");
    for (attempt, outcome) in [(1, Outcome::Failed), (2, Outcome::Done)] {
        let claim = take(&queue, &me).await;
        let mut log = JobLog::open(&queue, &claim.id, attempt, 100_000).await.unwrap();
        log.append(0, format!("a{attempt}\nb{attempt}\nc{attempt}").as_bytes()).await.unwrap();
        let result = JobResult { attempt, exit_code: Some(0), output_bytes: 8, ..JobResult::default() };
        queue.finish(&claim.id, &claim.token, outcome, (&result, 1)).await.unwrap();
        server.cli(&["HSET", "darkmux:job:job-1", "due", "1"]);
        let mut observer = Reconciler::new(
            queue.clone(),
            darkmux::util::Clock::System,
            ("flow".to_owned(), "observer".to_owned()),
        );
        if attempt == 1 {
            observer.look().await.unwrap();
        }
    }
    let both = home.run(["job", "logs", "job-1"]);
    assert_eq!(both.stdout, b"a1\nb1\nc1a2\nb2\nc2", "{}", describe(&both));
    assert!(stderr(&both).contains("[attempt 2]"), "{}", describe(&both));
    let only = |args: &[&str]| {
        let output = home.command(BIN).args(["job", "logs", "job-1"]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(only(&["--attempt", "1"]), "a1\nb1\nc1");
    assert_eq!(only(&["--last-attempt"]), "a2\nb2\nc2");
    assert_eq!(only(&["-n", "2"]), "b2\nc2");
    assert_eq!(only(&["-n", "1", "--attempt", "1"]), "c1");
    assert_eq!(only(&["-n", "9", "--attempt", "1", "-f"]), "a1\nb1\nc1");
    assert_eq!(only(&["-n", "0"]), "");
    let none = home.run(["job", "logs", "job-1", "--attempt", "3"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("has no attempt 3"), "{}", describe(&none));
    for follow in [&["--json"][..], &["-f", "--json"]] {
        let text = only(follow);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said = |line: &Value| line["output"].as_str().map(str::to_owned);
        assert_eq!(lines.iter().filter_map(said).collect::<String>(), "a1\nb1\nc1a2\nb2\nc2");
        assert_eq!(
            (&lines[0]["attempt"], &lines[2]["attempt"], &lines[3]["from"]),
            (&1.into(), &2.into(), &0.into())
        );
        let last = lines.last().unwrap();
        assert_eq!((&last["job"]["id"], &last["job"]["state"]), (&"job-1".into(), &"done".into()));
        assert!(lines.iter().all(|line| line["schema"] == 1), "{text}");
    }
}
