//! `crew dispatch` to the fleet: real daemons run what was published, and the caller sees it from where it is.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use darkmux::model::SessionId;
use serde_json::Value;

use crate::support::queue::{queue, seat, take};
use crate::support::runner::{alive, member};
use crate::support::{Daemon, Fault, FaultProxy, Home, RedisServer, Running, Tty, describe, lines, wait_for};

/// A machine that publishes and runs nothing.
fn publisher(url: &str) -> Home {
    Home::new()
        .with("DARKMUX_REDIS_URL", url)
        .with("DARKMUX_QUEUE_LEASE", "1s")
        .with("DARKMUX_QUEUE_BEAT", "200ms")
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn records(home: &Home, action: &str) -> Vec<Value> {
    let text = home.ok(["flow", "tail", "--json"]);
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["action"] == action).collect()
}

#[test]
fn a_job_runs_elsewhere_and_its_output_and_status_come_here() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let here = publisher(&server.url());
    let script = "printf 'one\\ntwo\\r\\nthree'; pwd >&2; exit 7";
    let output = here.run(["crew", "dispatch", "shell", "--fleet", "-m", script]);
    assert_eq!(output.status.code(), Some(7), "{}", describe(&output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.starts_with("one\ntwo\r\nthree"), "{text:?}");
    let said = stderr(&output);
    assert!(said.contains(" on studio\n") && said.contains("ended with exit code 7"), "{said}");
    let route = records(&here, "dispatch route").remove(0);
    assert_eq!(route["payload"], serde_json::json!({ "decision": "queued" }));
    assert_eq!((&route["handle"], &route["source"]), (&"shell".into(), &"crew_dispatch".into()));
    let json = here.run(["crew", "dispatch", "shell", "--fleet", "--json", "-m", "echo hi; exit 3"]);
    assert_eq!(json.status.code(), Some(3), "{}", describe(&json));
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&document["output"], &document["output_truncated"]), (&"hi\n".into(), &false.into()));
    assert_eq!(
        (&document["job"]["state"], &document["job"]["machine"]),
        (&"failed".into(), &"studio".into())
    );
    assert_eq!(document["job"]["published_by"], "testbox");
}

#[test]
fn a_job_for_an_idle_machine_waits_for_no_timer() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let here = publisher(&server.url());
    here.ok(["crew", "dispatch", "shell", "--fleet", "-m", "true"]);
    // Its first job makes a lane; the next ones find it.
    for lane in [["--pin", "studio"], ["--require", "cores=1"], ["--priority", "high"], ["--pin", "studio"]] {
        for _ in 0..3 {
            let [flag, value] = lane;
            let job =
                here.json(["crew", "dispatch", "shell", "--fleet", flag, value, "--json", "-m", "true"]);
            let at = |key: &str| job["job"][key].as_u64().unwrap_or_else(|| panic!("{key}: {job:#}"));
            let waited = at("started_ms") - at("queued_ms");
            let started: jiff::Timestamp =
                job["job"]["started_at"].as_str().expect("a time").parse().unwrap();
            assert_eq!(started.as_millisecond(), i64::try_from(at("started_ms")).unwrap());
            // A bell that does not hear of the job comes to it after two seconds.
            assert!(waited < 1000, "{lane:?} waited {waited} ms");
        }
    }
}

