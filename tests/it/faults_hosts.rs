//! Session hosts that come late, wait for others, or are crowded, and what a crash leaves of their folders.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use darkmux::model::{JobState, OnLoss};
use serde_json::{Value, json};

use crate::runner::{ended, processes_of, publish, running};
use crate::support::queue::{job, queue};
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, describe, signal, wait_for};

fn folder(home: &Home, id: &str) -> PathBuf {
    home.darkmux().join("sessions").join(id)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What stands before a host comes: the folder of `model` under the id `id`, asked for at `asked`.
fn prepared(home: &Home, model: &str, id: &str, asked: &str) -> PathBuf {
    let (from, to) = (folder(home, model), folder(home, id));
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(&from).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() && entry.file_name() != "lease" {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let (mut spec, mut state) = (read(&to.join("spec.json")), read(&to.join("state.json")));
    for file in [&mut spec, &mut state] {
        (file["id"], file["created_at"]) = (json!(id), json!(asked));
    }
    state["state"] = json!("starting");
    state["output"] = json!({ "start": 0, "end": 0 });
    for key in ["pid", "host_pid", "started_at", "ended_at", "exit", "exit_code", "reason", "error"] {
        state[key] = Value::Null;
    }
    std::fs::write(to.join("spec.json"), spec.to_string()).unwrap();
    std::fs::write(to.join("state.json"), state.to_string()).unwrap();
    to
}

#[test]
fn a_host_that_comes_after_its_session_counts_as_lost_runs_nothing() {
    let home = Home::new();
    let ran = home.path().join("ran");
    let script = format!("touch {}", ran.display());
    home.ok(["crew", "dispatch", "shell", "--session-id", "model", "-m", &script]);
    std::fs::remove_file(&ran).unwrap();
    let host = |at: &Path| home.run(["host-session", at.to_str().unwrap()]);

    let late = prepared(&home, "model", "late", "2026-01-01T00:00:00.000Z");
    let listed = home.json(["session", "ls", "--all", "--json"]);
    let sessions = listed["sessions"].as_array().unwrap();
    let state =
        |id: &str| sessions.iter().find(|session| session["id"] == id).map(|one| one["state"].clone());
    assert_eq!(state("late"), Some(json!("lost")), "{listed}");
    let output = host(&late);
    assert!(!output.status.success() && describe(&output).contains("too late"), "{}", describe(&output));
    assert!(!ran.exists());
    assert_eq!(read(&late.join("state.json"))["state"], "lost");

    // One that nobody has given up yet comes in time, however late that is.
    let slow = prepared(&home, "model", "slow", "2026-01-01T00:00:00.000Z");
    let output = host(&slow);
    assert!(output.status.success() && ran.exists(), "{}", describe(&output));
    assert_eq!(read(&slow.join("state.json"))["state"], "exited");
}

/// The days' files of the flow, locked as by an append that takes long.
fn locked_flow(home: &Home) -> Vec<std::fs::File> {
    let days = std::fs::read_dir(home.darkmux().join("flows")).unwrap().flatten();
    let days: Vec<_> = days.map(|day| std::fs::File::open(day.path()).unwrap()).collect();
    assert!(!days.is_empty());
    for day in &days {
        day.lock().unwrap();
    }
    days
}

#[test]
fn a_locked_flow_holds_up_no_start_and_gets_its_record_later() {
    let home = Home::new();
    home.ok(["crew", "dispatch", "shell", "-m", "true"]);
    let days = locked_flow(&home);
    home.ok(["crew", "dispatch", "shell", "-d", "--session-id", "held", "-m", "echo up; sleep 60"]);
    wait_for("its program", || home.ok(["session", "tail", "held"]).starts_with("up").then_some(()));
    drop(days);
    wait_for("the record of its start", || {
        let days = std::fs::read_dir(home.darkmux().join("flows")).unwrap().flatten();
        let texts: String = days.map(|day| std::fs::read_to_string(day.path()).unwrap()).collect();
        texts
            .lines()
            .any(|line| line.contains("\"dispatch start\"") && line.contains("\"held\""))
            .then_some(())
    });
    home.ok(["session", "kill", "held"]);
}

#[test]
fn a_crowd_without_the_key_keeps_nobody_from_ending_a_session() {
    let home = Home::new();
    let id = home.ok(["crew", "dispatch", "shell", "-d", "-m", "sleep 60"]).trim().to_owned();
    let socket = folder(&home, &id).join("host.sock");
    let crowd = || -> std::io::Result<UnixStream> {
        let mut stream = UnixStream::connect(&socket)?;
        stream.write_all(b"PUT /status HTTP/1.1\r\nHost: x\r\n")?;
        Ok(stream)
    };
    let mut crowd: Vec<UnixStream> = (0..300).map(|_| crowd().unwrap()).collect();
    let killed = home.run(["session", "kill", &id]);
    assert!(killed.status.success(), "{}", describe(&killed));
    let mut said = Vec::new();
    let _ = crowd[0].read_to_end(&mut said);
    assert!(said.is_empty(), "the first of them made room");
    assert_eq!(read(&folder(&home, &id).join("state.json"))["state"], "exited");
}

#[tokio::test]
async fn what_a_crash_left_in_a_sessions_place_blocks_no_job() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    for (id, state) in [("bare", None), ("empty", Some(""))] {
        std::fs::create_dir_all(folder(&home, id)).unwrap();
        if let Some(state) = state {
            std::fs::write(folder(&home, id).join("state.json"), state).unwrap();
            std::fs::write(folder(&home, id).join("spec.json"), state).unwrap();
        }
    }
    let _daemon = Daemon::start(&home);
    for name in ["bare", "empty"] {
        let id = publish(&queue, name, "true").await;
        let view = ended(&queue, &id).await;
        assert_eq!((view.state, view.declined.len()), (JobState::Done, 0), "{view:?}");
    }
}

#[tokio::test]
async fn a_job_whose_files_a_power_loss_emptied_may_have_run() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url()).with("DARKMUX_QUEUE_LEASE", "1m");
    let mut daemon = Daemon::start(&home);
    let mark = |name: &str| home.path().join(name);
    let again = format!("echo x >>{0}; test $(wc -l <{0}) = 2 || sleep 60", mark("again").display());
    let again = publish(&queue, "again", &again).await;
    let (work, mut spec) = job("once", &format!("echo x >>{}; sleep 60", mark("once").display()));
    spec.on_loss = OnLoss::Stop;
    queue.publish(&work, &spec).await.unwrap();
    queue.watch_log(&spec.id).await.unwrap();
    for id in [&again, &spec.id] {
        running(&queue, id).await;
        wait_for("its program", || mark(id.as_str()).exists().then_some(()));
    }
    daemon.process.kill();
    for process in processes_of(&home) {
        signal(process, "KILL");
    }
    for id in [&again, &spec.id] {
        for name in ["state.json", "spec.json"] {
            std::fs::write(folder(&home, id.as_str()).join(name), "").unwrap();
        }
    }
    let _again = Daemon::start(&home);
    let view = ended(&queue, &again).await;
    assert_eq!((view.state, view.attempt), (JobState::Done, 2), "{view:?}");
    let view = ended(&queue, &spec.id).await;
    assert_eq!((view.state, view.attempt), (JobState::Dead, 1), "{view:?}");
    assert_eq!(std::fs::read_to_string(mark("once")).unwrap().lines().count(), 1);
}

