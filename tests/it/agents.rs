//! Agents that say when they need somebody: stand-ins call the hooks that darkmux gave them, exactly as each agent
//! documents it, in real sessions.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use darkmux::model::{MachineId, SessionId};
use darkmux::wire::{SessionReport, SessionStatus};
use serde_json::{Value, json};

use crate::support::{Home, RUN_LIMIT, describe, wait_for};

/// The side of a session's socket that its program speaks to.
struct Side {
    socket: PathBuf,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Side {
    fn start(socket: PathBuf) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(&stream, &ears);
            }
        });
        Self { socket, heard }
    }

    /// What was put at a path last.
    fn last(&self, path: &str) -> Option<Value> {
        let heard = self.heard.lock().unwrap();
        heard.iter().rev().find(|(at, _)| at == path).map(|(_, body)| body.clone())
    }

    /// Waits until the report is of this kind.
    fn reports(&self, what: &str, wanted: impl Fn(&SessionReport) -> bool) -> SessionReport {
        wait_for(what, || {
            let report: SessionReport = serde_json::from_value(self.last("/status")?).unwrap();
            wanted(&report).then_some(report)
        })
    }

    fn asks(&self, question: &str) {
        self.reports(question, |report| report.needs_you.as_deref() == Some(question));
    }

    /// Waits until the agent is known by all of this.
    fn knows(&self, key: &str, value: &str) {
        wait_for(value, || {
            let heard = self.heard.lock().unwrap();
            heard.iter().any(|(at, body)| at == "/agent" && body[key] == value).then_some(())
        });
    }
}

/// Answers one request, as a session's host does.
fn answer(stream: &UnixStream, heard: &Mutex<Vec<(String, Value)>>) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let length =
        lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    let read = reader.read_exact(&mut body);
    let words: Vec<&str> = lines.first().map(|line| line.split(' ').collect()).unwrap_or_default();
    let reply = match words.as_slice() {
        ["PUT", path, _] if read.is_ok() && length <= 4096 => {
            heard.lock().unwrap().push(((*path).to_owned(), serde_json::from_slice(&body).unwrap()));
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
        }
        ["GET", "/v1/status", _] => {
            let (id, machine) = (SessionId::new("fake").unwrap(), MachineId::new("m").unwrap());
            let mut status = SessionStatus::unknown(id, machine, "2026-01-01T00:00:00.000Z".to_owned());
            let heard = heard.lock().unwrap();
            let report = heard.iter().rev().find(|(at, _)| at == "/status").map(|(_, body)| body.clone());
            status.report = report.map(|report| serde_json::from_value(report).unwrap());
            let body = serde_json::to_string(&status).unwrap();
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }
        _ => "HTTP/1.1 404 Not Found\r\n\r\n".to_owned(),
    };
    let mut stream = stream;
    let _ = stream.write_all(reply.as_bytes());
}