#[test]
fn who_names_a_job_as_a_session_is_told_where_it_runs() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let here = publisher(&server.url());
    let job = |name: &str, message: &str| {
        let id = here.ok(["crew", "dispatch", "shell", "--fleet", "-d", "--name", name, "-m", message]);
        id.trim().to_owned()
    };
    let running = job("long", "sleep 100");
    wait_for("it to run", || {
        (here.json(["job", "show", &running, "--json"])["job"]["state"] == "running").then_some(())
    });
    let said = |verb: &str, text: &str| {
        let output = here.run(["session", verb, text]);
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        stderr(&output)
    };
    let attach = format!("the job runs on studio; `darkmux session attach {running}@studio`");
    assert!(said("attach", &running).contains(&attach), "{}", said("attach", &running));
    assert!(said("attach", "long").contains(&attach), "by its name");
    assert!(said("kill", &running).contains(&format!("`darkmux job cancel {running}`")));
    assert_eq!(here.json(["job", "show", &running, "--json"])["job"]["state"], "running", "nothing was done");
    here.ok(["job", "cancel", &running]);
    let ended = || said("tail", &running).contains(&format!("ended on studio; `darkmux job logs {running}`"));
    wait_for("its end", || ended().then_some(()));
    let pinned = here.ok(["crew", "dispatch", "shell", "--pin", "nobody", "-d", "-m", "true"]);
    assert!(said("wait", pinned.trim()).contains("`darkmux job explain"), "{}", said("wait", pinned.trim()));
    assert!(said("wait", "nothing-such").contains("no session `nothing-such`; `darkmux session ls --all`"));
}

#[test]
fn without_redis_it_says_what_is_missing() {
    let home = Home::new();
    for flag in [["--machine", "studio"], ["--pin", "studio"], ["--require", "gpu"], ["--retries", "1"]] {
        let output = home.run(["crew", "dispatch", "shell", flag[0], flag[1], "-m", "true"]);
        assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
        assert!(stderr(&output).contains("darkmux fleet join"), "{}", describe(&output));
    }
}

#[test]
fn a_redis_that_is_away_accepts_nothing_within_three_seconds() {
    let server = RedisServer::start();
    let here = publisher(&server.url());
    let dispatch = || {
        let began = Instant::now();
        let output = here.run(["crew", "dispatch", "shell", "--fleet", "-d", "-m", "true"]);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
        assert!(stderr(&output).contains("not accepted"), "{}", describe(&output));
        assert!(output.stdout.is_empty());
    };
    server.freeze();
    dispatch();
    server.thaw();
    assert_eq!(server.cli(&["SCARD", "darkmux:live"]), "0");
    drop(server);
    dispatch();
    let began = Instant::now();
    assert_eq!(here.run(["job", "ls"]).status.code(), Some(3));
    assert_eq!(here.run(["queue", "status"]).status.code(), Some(3));
    assert!(began.elapsed() < Duration::from_secs(4));
    assert!(records(&here, "dispatch route").is_empty());
}

#[test]
fn this_machine_by_name_runs_here_without_redis() {
    let home = Home::new();
    assert_eq!(home.ok(["crew", "dispatch", "shell", "--machine", "testbox", "-m", "echo here"]), "here\n");
    let route = records(&home, "dispatch route").remove(0);
    assert_eq!(route["payload"], serde_json::json!({ "decision": "local", "target_machine": "testbox" }));
    assert!(route["session_id"].as_str().unwrap().starts_with("shell-"));
}

#[test]
fn another_machine_takes_what_its_target_does_not() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let here = publisher(&server.url());
    alive(&server, "ghost", |_| {});
    let output = here.run(["crew", "dispatch", "shell", "--machine", "ghost", "-m", "echo done"]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(output.stdout, b"done\n");
    assert!(stderr(&output).contains("not on ghost"), "{}", describe(&output));
    let route = records(&here, "dispatch route").remove(0);
    assert_eq!(route["payload"], serde_json::json!({ "decision": "pinned", "target_machine": "ghost" }));
    let job = here.json(["job", "show", route["session_id"].as_str().unwrap(), "--json"]);
    assert_eq!(job["job"]["spec"]["first"], serde_json::json!(["ghost"]));
    assert_eq!(job["job"]["result"]["details"]["target_machine"], "ghost");
    // A machine without a sign of life gets no head start.
    let output = here.run(["crew", "dispatch", "shell", "--machine", "nowhere", "-d", "-m", "true"]);
    assert!(stderr(&output).contains("nowhere shows no sign of life"), "{}", describe(&output));
    let id = String::from_utf8(output.stdout).unwrap();
    let job = here.json(["job", "show", id.trim(), "--json"]);
    assert_eq!(job["job"]["spec"]["first"], serde_json::json!([]));
}