/// The folders keep others from the sockets. Whoever gets to one all the same is asked who they are: here a user who may
/// pass every folder.
#[cfg(target_os = "linux")]
#[test]
fn another_user_is_answered_by_no_socket() {
    let other = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ];
    let sudo: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["sudo", "-n"] };
    let home = Home::new();
    let _daemon = Daemon::start(&home);
    let id = home.ok(["session", "new", "-d", "cat"]).trim().to_owned();
    let key = home.socket_key();
    let folder = folder(&home, &id);
    let both = [
        (folder.join("host.sock"), "/v1/status", folder.join("host.log")),
        (home.darkmux().join("daemon.sock"), "/v1/sessions", home.path().join("serve.log")),
    ];
    for (socket, path, log) in both {
        let url = format!("http://localhost{path}");
        let curl = ["curl", "-s", "-m", "10", "-H", &key, &url, "--unix-socket", socket.to_str().unwrap()];
        let ask = |before: &[&str]| {
            let words = [before, &curl].concat();
            let output = home.command(words[0]).args(&words[1..]).output().expect("curl, setpriv, sudo");
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let (status, ours) = ask(&[]);
        assert!(status == Some(0) && ours.starts_with('{'), "{path}: {status:?} {ours}");
        let (status, theirs) = ask(&[sudo, &other].concat());
        assert!(status != Some(0) && theirs.is_empty(), "{path}: {status:?} {theirs}");
        // It came as far as that: this needs root, or `sudo -n`.
        wait_for("the refusal in the log", || {
            std::fs::read_to_string(&log).ok()?.contains("another user").then_some(())
        });
    }
}
