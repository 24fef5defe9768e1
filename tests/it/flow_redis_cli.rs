//! The commands over the fleet's flow: tail, status, doctor, and what must never show.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use serde_json::Value;

use crate::flow_redis::{Writer, check_notes, machine};
use crate::support::{Daemon, Home, PATIENCE, RedisServer, Running, describe, wait_for};

/// The lines of one of a process's streams, as they come.
fn lines(stream: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn follow<const N: usize>(
    home: &Home,
    args: [&str; N],
) -> (Running, mpsc::Receiver<String>, mpsc::Receiver<String>) {
    let mut child: Child =
        home.cmd(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    (Running(child), lines(out), lines(err))
}

fn next_note(out: &mpsc::Receiver<String>) -> String {
    loop {
        let record: Value = serde_json::from_str(&out.recv_timeout(PATIENCE).unwrap()).unwrap();
        if record["action"] == "note" {
            return record["handle"].as_str().unwrap().to_owned();
        }
    }
}

#[test]
fn tail_shows_the_fleet_and_survives_a_blip_with_one_notice() {
    let mut server = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let (home, other) = (machine("studio", &server.url()), machine("other", &server.url()));
    let (mut ours, mut theirs) = (Writer::of(&home, "studio"), Writer::of(&other, "other"));
    let _daemon = Daemon::start(&other);
    theirs.write("other0");
    ours.write("studio0");
    check_notes(&server, "other", 1);
    let text = home.ok(["flow", "tail"]);
    assert!(text.contains(" other note other0") && text.contains(" studio note studio0"), "{text}");
    let local = home.ok(["flow", "tail", "--local"]);
    assert!(!local.contains("other0") && local.contains("studio0"), "{local}");

    let (_tail, out, err) = follow(&home, ["flow", "tail", "-f", "--json"]);
    let mut first = [next_note(&out), next_note(&out)];
    first.sort();
    assert_eq!(first, ["other0", "studio0"]);
    server.kill();
    ours.write("studio1");
    assert_eq!(next_note(&out), "studio1");
    let notice = err.recv_timeout(PATIENCE).unwrap();
    assert!(notice.contains("only this machine's records until Redis is back"), "{notice}");
    theirs.write("other1");
    server.restart();
    assert_eq!(next_note(&out), "other1");
    assert!(err.recv_timeout(PATIENCE).unwrap().contains("Redis is back"));
    assert!(err.try_recv().is_err(), "one notice for a blip");
}

#[test]
fn status_and_doctor_tell_what_waits_and_why() {
    let mut server = RedisServer::start();
    let home = machine("studio", &server.url());
    home.ok(["flow", "note", "--text", "one"]);
    let status = home.json(["flow", "status", "--json"]);
    assert_eq!(status["sinks"]["active_kinds"], serde_json::json!(["LocalFile", "Redis"]));
    assert_eq!(
        (&status["redis"]["reachable"], &status["redis"]["stream"]),
        (&true.into(), &"darkmux:flow".into())
    );
    assert_eq!(
        (&status["redis"]["max_len"], &status["redis"]["near_max_len"]),
        (&100_000.into(), &false.into())
    );
    assert_eq!(status["shipper"]["running"], false);
    assert!(status["shipper"]["lag_bytes"].as_u64().unwrap() > 0);
    assert_eq!(status["warn_reasons"], serde_json::json!(["records_wait_for_a_daemon"]));
    let text = home.ok(["flow", "status"]);
    assert!(text.contains("no daemon runs") && text.contains("darkmux serve"), "{text}");

    let _daemon = Daemon::start(&home);
    let status = wait_for("the record to be shipped", || {
        let status = home.json(["flow", "status", "--json"]);
        (status["shipper"]["shipped"] == 1 && status["redis"]["xlen"] == 1).then_some(status)
    });
    assert_eq!((&status["shipper"]["running"], &status["shipper"]["lag_bytes"]), (&true.into(), &0.into()));
    assert_eq!((&status["overall_state"], &status["redis"]["xlen"]), (&"ok".into(), &1.into()));
    assert_eq!(status["redis"]["mark"], status["shipper"]["mark"]);
    let check = |name: &str| {
        let report: Value = serde_json::from_slice(&home.run(["doctor", "--json"]).stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == name).unwrap()
    };
    assert_eq!(
        (&check("flow sink health")["state"], &check("flow shipper")["state"]),
        (&"pass".into(), &"pass".into())
    );

    server.kill();
    home.ok(["flow", "note", "--text", "two"]);
    let status = wait_for("the failure to show", || {
        let status = home.json(["flow", "status", "--json"]);
        status["shipper"]["error"].is_object().then_some(status)
    });
    assert_eq!(status["shipper"]["error"]["class"], "unreachable");
    assert!(status["shipper"]["lag_bytes"].as_u64().unwrap() > 0);
    assert_eq!(status["warn_reasons"], serde_json::json!(["redis_unreachable"]));
    assert_eq!(
        (&check("flow sink health")["state"], &check("flow shipper")["state"]),
        (&"warn".into(), &"warn".into())
    );
}

#[test]
fn a_password_of_redis_is_shown_nowhere() {
    const CANARY: &str = "canary-3f9c";
    let server = RedisServer::with(&["--requirepass", CANARY, "--save", ""]);
    let url = format!("redis://default:{CANARY}@127.0.0.1:{}", server.port());
    for url in [url.clone(), url.replace("@127", "-wrong@127")] {
        let home = machine("studio", &url);
        let daemon = Daemon::start(&home);
        home.ok(["flow", "note", "--text", "one"]);
        let mut said = String::new();
        for args in [
            &["flow", "status"][..],
            &["flow", "status", "--json"],
            &["flow", "tail"],
            &["doctor"],
            &["doctor", "--json"],
        ] {
            let mut command = home.cmd([]);
            said += &describe(&command.args(args).output().unwrap());
        }
        for path in ["/flow-status", "/machine/specs", &format!("/flow/{}", "2026-11-22")] {
            said += &crate::http_raw::get(daemon.port, path).text();
        }
        let stream = crate::http_raw::Events::open(daemon.port, "/flow/2026-11-22/stream", &[]);
        drop(stream);
        wait_for("the shipper to have tried", || {
            let status = crate::http_raw::get(daemon.port, "/flow-status").json();
            (status["shipper"]["error"].is_object() || status["shipper"]["shipped"] == 1).then_some(())
        });
        said += &crate::http_raw::get(daemon.port, "/flow-status").text();
        said += &std::fs::read_to_string(home.path().join("serve.log")).unwrap();
        for file in walkdir::WalkDir::new(home.darkmux()).into_iter().flatten() {
            said += &String::from_utf8_lossy(&std::fs::read(file.path()).unwrap_or_default());
        }
        assert!(!said.contains(CANARY), "{said}");
        assert!(said.contains("default:***@"), "{said}");
    }
}