#[test]
fn everything_that_is_asked_for_is_published() {
    let server = RedisServer::start();
    let here = publisher(&server.url()).with("DARKMUX_ORCHESTRATOR", "claude-code");
    alive(&server, "studio", |beat| beat.labels = vec!["fast".to_owned()]);
    alive(&server, "laptop", |_| {});
    let output = here.run([
        "crew",
        "dispatch",
        "shell",
        "-d",
        "--require",
        "room=attic",
        "--require",
        "arch=arm64",
        "--prefer",
        "fast",
        "--retries",
        "2",
        "--priority",
        "high",
        "--delay",
        "1h",
        "--key",
        "k1",
        "--timeout",
        "90s",
        "--name",
        "nightly",
        "--session-id",
        "job-1",
        "--workdir",
        "/srv/x",
        "-m",
        "true",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(output.stdout, b"job-1\n");
    assert!(stderr(&output).contains("published; not waiting (session_id=job-1)"));
    let job = &here.json(["job", "show", "nightly", "--json"])["job"];
    let spec = &job["spec"];
    assert_eq!(job["state"], "waiting");
    assert_eq!(spec["lane"]["require"], serde_json::json!(["arch=aarch64", "room=attic"]));
    assert_eq!((&spec["lane"]["priority"], &spec["retries"]), (&"high".into(), &2.into()));
    assert_eq!((&spec["on_loss"], &spec["delay_ms"]), (&"rerun".into(), &3_600_000.into()));
    assert_eq!((&spec["timeout_ms"], &spec["key"]), (&90_000.into(), &"k1".into()));
    assert_eq!(spec["first"], serde_json::json!(["studio"]));
    let record: Value = serde_json::from_str(&server.cli(&["HGET", "darkmux:job:job-1", "record"])).unwrap();
    assert_eq!((&record["workdir"], &record["timeout_seconds"]), (&"/srv/x".into(), &90.into()));
    assert_eq!(record["published_by_orchestrator"], "claude-code");
    let payload = &records(&here, "dispatch route")[0]["payload"];
    assert_eq!((&payload["decision"], &payload["priority"]), (&"queued".into(), &"high".into()));
    assert_eq!(payload["prefer"], serde_json::json!(["fast"]));
    assert!(here.darkmux().join("queue/published/job-1.json").exists());
    // The same key is the same job.
    let again = here.run(["crew", "dispatch", "shell", "-d", "--key", "k1", "-m", "other"]);
    assert_eq!(again.stdout, b"job-1\n", "{}", describe(&again));
    assert_eq!(records(&here, "dispatch route").len(), 1);
    // A name means one job.
    let taken = here.run(["crew", "dispatch", "shell", "-d", "--fleet", "--name", "nightly", "-m", "x"]);
    assert_eq!(taken.status.code(), Some(2), "{}", describe(&taken));
}

#[test]
fn bad_words_publish_nothing() {
    let server = RedisServer::start();
    let here = publisher(&server.url());
    alive(&server, "studio", |_| {});
    let large = here.path().join("large");
    std::fs::write(&large, "x".repeat(262_145)).unwrap();
    let large = large.display().to_string();
    for (args, code, says) in [
        (vec!["shell", "--fleet", "-i", "-m", "x"], 2, "this machine alone"),
        (vec!["shell", "--require", "ram", "-m", "x"], 2, "ram=32G"),
        (vec!["shell", "--prefer", "a b", "-m", "x"], 2, "a key is"),
        (vec!["shell", "--pin", "Bad Id", "-m", "x"], 2, "machine id"),
        (vec!["shell", "--machine", "Bad Id", "-m", "x"], 2, "machine id"),
        (vec!["shell", "--pin", "a", "--machine", "b", "-m", "x"], 2, "cannot be used"),
        (vec!["shell", "--priority", "urgent", "-m", "x"], 2, "low, normal or high"),
        (vec!["shell", "--retries", "101", "-m", "x"], 2, "101"),
        (vec!["shell", "--delay", "soon", "-m", "x"], 2, "no duration"),
        (vec!["shell", "--key", "", "-m", "x"], 2, "a key has"),
        (vec!["shell", "--fleet", "--workdir", "there", "-m", "x"], 2, "absolute path"),
        (vec!["shell", "--fleet", "--message-from-file", &large], 2, "262144 bytes"),
        (vec!["farawy", "--fleet", "-m", "x"], 127, "faraway"),
        (vec!["nobody-has-it", "--fleet", "-m", "x"], 127, "nobody-has-it"),
        (vec!["../x", "--fleet", "-m", "x"], 127, ""),
    ] {
        let mut words = vec!["crew", "dispatch"];
        words.extend(args);
        let output = here.command(crate::support::BIN).args(&words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", describe(&output));
        assert!(stderr(&output).contains(says), "{words:?}: {}", describe(&output));
    }
    assert_eq!(server.cli(&["EXISTS", "darkmux:live"]), "0");
    // A role that is unknown here and known there is fine.
    let output = here.run(["crew", "dispatch", "faraway", "--fleet", "-d", "-m", "x"]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
}

#[test]
fn a_full_queue_accepts_nothing() {
    let server = RedisServer::start();
    let here = publisher(&server.url()).with("DARKMUX_QUEUE_MAX", "1");
    here.ok(["crew", "dispatch", "shell", "--fleet", "-d", "-m", "x"]);
    let output = here.run(["crew", "dispatch", "shell", "--fleet", "-d", "-m", "x"]);
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    assert!(stderr(&output).contains("not accepted: the queue is full"), "{}", describe(&output));
}

#[test]
fn a_dry_run_names_every_machine_and_publishes_nothing() {
    let server = RedisServer::start();
    let here = publisher(&server.url());
    alive(&server, "studio", |beat| beat.labels = vec!["room=attic".to_owned()]);
    alive(&server, "laptop", |_| {});
    server.cli(&["SADD", "darkmux:drained", "studio"]);
    let args = ["crew", "dispatch", "shell", "--require", "room=attic", "--dry-run", "-m", "x"];
    let text = here.ok(args);
    assert!(text.contains("undrain studio") && text.contains("needs room=attic"), "{text}");
    let json =
        here.json(["crew", "dispatch", "shell", "--require", "room=attic", "--dry-run", "--json", "-m", "x"]);
    let verdict = |name: &str| {
        let rows = json["machines"].as_array().unwrap();
        rows.iter().find(|row| row["machine"] == name).unwrap()["verdict"].clone()
    };
    assert_eq!((verdict("studio"), verdict("laptop")), ("later".into(), "no".into()));
    assert_eq!(server.cli(&["EXISTS", "darkmux:live"]), "0");
    assert!(records(&here, "dispatch route").is_empty());
}

#[test]
fn that_nobody_can_run_it_is_said_at_once_with_what_mends_it() {
    let server = RedisServer::start();
    let here = publisher(&server.url());
    let laptop = member("laptop", &server.url()).with("DARKMUX_RUNNER_ACCEPT", "other");
    let _daemon = Daemon::start(&laptop);
    let pin = ["crew", "dispatch", "shell", "--pin", "laptop"];
    let run = |more: &[&str]| here.command(crate::support::BIN).args(pin).args(more).output().unwrap();
    let mends = "on laptop: darkmux config set runner.accept other,shell";
    // A daemon that has just begun shows itself with its first beat.
    let output = wait_for("laptop to be known", || {
        let output = run(&["--dry-run", "-m", "true"]);
        (!describe(&output).contains("no machine is known")).then_some(output)
    });
    assert_eq!(output.status.code(), Some(126), "{}", describe(&output));
    assert!(describe(&output).contains(mends), "{}", describe(&output));
    // What waits goes on waiting; it is ended by its caller.
    let said = std::fs::File::create(here.path().join("said")).unwrap();
    let mut command = here.command(crate::support::BIN);
    command.args(pin).args(["--session-id", "job-1", "-m", "true"]);
    let mut waits = Running(command.stdout(Stdio::piped()).stderr(said).spawn().unwrap());
    wait_for("the words", || self::said(&here).contains(mends).then_some(()));
    wait_for("the refusal", || {
        let job = here.json(["job", "show", "job-1", "--json"])["job"].take();
        let is_back = job["state"] == "queued" && job["declined"]["laptop"].is_string();
        // A claim that was given back is no start, and the one who gave it back does not have it.
        is_back.then(|| assert!(job["machine"].is_null() && job["started_ms"].is_null(), "{job:#}"))
    });
    let text = here.ok(["job", "explain", "job-1"]);
    let row = text.lines().find(|line| line.starts_with("laptop")).expect("a row");
    assert!(row.matches("runner.accept").count() == 1 && row.contains(mends), "{text}");
    here.ok(["job", "cancel", "job-1"]);
    assert_eq!(rest(&mut waits).1, Some(130));
    let told = self::said(&here);
    assert_eq!(told.matches("runner.accept").count(), 1, "told once: {told}");
    let ended = here.json(["job", "ls", "--json"])["jobs"][0].take();
    assert!(ended["state"] == "cancelled" && ended["started_ms"].is_null(), "{ended:#}");
}

#[test]
fn a_machine_that_is_spelt_wrong_is_refused_with_the_one_that_is_meant() {
    let server = RedisServer::start();
    let here = publisher(&server.url());
    alive(&server, "laptop", |_| {});
    for flag in ["--machine", "--pin"] {
        let output = here.run(["crew", "dispatch", "shell", flag, "labtop", "-d", "-m", "true"]);
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        assert!(stderr(&output).contains("did you mean `laptop`?"), "{}", describe(&output));
    }
    assert_eq!(server.cli(&["EXISTS", "darkmux:live"]), "0");
}

/// A waiting dispatch whose output is read while it runs.
fn waiting(home: &Home, script: &str) -> Running {
    let mut command = home.command(crate::support::BIN);
    command.args([
        "crew",
        "dispatch",
        "shell",
        "--fleet",
        "--session-id",
        "job-1",
        "--retries",
        "3",
        "-m",
        script,
    ]);
    let said = std::fs::File::create(home.path().join("said")).unwrap();
    Running(command.stdout(Stdio::piped()).stderr(said).spawn().unwrap())
}

/// Numbers, slowly enough that a fault falls between them.
const COUNTING: &str = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; sleep 0.01; done";

fn rest(waiting: &mut Running) -> (String, Option<i32>) {
    let mut text = String::new();
    waiting.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    (text, waiting.0.wait().unwrap().code())
}

fn said(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("said")).unwrap()
}

fn wait_for_output(server: &RedisServer) {
    wait_for("some output", || {
        server.cli(&["XLEN", "darkmux:log:job-1"]).parse::<u64>().ok().filter(|n| *n > 5)
    });
}

#[test]
fn waiting_survives_a_killed_redis_without_losing_or_doubling() {
    let mut server = RedisServer::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let here = publisher(&server.url());
    let mut waiting = waiting(&here, COUNTING);
    wait_for_output(&server);
    server.kill();
    wait_for("the outage to be told", || said(&here).contains("waiting goes on").then_some(()));
    server.restart();
    let (text, code) = rest(&mut waiting);
    assert_eq!(code, Some(0), "{}", said(&here));
    assert!(text == lines(1..=400), "{}", said(&here));
    assert_eq!(said(&here).matches("waiting goes on").count(), 1, "{}", said(&here));
    assert!(said(&here).contains("Redis answers again"), "{}", said(&here));
}

#[test]
fn waiting_survives_blips_of_the_network() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let proxy = FaultProxy::before(server.port());
    let here = publisher(&proxy.url());
    let mut waiting = waiting(&here, COUNTING);
    wait_for_output(&server);
    proxy.set(Fault::Reset);
    wait_for("the outage to be told", || said(&here).contains("waiting goes on").then_some(()));
    proxy.set(Fault::None);
    wait_for("the answer to be told", || said(&here).contains("Redis answers again").then_some(()));
    proxy.set(Fault::BlackHole);
    wait_for("the other outage", || (said(&here).matches("waiting goes on").count() > 1).then_some(()));
    proxy.set(Fault::None);
    let (text, code) = rest(&mut waiting);
    assert_eq!(code, Some(0), "{}", said(&here));
    assert!(text == lines(1..=400), "{}", said(&here));
}

#[test]
fn an_emptied_redis_is_told_again_and_waiting_goes_on() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let here = publisher(&server.url());
    let mut waiting = waiting(&here, COUNTING);
    wait_for_output(&server);
    server.cli(&["FLUSHALL"]);
    let (text, code) = rest(&mut waiting);
    assert_eq!(code, Some(0), "{}", said(&here));
    // What was shown is shown once; Redis may have lost a part before it was read.
    let numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers.last() == Some(&400), "{text}");
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "{text}");
}