/// A home with stand-ins for the agents on its `PATH`, and the side that they speak to.
fn machine() -> (Home, Side) {
    let home = Home::new();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents");
    let socket = home.path().join("side.sock");
    for agent in ["claude", "codex", "opencode", "pi"] {
        let script = scripts.join(format!("{agent}.mjs"));
        let side = format!("DARKMUX_SOCKET='{}'", socket.display());
        let text = format!("#!/bin/sh\n{side} exec node '{}' \"$@\"\n", script.display());
        fs::write(bin.join(agent), text).unwrap();
        fs::set_permissions(bin.join(agent), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    (home.with("PATH", path), Side::start(socket))
}

fn start(home: &Home, agent: &str) -> String {
    home.ok(["crew", "dispatch", agent, "-i", "-d", "-m", "clean up"]).trim().to_owned()
}

/// Types a line once the agent printed `after`.
fn type_after(home: &Home, id: &str, question: impl FnOnce(), line: &str) {
    question();
    home.ok(["session", "send", id, line]);
}

fn session(home: &Home, id: &str) -> Value {
    let sessions = home.json(["session", "ls", "--all", "--json"]);
    let mut all = sessions["sessions"].as_array().unwrap().iter();
    all.find(|session| session["id"] == id).cloned().unwrap_or_default()
}

/// Its output once it ended well.
fn ended(home: &Home, id: &str) -> String {
    let output = home.run(["session", "wait", id]);
    let told = home.ok(["session", "tail", id]);
    assert!(output.status.success(), "{}\n{told}", describe(&output));
    told
}

/// Whether the report is that of an agent at work.
fn works(report: &SessionReport) -> bool {
    report.working && report.needs_you.is_none()
}

#[test]
fn claude_asks_by_its_hooks_and_is_answered() {
    let (home, side) = machine();
    let id = start(&home, "claude");
    // The notification that follows says less, and does not take the place of the question.
    type_after(&home, &id, || side.asks("allow Bash: rm -r build"), "yes");
    type_after(&home, &id, || drop(side.reports("work", works)), "go on");
    type_after(&home, &id, || side.asks("Shall I push it?"), "no");
    let told = ended(&home, &id);
    assert!(told.contains("answered: yes") && told.contains("told: no"), "{told}");
    side.reports("its end", |report| !report.working && report.needs_you.is_none());
    let session = session(&home, &id);
    let command: Vec<&str> =
        session["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let named = command.iter().position(|word| *word == "--session-id").map(|at| command[at + 1]).unwrap();
    side.knows("session", named);
    assert_eq!(session["kind"], "claude");
    let settings = home.darkmux().join("sessions").join(&id).join("claude-settings.json");
    assert_eq!(fs::metadata(settings).unwrap().permissions().mode() & 0o777, 0o600);
    // Nothing of the user's was made or changed.
    assert!(!home.path().join(".claude").exists());
}

#[test]
fn codex_tells_the_end_of_its_turn_by_notify() {
    let (home, side) = machine();
    let id = start(&home, "codex");
    type_after(&home, &id, || side.asks("Shall I fix them?"), "yes");
    let told = ended(&home, &id);
    assert!(told.contains("notify ended: 0") && told.contains("answered: yes"), "{told}");
    assert!(told.contains("\u{1b}]9;Approval requested: git push\u{7}"), "{told:?}");
    side.knows("session", "0199a213-81c0-7800-8aa1-bbab2a035a53");
    assert_eq!(session(&home, &id)["kind"], "codex");
}

#[test]
fn opencode_asks_by_its_plugin_and_is_answered() {
    let (home, side) = machine();
    let id = start(&home, "opencode");
    type_after(&home, &id, || side.asks("allow bash: rm -r build"), "yes");
    type_after(&home, &id, || drop(side.reports("work", works)), "go on");
    type_after(&home, &id, || side.asks("Shall I push it?"), "no");
    ended(&home, &id);
    side.knows("session", "ses_1");
    side.knows("title", "Clean the build");
    let heard = side.heard.lock().unwrap();
    let of_child = heard.iter().any(|(_, body)| body["session"] == "ses_2" || body["label"] == "idle");
    assert!(!of_child, "what a subagent finishes is not the end of a turn: {heard:?}");
}

#[test]
fn pi_asks_by_its_extension_and_is_answered() {
    let (home, side) = machine();
    let id = start(&home, "pi");
    type_after(&home, &id, || side.asks("Allow rm -r build?"), "yes");
    type_after(&home, &id, || drop(side.reports("work", works)), "go on");
    type_after(&home, &id, || side.asks("Shall I push it?"), "no");
    ended(&home, &id);
    side.knows("session", "/nowhere/pi session.jsonl");
    side.knows("title", "Clean the build");
}

fn hook(home: &Home, words: &[&str], stdin: &[u8]) -> Output {
    let mut command = home.cmd(["hook"]);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have ended without reading all of it.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn assert_silent(output: &Output, what: &str) {
    let silent = output.status.code() == Some(0) && output.stdout.is_empty() && output.stderr.is_empty();
    assert!(silent, "{what}: {}", describe(output));
}

#[test]
fn a_hook_never_disturbs_its_agent() {
    let home = Home::new();
    let stop = json!({ "hook_event_name": "Stop", "session_id": "s" }).to_string();
    assert_silent(&hook(&home, &["claude", "Stop"], stop.as_bytes()), "outside of a session");
    let nowhere = home.with("DARKMUX_SOCKET", "/nowhere/host.sock");
    assert_silent(&hook(&nowhere, &["claude", "Stop"], stop.as_bytes()), "without a host");

    let socket = nowhere.path().join("side.sock");
    let side = Side::start(socket.clone());
    let home = nowhere.with("DARKMUX_SOCKET", socket.display().to_string());
    for words in
        [&[][..], &["unknown"], &["claude"], &["--help-me", "-x", "--"], &["codex", "{broken"], &["shell"]]
    {
        assert_silent(&hook(&home, words, b"\x00\xff not json"), &format!("{words:?}"));
    }
    assert_eq!(side.last("/status"), None);
    // What is too long to be read is taken to its end, and its event counts.
    let long = [b"{\"x\":\"".as_slice(), &vec![b'x'; 3 * 1024 * 1024]].concat();
    assert_silent(&hook(&home, &["claude", "PostToolUse"], &long), "a long text");
    assert!(side.reports("work", works).working);
    assert_silent(
        &hook(&home, &["codex", r#"{"type":"agent-turn-complete","thread-id":"t"}"#], b""),
        "codex",
    );
    assert!(!side.reports("idle", |report| !report.working).working);
    drop(side.socket);
}

#[test]
fn a_host_that_hangs_holds_no_hook() {
    let home = Home::new();
    let socket = home.path().join("side.sock");
    // It takes connections and answers none.
    let _listener = UnixListener::bind(&socket).unwrap();
    let home = home.with("DARKMUX_SOCKET", socket.display().to_string());
    let began = Instant::now();
    let notice =
        json!({ "hook_event_name": "Notification", "message": "Claude needs your permission" }).to_string();
    assert_silent(&hook(&home, &["claude", "Notification"], notice.as_bytes()), "a host that hangs");
    assert!(began.elapsed() < RUN_LIMIT / 4);
}

/// Puts a report into what the host of a running session keeps on disk.
fn report(home: &Home, id: &str, report: Value) {
    let file = home.darkmux().join("sessions").join(id).join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    state["report"] = report;
    fs::write(file, state.to_string()).unwrap();
}

#[test]
fn the_inbox_lists_who_waits_the_oldest_first() {
    let home = Home::new();
    let output = home.run(["inbox"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", describe(&output));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("nobody waits for you"),
        "{}",
        describe(&output)
    );
    assert_eq!(home.json(["inbox", "--json"])["waiting"], json!([]));

    let waits = |name: &str| home.ok(["crew", "dispatch", "shell", "-d", "--name", name, "-m", "sleep 600"]);
    let ids = ["first", "second", "third", "fourth"].map(|name| waits(name).trim().to_owned());
    report(
        &home,
        &ids[1],
        json!({ "label": "permission", "working": false, "needs_you": "allow \u{1b}[2J?" }),
    );
    report(&home, &ids[0], json!({ "label": "question", "working": false, "needs_you": "A or B?" }));
    report(&home, &ids[2], json!({ "label": "thinking", "working": true }));
    let ended = home.ok(["crew", "dispatch", "shell", "-d", "-m", "true"]).trim().to_owned();
    home.ok(["session", "wait", &ended]);
    report(&home, &ended, json!({ "label": "question", "working": false, "needs_you": "too late?" }));

    let inbox = home.json(["inbox", "--json"]);
    let asked: Vec<(&str, &str)> = inbox["waiting"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["question"].as_str().unwrap()))
        .collect();
    assert_eq!(asked, [(ids[0].as_str(), "A or B?"), (ids[1].as_str(), "allow \u{1b}[2J?")]);
    assert_eq!((&inbox["schema"], &inbox["waiting"][0]["name"]), (&json!(1), &json!("first")));

    let shown = home.ok(["inbox"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(
        lines[1].starts_with(&ids[0]) && lines[1].contains(" ~ ") && lines[1].ends_with("A or B?"),
        "{shown}"
    );
    assert!(lines[2].ends_with("allow \\u{1b}[2J?"), "{shown}");

    let listed = home.ok(["session", "ls"]);
    let state = |id: &str| listed.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
    for (id, word) in
        [(&ids[0], "needs you"), (&ids[2], "working"), (&ids[3], "running"), (&ended, "exited 0")]
    {
        assert!(state(id).contains(&format!(" {word} ")), "{word}: {listed}");
    }
}
