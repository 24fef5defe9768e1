//! `darkmux doctor` on machines that are well and machines that are not.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Daemon, Home, describe, signal};

/// The check of this name, from `doctor --json`; the exit status is not looked at.
fn check(home: &Home, name: &str) -> Value {
    let output = home.run(["doctor", "--json"]);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", describe(&output)));
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report:#}")).clone()
}

fn private(home: &Home) {
    fs::create_dir_all(home.darkmux()).unwrap();
    fs::set_permissions(home.darkmux(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_new_machine_fails_nothing_and_is_left_as_it_was() {
    let home = Home::new();
    let output = home.run(["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(text.contains(" 0 failed") && !text.contains('✗'), "{text}");
    assert!(text.contains("⚠ orchestrator"), "{text}");
    assert!(text.contains("→ darkmux config set orchestrator"), "{text}");
    assert!(!home.darkmux().exists(), "doctor made the home folder");
    assert_eq!(home.run(["doctor", "--strict"]).status.code(), Some(1));
}

#[test]
fn the_report_has_a_shape() {
    let home = Home::new();
    let report = home.json(["doctor", "--json"]);
    assert_eq!(report["schema"], 1);
    assert_eq!(report["failed"], 0);
    for check in report["checks"].as_array().unwrap() {
        let state = check["state"].as_str().unwrap();
        assert!(["pass", "warn", "fail"].contains(&state), "{check}");
        assert!(check["name"].is_string() && check["finding"].is_string(), "{check}");
        assert_eq!(check["fix"].is_string(), state != "pass", "{check}");
        assert_eq!(check["why"].is_string(), state != "pass", "{check}");
    }
}

#[test]
fn a_misspelt_variable_is_found() {
    let home = Home::new().with("DARKMUX_ORCHESTRATER", "me").with("DARKMUX_ORCHESTRATOR", "me");
    let found = check(&home, "config");
    assert_eq!(found["state"], "warn", "{found}");
    let meant = "`DARKMUX_ORCHESTRATER` is no variable of darkmux (did you mean `DARKMUX_ORCHESTRATOR`?)";
    assert_eq!(found["details"][0], meant);
    assert_eq!(found["fix"], "unset DARKMUX_ORCHESTRATER");
}

#[test]
fn a_config_that_does_not_load_is_one_finding_among_the_others() {
    let home = Home::new();
    private(&home);
    for (text, says) in [
        (r#"{"serve":{"prot":1}}"#, "serve.port"),
        ("{ torn", "line 1"),
        (r#"{"serve":{"port":"x"}}"#, "serve.port"),
    ] {
        fs::write(home.darkmux().join("config.json"), text).unwrap();
        let output = home.run(["doctor"]);
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        let config = check(&home, "config");
        assert_eq!(config["state"], "fail");
        assert!(config["finding"].as_str().unwrap().contains(says), "{config}");
        assert_eq!(check(&home, "machine_id")["state"], "pass");
    }
}

#[test]
fn without_a_home_folder_it_says_what_to_set() {
    let output = Home::new().with("HOME", "").run(["doctor"]);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DARKMUX_HOME"), "{}", describe(&output));
}

#[test]
fn a_folder_that_is_open_to_others_is_named_with_the_command() {
    let home = Home::new();
    private(&home);
    assert_eq!(check(&home, "home")["state"], "pass");
    fs::set_permissions(home.darkmux(), fs::Permissions::from_mode(0o755)).unwrap();
    let found = check(&home, "home");
    assert_eq!(found["state"], "warn");
    assert!(found["fix"].as_str().unwrap().starts_with("chmod -R go= "), "{found}");
    assert!(found["details"][0].as_str().unwrap().contains("mode 755"), "{found}");
}

#[test]
fn a_flows_folder_that_can_not_be_written_fails() {
    let home = Home::new();
    private(&home);
    fs::write(home.darkmux().join("flows"), "not a folder").unwrap();
    let found = check(&home, "flow sink health");
    assert_eq!(found["state"], "fail", "{found}");
    assert_eq!(home.run(["doctor"]).status.code(), Some(1));
}

#[test]
fn a_broken_machine_id_fails_and_settings_without_effect_are_named() {
    let home = Home::new().with("DARKMUX_MACHINE_ID", "").with("DARKMUX_SERVE_TOKEN", "canary");
    private(&home);
    fs::write(home.darkmux().join("machine-id"), "Not An Id\n").unwrap();
    assert_eq!(check(&home, "machine_id")["state"], "fail");
    let kept = check(&home, "1.9 settings");
    assert_eq!(kept["state"], "pass");
    assert!(kept["finding"].as_str().unwrap().contains("DARKMUX_SERVE_TOKEN"), "{kept}");
    let output = home.run(["doctor"]);
    assert!(!describe(&output).contains("canary"), "{}", describe(&output));
}

#[test]
fn it_is_done_soon() {
    let home = Home::new();
    let started = Instant::now();
    home.run(["doctor"]);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_broken_role_is_named_with_file_and_line() {
    let home = Home::new();
    private(&home);
    fs::create_dir_all(home.darkmux().join("roles")).unwrap();
    fs::write(home.darkmux().join("roles/tester.json"), "{\n  \"id\": \"tester\",\n  \"colour\": 1\n}")
        .unwrap();
    let found = check(&home, "roles");
    assert_eq!(found["state"], "warn", "{found}");
    assert!(found["details"][0].as_str().unwrap().contains("roles/tester.json:3:"), "{found}");
}

#[test]
fn agent_clis_are_found_on_path() {
    let home = Home::new();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let home = home.with("PATH", bin.to_str().unwrap());
    let none = check(&home, "agent CLIs");
    assert_eq!(none["state"], "warn", "{none}");
    assert!(none["fix"].as_str().unwrap().contains("install"), "{none}");
    assert_eq!(none["details"], serde_json::json!([]), "said once");

    let agent = bin.join("codex");
    fs::write(&agent, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let found = check(&home, "agent CLIs");
    assert_eq!(found["state"], "pass", "{found}");
    assert!(found["finding"].as_str().unwrap().contains("codex"), "{found}");
}

#[test]
fn a_session_whose_host_died_is_a_warning() {
    let home = Home::new();
    private(&home);
    let folder = home.darkmux().join("sessions/shell-1");
    fs::create_dir_all(&folder).unwrap();
    let state = serde_json::json!({
        "schema": 1, "protocol": 1, "id": "shell-1", "role": "shell", "name": null, "state": "running",
        "machine_id": "testbox", "command": ["sh"], "cwd": "/", "pid": 1, "host_pid": 1,
        "created_at": "2026-01-01T00:00:00.000Z", "started_at": null, "ended_at": null, "exit": null,
        "exit_code": null, "reason": null, "error": null, "size": { "cols": 80, "rows": 24 },
        "output": { "start": 0, "end": 0 },
    });
    fs::write(folder.join("state.json"), state.to_string()).unwrap();
    let found = check(&home, "sessions");
    // Nothing of this made-up session may be killed at the end.
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found["state"], "warn", "{found}");
    assert!(found["fix"].as_str().unwrap().contains("shell-1"), "{found}");
}

#[test]
fn a_tampered_audit_chain_fails_with_its_place() {
    let home = Home::new();
    home.ok(["config", "set", "audit.enabled", "true"]);
    assert_eq!(check(&home, "audit chain")["state"], "pass");
    for text in ["one", "two", "three"] {
        home.ok(["flow", "note", "--text", text]);
    }
    let whole = check(&home, "audit chain");
    assert_eq!(whole["state"], "pass", "{whole}");
    assert!(whole["finding"].as_str().unwrap().starts_with("3 records"), "{whole}");

    let audit = fs::read_dir(home.darkmux().join("audit")).unwrap();
    let day =
        audit.map(|entry| entry.unwrap().path()).find(|path| path.extension() == Some("jsonl".as_ref()));
    let day = day.unwrap();
    let text = fs::read_to_string(&day).unwrap();
    fs::write(&day, text.replace("\"two\"", "\"TWO\"")).unwrap();
    let broken = check(&home, "audit chain");
    assert_eq!(broken["state"], "fail", "{broken}");
    assert!(broken["details"][0].as_str().unwrap().contains(".jsonl:3: "), "{broken}");
}

#[test]
fn the_daemon_is_absent_answers_or_hangs() {
    let home = Home::new();
    let absent = check(&home, "daemon");
    assert_eq!(absent["state"], "warn", "{absent}");

    let daemon = Daemon::start(&home);
    let running = check(&home, "daemon");
    assert_eq!(running["state"], "pass", "{running}");

    signal(daemon.process.pid(), "STOP");
    let started = Instant::now();
    let hanging = check(&home, "daemon");
    signal(daemon.process.pid(), "CONT");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(hanging["state"], "fail", "{hanging}");
    assert!(hanging["fix"].as_str().unwrap().contains(&daemon.process.pid().to_string()), "{hanging}");
}

#[test]
fn a_port_that_somebody_else_has_is_named() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let home = Home::new().with("DARKMUX_SERVE_PORT", port.to_string());
    let found = check(&home, "daemon");
    assert_eq!(found["state"], "warn");
    assert!(found["finding"].as_str().unwrap().contains(&port.to_string()), "{found}");
}

#[test]
fn a_model_server_is_asked_and_one_that_is_not_there_is_no_failure() {
    let home = Home::new();
    assert_eq!(check(&home, "model endpoint")["state"], "warn", "a configured server does not answer");

    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            answer_with_a_model(stream);
        }
    });
    let found = check(&home.with("DARKMUX_LMSTUDIO_URL", url), "model endpoint");
    assert_eq!(found["state"], "pass", "{found}");
    assert!(found["finding"].as_str().unwrap().contains("tiny-1b"), "{found}");
}

fn answer_with_a_model(mut stream: std::net::TcpStream) {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request);
    let body = r#"{"data":[{"id":"tiny-1b","state":"loaded"}]}"#;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
}