#[test]
fn a_job_that_nobody_tells_again_is_given_up() {
    let server = RedisServer::start();
    let here = publisher(&server.url());
    let mut waiting = waiting(&here, "true");
    wait_for("the job", || (server.cli(&["EXISTS", "darkmux:job:job-1"]) == "1").then_some(()));
    server.cli(&["FLUSHALL"]);
    let (_, code) = rest(&mut waiting);
    assert_eq!(code, Some(125), "{}", said(&here));
    assert!(said(&here).contains("has forgotten job job-1"), "{}", said(&here));
    assert!(said(&here).contains("does not know job job-1 any longer"), "{}", said(&here));
}

#[tokio::test]
async fn another_attempt_is_told() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let here = publisher(&server.url());
    let mut waiting = waiting(&here, "true");
    wait_for("the job", || (server.cli(&["EXISTS", "darkmux:job:job-1"]) == "1").then_some(()));
    let claim = take(&queue, &seat("ghost")).await;
    wait_for("the claim to be told", || said(&here).contains("runs on ghost").then_some(()));
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let (_, code) = tokio::task::spawn_blocking(move || rest(&mut waiting)).await.unwrap();
    assert_eq!(code, Some(0), "{}", said(&here));
    let told = said(&here);
    assert!(told.contains("on studio as attempt 2") && told.contains("on ghost: lost"), "{told}");
    drop(claim);
}

