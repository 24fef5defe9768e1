//! Agents that say when they need somebody: stand-ins call the hooks that darkmux gave them, exactly as each agent
//! documents it, in real sessions.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use darkmux::model::{MachineId, SessionId};
use darkmux::session::AgentSide;
use darkmux::wire::{SessionReport, SessionStatus};
use serde_json::{Value, json};

use crate::support::{Home, RUN_LIMIT, describe, signal, wait_for};

/// The side of a session's socket that its program speaks to.
struct Side {
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Side {
    fn start(socket: impl AsRef<Path>) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(&stream, &ears);
            }
        });
        Self { heard }
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

/// A home with stand-ins for the agents on its `PATH`. They speak to their session's host, or to `side`.
fn machine(side: Option<&str>) -> Home {
    let home = Home::new();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents");
    let side = side.map(|name| format!("DARKMUX_SOCKET='{}' ", home.path().join(name).display()));
    for agent in ["claude", "codex", "opencode", "pi"] {
        let script = scripts.join(format!("{agent}.mjs"));
        let side = side.as_deref().unwrap_or_default();
        let text = format!("#!/bin/sh\n{side}exec node '{}' \"$@\"\n", script.display());
        fs::write(bin.join(agent), text).unwrap();
        fs::set_permissions(bin.join(agent), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    home.with("PATH", path)
}

/// Within this the state file has what an agent said.
const SAVED: Duration = Duration::from_millis(700);

/// An agent in a session.
struct Agent {
    home: Home,
    id: String,
}

impl Agent {
    fn start(home: Home, agent: &str) -> Self {
        let id = home.ok(["crew", "dispatch", agent, "-i", "-d", "-m", "clean up"]).trim().to_owned();
        Self { home, id }
    }

    fn session(&self) -> Value {
        let sessions = self.home.json(["session", "ls", "--all", "--json"]);
        let mut all = sessions["sessions"].as_array().unwrap().iter();
        all.find(|session| session["id"] == *self.id).cloned().unwrap_or_default()
    }

    /// Waits until it asks this.
    fn asks(&self, question: &str) {
        wait_for(question, || {
            let inbox = self.home.json(["inbox", "--json"]);
            (inbox["waiting"][0]["question"] == question).then_some(())
        });
    }

    /// Waits until it asks this, and answers.
    fn asked(&self, question: &str, line: &str) {
        self.asks(question);
        self.types(line);
    }

    /// Waits until it is at work.
    fn works(&self) {
        wait_for("work", || {
            let report = serde_json::from_value(self.session()["report"].clone()).ok()?;
            works(&report).then_some(())
        });
    }

    fn types(&self, line: &str) {
        self.home.ok(["session", "send", &self.id, line]);
    }

    /// Its output once it ended well.
    fn ended(&self) -> String {
        let output = self.home.run(["session", "wait", &self.id]);
        let told = self.home.ok(["session", "tail", &self.id]);
        assert!(output.status.success(), "{}\n{told}", describe(&output));
        assert_eq!(self.home.json(["inbox", "--json"])["waiting"], json!([]));
        told
    }

    /// Waits until so many of its turns have ended, and nobody looked.
    fn waits_idle(&self, turns: usize) {
        wait_for("the end of a turn", || {
            let session = self.session();
            let idle = session["report"]["working"] == false && session["unread"] == true;
            (idle && self.records("session.idle").len() == turns).then_some(())
        });
    }

    /// What the flow has of it.
    fn records(&self, action: &str) -> Vec<Value> {
        let days = fs::read_dir(self.home.darkmux().join("flows")).unwrap();
        let text: String = days.map(|day| fs::read_to_string(day.unwrap().path()).unwrap()).collect();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter(|record| record["action"] == action).collect()
    }

    /// How long the questions are that the flow has of it.
    fn questions(&self) -> Vec<u64> {
        let asked = self.records("session.needs_you");
        asked.iter().map(|record| record["payload"]["question_chars"].as_u64().unwrap()).collect()
    }
}

/// Whether the report is that of an agent at work.
fn works(report: &SessionReport) -> bool {
    report.working && report.needs_you.is_none()
}

#[test]
fn claude_asks_by_its_hooks_and_is_answered() {
    let agent = Agent::start(machine(None), "claude");
    agent.asked("allow Bash: rm -r build", "yes");
    agent.works();
    agent.types("go on");
    agent.asked("Shall I push it?", "no");
    let told = agent.ended();
    assert!(told.contains("answered: yes") && told.contains("told: no"), "{told}");
    // The notification that followed says less, and did not take the place of the question.
    assert_eq!(
        agent.questions(),
        ["allow Bash: rm -r build", "Shall I push it?"].map(|text| text.len() as u64)
    );
    let session = agent.session();
    let command: Vec<&str> =
        session["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let named = command.iter().position(|word| *word == "--session-id").map(|at| command[at + 1]).unwrap();
    assert_eq!((&session["agent_session"], &session["kind"]), (&json!(named), &json!("claude")));
    let settings = agent.home.darkmux().join("sessions").join(&agent.id).join("claude-settings.json");
    assert_eq!(fs::metadata(settings).unwrap().permissions().mode() & 0o777, 0o600);
    // Nothing of the user's was made or changed.
    assert!(!agent.home.path().join(".claude").exists());
}

#[test]
fn codex_tells_the_end_of_its_turn_by_notify_and_asks_by_its_notices() {
    let agent = Agent::start(machine(None), "codex");
    agent.asked("Shall I fix them?", "yes");
    // It does not say that it was answered.
    agent.works();
    agent.types("go on");
    agent.asked("Approval requested: git push", "y");
    agent.works();
    assert_eq!(agent.home.json(["inbox", "--json"])["waiting"], json!([]));
    agent.types("go on");
    // Each of both questions ended its work, too.
    agent.waits_idle(3);
    agent.types("go on");
    agent.waits_idle(4);
    agent.types("end");
    let told = agent.ended();
    assert!(told.contains("notify ended: 0") && told.contains("answered: yes"), "{told}");
    assert!(told.contains("\u{1b}]9;Approval requested: git push\u{7}"), "{told:?}");
    let session = agent.session();
    assert_eq!(session["agent_session"], "0199a213-81c0-7800-8aa1-bbab2a035a53");
    assert_eq!(session["kind"], "codex");
    let asked = ["Shall I fix them?", "Approval requested: git push"].map(|text| text.len() as u64);
    assert_eq!(agent.questions(), asked);
    assert_eq!(agent.records("session.idle").len(), 4);
}

/// A session that does nothing, and the home in which its agent would call its hooks.
fn idle_session() -> Agent {
    let home = Home::new();
    let id = home.ok(["crew", "dispatch", "shell", "-d", "-m", "sleep 600"]).trim().to_owned();
    let socket = darkmux::session::socket_path(&home.darkmux().join("sessions").join(&id));
    Agent { home: home.with("DARKMUX_SOCKET", socket.display().to_string()), id }
}

#[test]
fn a_turn_of_claudes_that_was_interrupted_ends_once_it_waits_for_input() {
    let agent = idle_session();
    let tells = |event: &str, more: Value| {
        let mut input = json!({ "hook_event_name": event, "session_id": "s" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_silent(&hook(&agent.home, &["claude", event], input.to_string().as_bytes()), event);
    };
    let waits = || {
        let notice =
            json!({ "notification_type": "idle_prompt", "message": "Claude is waiting for your input" });
        tells("Notification", notice);
    };
    tells("UserPromptSubmit", json!({ "prompt": "x" }));
    agent.works();
    waits();
    agent.home.ok(["session", "wait", "--idle", "--timeout", "10s", &agent.id]);
    agent.waits_idle(1);
    assert_eq!(agent.home.json(["inbox", "--json"])["waiting"], json!([]));
    // What it asks stays asked.
    tells("PermissionRequest", json!({ "tool_name": "Bash", "tool_input": { "command": "ls" } }));
    agent.asks("allow Bash: ls");
    waits();
    std::thread::sleep(SAVED);
    agent.asks("allow Bash: ls");
}

#[test]
fn the_end_of_a_turn_of_which_nothing_was_said_is_in_the_flow_once() {
    let agent = idle_session();
    let turn = json!({ "type": "agent-turn-complete", "thread-id": "t", "last-assistant-message": "Done." });
    let ends = || assert_silent(&hook(&agent.home, &["codex", &turn.to_string()], b""), "the end of a turn");
    ends();
    agent.waits_idle(1);
    ends();
    agent.waits_idle(2);
    // Where its hooks tell of its work, too, the end is told by them.
    for event in ["UserPromptSubmit", "Stop"] {
        let event = json!({ "hook_event_name": event, "session_id": "t" }).to_string();
        assert_silent(&hook(&agent.home, &["codex"], event.as_bytes()), "a hook of codex");
    }
    ends();
    agent.waits_idle(3);
}

#[test]
fn opencode_asks_by_its_plugin_and_is_answered() {
    let agent = Agent::start(machine(None), "opencode");
    agent.asked("allow bash: rm -r build", "yes");
    agent.works();
    agent.types("go on");
    agent.asked("Shall I push it?", "no");
    let failed = || agent.session()["report"]["error"] == true;
    wait_for("an error", || failed().then_some(()));
    // The end of the turn, which is told right after it, does not hide it.
    std::thread::sleep(SAVED);
    assert!(failed() && agent.session()["report"]["label"] == "rate limited", "{}", agent.session());
    agent.types("try again");
    wait_for("the next turn", || (!failed()).then_some(()));
    agent.types("end");
    agent.ended();
    let session = agent.session();
    assert_eq!(
        (&session["agent_session"], &session["agent_title"]),
        (&json!("ses_1"), &json!("Clean the build"))
    );
}

#[test]
fn pi_asks_by_its_extension_and_is_answered() {
    let agent = Agent::start(machine(None), "pi");
    agent.asked("Allow rm -r build?", "yes");
    agent.works();
    agent.types("go on");
    agent.asked("Shall I push it?", "no");
    agent.ended();
    let session = agent.session();
    assert_eq!(session["agent_session"], "/nowhere/pi session.jsonl");
    assert_eq!(session["agent_title"], "Clean the build");
}

#[test]
fn what_a_subagent_finishes_is_not_the_end_of_a_turn() {
    let home = machine(Some("side.sock"));
    let side = Side::start(home.path().join("side.sock"));
    let agent = Agent::start(home, "opencode");
    side.reports("a question", |report| report.needs_you.is_some());
    let heard = side.heard.lock().unwrap();
    let of_child = heard.iter().any(|(_, body)| body["session"] == "ses_2" || body["label"] == "idle");
    assert!(!of_child, "{} {heard:?}", agent.id);
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
    let side = Side::start(&socket);
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

#[test]
fn a_question_is_in_the_inbox_at_once() {
    let home = Home::new();
    let id = home.ok(["crew", "dispatch", "shell", "-d", "-m", "sleep 600"]).trim().to_owned();
    let side = AgentSide::new(&home.darkmux().join("sessions").join(&id).join("host.sock"));
    let report = |needs_you: Option<&str>| {
        let needs_you = needs_you.map(str::to_owned);
        side.put("/status", &SessionReport { needs_you, ..SessionReport::default() }).unwrap();
    };
    // Each within the time that other changes of the state wait.
    for question in ["A or B?", "C or D?", "E or F?"] {
        report(None);
        report(Some(question));
        let listed = home.ok(["inbox"]);
        assert!(listed.contains(question), "{listed}");
    }
}

#[test]
fn who_has_ended_asks_nobody() {
    let home = Home::new();
    let waits = |script: &str| home.ok(["crew", "dispatch", "shell", "-d", "-m", script]).trim().to_owned();
    let [killed, lost, failed] = ["exec sleep 600", "exec sleep 600", "read x; exit 3"].map(waits);
    for id in [&killed, &lost, &failed] {
        let side = AgentSide::new(&home.darkmux().join("sessions").join(id).join("host.sock"));
        let question = Some("A or B?".to_owned());
        side.put("/status", &SessionReport { needs_you: question, ..SessionReport::default() }).unwrap();
    }
    let asking = || home.json(["inbox", "--json"])["waiting"].as_array().unwrap().len();
    wait_for("three questions", || (asking() == 3).then_some(()));
    home.ok(["session", "kill", &killed]);
    home.ok(["session", "send", &failed, ""]);
    let state = fs::read(home.darkmux().join("sessions").join(&lost).join("state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    signal(state["host_pid"].as_i64().unwrap(), "KILL");
    wait_for("nobody to ask", || (asking() == 0).then_some(()));
    let listed = home.ok(["session", "ls", "--all"]);
    assert!(!listed.contains("needs you") && listed.contains("exited 3"), "{listed}");
}