#[tokio::test]
async fn ctrl_c_leaves_the_job_and_says_how_to_come_back() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let here = publisher(&server.url());
    let script = "echo begun; while [ ! -e \"$HOME/go\" ]; do sleep 0.05; done; echo over";
    let args = ["crew", "dispatch", "shell", "--fleet", "--session-id", "job-1", "-m", script];
    let mut tty = Tty::start(&here, args);
    tty.expect("begun").await;
    tty.press("\x03").await;
    tty.expect("Ctrl-C again within 2 s cancels it").await;
    tty.expect("darkmux job wait job-1").await;
    assert_eq!(tty.wait().await.shell_code(), 130);
    std::fs::write(studio.path().join("go"), "").unwrap();
    let output = here.run(["job", "wait", "job-1"]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(here.ok(["job", "logs", "job-1"]), "begun\nover\n");
    // Twice ends it.
    let args =
        ["crew", "dispatch", "shell", "--fleet", "--session-id", "job-2", "-m", "echo begun; sleep 600"];
    let mut tty = Tty::start(&here, args);
    tty.expect("begun").await;
    tty.press("\x03").await;
    tty.expect("Ctrl-C again").await;
    tty.press("\x03").await;
    tty.expect("was cancelled").await;
    assert_eq!(tty.wait().await.shell_code(), 130);
    let id = SessionId::new("job-2").unwrap();
    let job = queue(&server.url()).job(&id).await.unwrap().unwrap();
    assert_eq!(job.cancel.as_deref(), Some("interrupted by its user"));
}

#[test]
fn a_reader_that_goes_away_is_told_that_the_job_goes_on() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let here = publisher(&server.url());
    let mut waiting = waiting(&here, "echo one; sleep 1; while :; do echo more; sleep 0.05; done");
    let mut stdout = waiting.0.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 4]).unwrap();
    drop(stdout);
    assert_eq!(waiting.0.wait().unwrap().code(), Some(0), "{}", said(&here));
    assert!(said(&here).contains("job job-1 goes on"), "{}", said(&here));
    here.ok(["job", "cancel", "job-1"]);
}

#[tokio::test]
async fn an_older_job_that_was_asked_for_something_else_is_said_so() {
    let server = RedisServer::start();
    let here = publisher(&server.url());
    let publish = |message: &str, json: bool| {
        let args = ["crew", "dispatch", "shell", "--fleet", "--detach", "--key", "nightly", "-m", message];
        here.command(crate::support::BIN).args(args).args(json.then_some("--json")).output().unwrap()
    };
    let first = publish("echo one", true);
    let document = |output: &std::process::Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
    assert!(document(&first).get("published_before").is_none(), "{}", describe(&first));
    let again = publish("echo one", true);
    assert_eq!(
        (&document(&again)["published_before"], &document(&again)["differs"]),
        (&true.into(), &false.into())
    );
    assert!(!stderr(&again).contains("warning"), "{}", describe(&again));
    let other = publish("echo two", true);
    assert_eq!(other.status.code(), Some(0));
    assert_eq!(document(&other)["differs"], true);
    let other = publish("echo two", false);
    assert_eq!((other.status.code(), &other.stdout), (Some(0), &publish("echo one", false).stdout));
    assert!(
        stderr(&other).contains("warning") && stderr(&other).contains("another message"),
        "{}",
        describe(&other)
    );
}

#[test]
fn a_wait_that_is_ended_by_a_signal_ends_with_its_status() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url()).with("DARKMUX_RUNNER_SLOTS", "3");
    let _daemon = Daemon::start(&studio);
    let here = publisher(&server.url());
    for (name, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let mut command = here.command(crate::support::BIN);
        command.args(["crew", "dispatch", "shell", "--fleet", "-m", "echo begun; sleep 60"]);
        let mut waits = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let mut line = [0; 6];
        waits.0.stdout.take().unwrap().read_exact(&mut line).unwrap();
        crate::support::signal(i64::from(waits.0.id()), name);
        assert_eq!(waits.0.wait().unwrap().code(), Some(code), "{name}");
    }
}

#[test]
fn who_looks_first_changes_nothing() {
    let server = RedisServer::start();
    let here = publisher(&server.url());
    let id = here.ok(["crew", "dispatch", "shell", "--fleet", "-d", "-m", "true"]).trim().to_owned();
    here.ok(["fleet", "add", "pi", "--address", "pi.local"]);
    for (verb, says) in [
        (["job", "cancel", &id], "would be cancelled at once"),
        (["queue", "pause", "--dry-run"], "1 queued job would wait"),
        (["queue", "resume", "--dry-run"], "nothing would change"),
        (["fleet", "remove", "pi"], "would remove pi: its place in the roster"),
        (["auth", "rotate", "--dry-run"], "would replace the token"),
    ] {
        let [group, what, of] = verb;
        let looked =
            if of == "--dry-run" { here.run(verb) } else { here.run([group, what, of, "--dry-run"]) };
        assert!(looked.status.success(), "{verb:?}: {}", describe(&looked));
        assert!(String::from_utf8_lossy(&looked.stderr).contains(says), "{verb:?}: {}", describe(&looked));
    }
    assert_eq!(here.json(["job", "show", &id, "--json"])["job"]["state"], "queued");
    assert_eq!(here.json(["queue", "status", "--json"])["paused"], false);
    assert!(here.ok(["fleet", "list"]).contains("pi.local"));
    assert!(!here.darkmux().join("auth-token").exists(), "there was no token to replace");
}
