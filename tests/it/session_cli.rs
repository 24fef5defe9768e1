//! The verbs of sessions: starting, naming, typing, waiting, running again, removing.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use darkmux::session::AgentSide;
use darkmux::wire::SessionReport;
use serde_json::{Value, json};

use crate::support::api::{Api, data, refusal};
use crate::support::{Home, Running, describe, is_alive, wait_for};

pub fn new(home: &Home, script: &str) -> String {
    home.ok(["session", "new", "-d", "--", "sh", "-c", script]).trim().to_owned()
}

pub fn session(home: &Home, id: &str) -> Value {
    let sessions = home.json(["session", "ls", "--all", "--json"]);
    let mut all = sessions["sessions"].as_array().unwrap().iter();
    all.find(|session| session["id"] == id).cloned().unwrap_or_default()
}

pub fn tail(home: &Home, id: &str) -> String {
    home.ok(["session", "tail", id])
}

fn shows(home: &Home, id: &str, text: &str) {
    wait_for(text, || tail(home, id).contains(text).then_some(()));
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn new_off_a_terminal_follows_the_output_and_ends_with_the_status() {
    let home = Home::new().with("DARKMUX_SERVE_TOKEN", "a".repeat(64)).with("MINE", "kept");
    let script = "echo $MINE-$DARKMUX_SERVE_TOKEN-; exit 5";
    let output = home.run(["session", "new", "--", "sh", "-c", script]);
    assert_eq!((output.stdout.as_slice(), output.status.code()), (b"kept--\n".as_slice(), Some(5)));
    // It is no dispatch.
    assert!(!home.ok(["flow", "tail"]).contains("dispatch"));
    let output = home.run(["session", "new", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(126), "{}", describe(&output));
    // What stands ahead of a program is meant for us.
    let output = home.run(["session", "new", "--jsn", "--", "true"]);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    let output = home.run(["session", "new", "sh", "-c", "exit 4"]);
    assert_eq!(output.status.code(), Some(4), "{}", describe(&output));
    let output = home.run(["session", "new", "--workdir", "/no/such/folder", "true"]);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    let sized = ["session", "new", "-d", "--cols", "91", "--rows", "17", "--", "stty", "size"];
    let id = home.ok(sized).trim().to_owned();
    home.ok(["session", "wait", &id]);
    assert_eq!(tail(&home, &id), "17 91\n");
}

#[test]
fn attach_needs_a_terminal_and_says_what_does_not() {
    let home = Home::new();
    let id = new(&home, "exec cat");
    let output = home.run(["session", "attach", &id]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains(&format!("session tail -f {id}")), "{}", describe(&output));
}

#[test]
fn a_name_finds_its_session_and_is_kept() {
    let home = Home::new();
    let (one, two) = (new(&home, "exec cat"), new(&home, "exit 0"));
    home.ok(["session", "wait", &two]);
    home.ok(["session", "rename", &one, "build"]);
    wait_for("the name", || (session(&home, &one)["name"] == "build").then_some(()));
    let taken = home.run(["session", "rename", &two, "build"]);
    assert_eq!(taken.status.code(), Some(2), "{}", describe(&taken));
    assert!(said(&taken).contains(&one));
    assert_eq!(home.run(["session", "rename", &two, "a\u{1b}[2J"]).status.code(), Some(2));
    // Nor the other one's id as people write it.
    let digits = one.strip_prefix("sess-").unwrap();
    assert_eq!(home.run(["session", "rename", &two, digits]).status.code(), Some(2));
    home.ok(["session", "rename", &two, "check it"]);
    assert_eq!(session(&home, &two)["name"], "check it");
    home.ok(["session", "resume", "-d", "check it"]);
    home.ok(["session", "restart", "-d", "build"]);
    home.ok(["session", "wait", "check it"]);
    assert_eq!(
        (&session(&home, &two)["name"], &session(&home, &one)["name"]),
        (&json!("check it"), &json!("build"))
    );
    assert_eq!(home.run(["session", "new", "-d", "--name", "build", "true"]).status.code(), Some(2));
    home.ok(["session", "kill", "build"]);
}

#[test]
fn a_name_holds_once_it_is_given_and_the_one_before_is_free() {
    let home = Home::new();
    let (one, two) = (new(&home, "exec cat"), new(&home, "exec cat"));
    home.ok(["session", "rename", &one, "m0"]);
    for number in 0..4 {
        home.ok(["session", "rename", &format!("m{number}"), &format!("m{}", number + 1)]);
        home.ok(["session", "rename", &two, &format!("m{number}")]);
    }
    assert_eq!((&session(&home, &one)["name"], &session(&home, &two)["name"]), (&json!("m4"), &json!("m3")));
}

#[test]
fn a_name_that_several_have_finds_none_of_them() {
    let home = Home::new();
    let named = || home.ok(["session", "new", "-d", "--name", "build", "--", "cat"]).trim().to_owned();
    let first = named();
    home.ok(["session", "kill", "build"]);
    let second = named();
    home.ok(["session", "send", "build", "to the one that runs"]);
    shows(&home, &second, "to the one that runs");
    // Its name means another one now.
    let refused = home.run(["session", "resume", "-d", &first]);
    assert_eq!(refused.status.code(), Some(2), "{}", describe(&refused));
    assert!(said(&refused).contains(&second) && said(&refused).contains("session rename"));
    let refused = |verb: &str, name: Option<&str>| {
        let mut command = home.cmd(["session", verb, "build"]);
        let output = command.args(name).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{verb}: {}", describe(&output));
        assert!([&first, &second].iter().all(|id| said(&output).contains(*id)), "{}", describe(&output));
    };
    home.ok(["session", "kill", "build"]);
    for verb in ["attach", "tail", "wait", "kill", "restart", "resume", "dismiss"] {
        refused(verb, None);
    }
    refused("rename", Some("other"));
    // Two that run have one name where a host of before was asked by hand, or where a job of the fleet brought it.
    home.ok(["session", "restart", "-d", &first]);
    let third = new(&home, "exec cat");
    let file = home.darkmux().join("sessions").join(&third).join("state.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    state["name"] = json!("build");
    std::fs::write(&file, state.to_string()).unwrap();
    let output = home.run(["session", "send", "build", "x"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(said(&output).contains(&first) && said(&output).contains(&third), "{}", describe(&output));
}

#[test]
fn the_daemon_starts_no_second_session_of_a_name() {
    let api = Api::start();
    let launch = |name: &str| api.post("/v1/launch", &json!({ "command": ["cat"], "name": name }));
    let mut answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| launch("build"))).collect();
        asked
            .into_iter()
            .map(|one| one.join().unwrap())
            .map(|answer| (answer.status, answer.json()))
            .collect()
    });
    answers.sort_by_key(|(status, _)| *status);
    let first = answers[0].1["data"]["session_id"].as_str().unwrap().to_owned();
    for (status, refused) in &answers[1..] {
        assert_eq!((*status, &refused["error"]["code"]), (409, &json!("name_taken")), "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(&first), "{refused}");
    }
    assert_eq!(refusal(&launch("a@desk")), (400, "validation_error".to_owned()));
    assert_eq!(refusal(&launch(&first)), (409, "name_taken".to_owned()));
    let keyed = || {
        let body = json!({ "command": ["cat"], "name": "once", "key": "k" });
        data(&api.post("/v1/launch", &body))["session_id"].clone()
    };
    assert_eq!(keyed(), keyed());
    // The command line obeys the same.
    let taken = api.home.run(["session", "new", "-d", "--name", "build", "true"]);
    assert_eq!(taken.status.code(), Some(2), "{}", describe(&taken));
    data(&api.act("build", "kill"));
    let second = data(&launch("build"))["session_id"].as_str().unwrap().to_owned();
    for again in ["resume", "restart"] {
        assert_eq!(refusal(&api.act(&first, again)), (409, "name_taken".to_owned()), "{again}");
    }
    assert_eq!(api.session("build")["id"], *second);
    data(&api.act("build", "kill"));
    let several = api.act("build", "resume");
    assert_eq!(refusal(&several), (400, "bad_request".to_owned()));
    assert!(several.text().contains(&first) && several.text().contains(&second), "{}", several.text());
}

#[test]
fn the_daemon_names_sessions_too() {
    let api = Api::start();
    let (one, two) = (api.sh("exec cat"), api.sh("exec cat"));
    let rename = |id: &str, body: Value| api.post(&format!("/v1/sessions/{id}/rename"), &body);
    data(&rename(&one, json!({ "name": "build" })));
    assert_eq!(api.session(&one)["name"], "build");
    for number in 0..4 {
        data(&rename(if number == 0 { "build" } else { "again" }, json!({ "name": "build" })));
        data(&rename("build", json!({ "name": "again" })));
        data(&rename(&two, json!({ "name": "build" })));
        data(&rename(&two, json!({ "name": "free" })));
    }
    data(&rename("again", json!({ "name": "build" })));
    assert_eq!(refusal(&rename(&two, json!({ "name": "build" }))), (409, "name_taken".to_owned()));
    assert_eq!(refusal(&rename(&two, json!({ "name": "a\nb" }))), (400, "validation_error".to_owned()));
    assert_eq!(refusal(&rename(&two, json!({}))), (400, "bad_request".to_owned()));
    assert_eq!(refusal(&rename("sess-00000000", json!({ "name": "x" }))), (404, "not_found".to_owned()));
}

#[test]
fn resume_and_restart_keep_the_id_and_go_on_with_the_output() {
    let home = Home::new();
    let id = new(&home, "echo run; exec cat");
    shows(&home, &id, "run");
    let running = home.run(["session", "resume", &id]);
    assert_eq!(running.status.code(), Some(1), "{}", describe(&running));
    assert!(said(&running).contains("session attach"));
    home.ok(["session", "kill", &id]);
    let ended = session(&home, &id);
    assert_eq!(home.ok(["session", "resume", "-d", &id]).trim(), id);
    wait_for("two runs", || (tail(&home, &id) == "run\nrun\n").then_some(()));
    let resumed = session(&home, &id);
    assert_eq!((&resumed["runs"], &resumed["created_at"]), (&json!(2), &ended["created_at"]));
    assert_eq!(resumed["output"]["start"], ended["output"]["start"]);
    assert!(resumed["output"]["end"].as_u64() > ended["output"]["end"].as_u64());
    home.ok(["session", "restart", "-d", &id]);
    wait_for("three runs", || (tail(&home, &id) == "run\nrun\nrun\n").then_some(()));
    assert!(!is_alive(resumed["pid"].as_i64().unwrap()));
    assert_eq!(session(&home, &id)["runs"], 3);
}

#[test]
fn an_agent_goes_on_with_its_conversation_or_begins_a_new_one() {
    let home = Home::new();
    let agent = home.path().join("claude");
    std::fs::write(&agent, "#!/bin/sh\necho \"run: $*\"\n").unwrap();
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let agent = agent.to_str().unwrap();
    let id = home.ok(["session", "new", "-d", "--", agent, "do it"]).trim().to_owned();
    let mut runs = Vec::new();
    for verb in ["", "resume", "resume", "restart"] {
        if !verb.is_empty() {
            home.ok(["session", verb, "-d", &id]);
        }
        home.ok(["session", "wait", &id]);
        let told = tail(&home, &id);
        let last = told.split("run: ").last().unwrap().split_whitespace().map(str::to_owned);
        runs.push(last.collect::<Vec<String>>());
    }
    let after =
        |run: &[String], name: &str| run.iter().position(|word| word == name).map(|at| run[at + 1].clone());
    let first = after(&runs[0], "--session-id").unwrap();
    for resumed in &runs[1..3] {
        assert_eq!(after(resumed, "--resume").as_ref(), Some(&first), "{resumed:?}");
        assert!(!resumed.contains(&"it".to_owned()), "what it was told is not said again: {resumed:?}");
    }
    let anew = after(&runs[3], "--session-id").unwrap();
    assert!(anew != first && runs[3].ends_with(&["do".to_owned(), "it".to_owned()]), "{:?}", runs[3]);
}

#[test]
fn an_attempt_at_a_job_is_not_run_again_by_hand() {
    let home = Home::new();
    let id = home.ok(["crew", "dispatch", "shell", "-d", "-m", "exec sleep 60"]).trim().to_owned();
    let file = home.darkmux().join("sessions").join(&id).join("spec.json");
    let mut spec: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    spec["dispatch"]["work_id"] = json!(id);
    std::fs::write(&file, spec.to_string()).unwrap();
    for verb in ["restart", "resume"] {
        let output = home.run(["session", verb, "-d", &id]);
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        assert!(said(&output).contains("darkmux job retry"), "{}", describe(&output));
    }
    assert_eq!(session(&home, &id)["state"], "running", "nothing was ended for it");
}

#[test]
fn dismiss_removes_what_has_ended_and_the_rest_only_when_told() {
    let home = Home::new();
    let (ended, runs) = (new(&home, "true"), new(&home, "exec sleep 60"));
    home.ok(["session", "wait", &ended]);
    let pid = session(&home, &runs)["pid"].as_i64().unwrap();
    let refused = home.run(["session", "dismiss", &ended, &runs]);
    assert_eq!(refused.status.code(), Some(2), "{}", describe(&refused));
    assert!(said(&refused).contains("--yes"));
    // Refused as a whole.
    assert_eq!(session(&home, &ended)["state"], "exited");
    assert_eq!(home.run(["session", "dismiss", "--ended"]).status.code(), Some(2));
    assert_eq!(home.ok(["session", "dismiss", &ended]), format!("dismissed {ended}\n"));
    let others: Vec<String> = (0..3).map(|_| new(&home, "true")).collect();
    for id in &others {
        home.ok(["session", "wait", id]);
    }
    home.ok(["session", "dismiss", "--ended", "--yes"]);
    let left = home.json(["session", "ls", "--all", "--json"]);
    assert_eq!(left["sessions"].as_array().unwrap().len(), 1);
    home.ok(["session", "dismiss", "--yes", &runs]);
    assert!(!is_alive(pid));
    let folders = std::fs::read_dir(home.darkmux().join("sessions")).unwrap().count();
    assert_eq!(folders, 0);
}

#[test]
fn wait_for_a_text_on_the_screen_or_later() {
    let home = Home::new();
    let id = new(
        &home,
        "echo 'on the screen'; read x; printf 'half '; read y; echo a line; printf '\\033[5;3Hdr\\033[5;5Hawn'; read z",
    );
    shows(&home, &id, "on the screen");
    assert_eq!(home.ok(["session", "wait", "--text", "^on the .*n$", &id]), "on the screen\n");
    let over = home.run(["session", "wait", "--text", "a line", "--timeout", "300ms", &id]);
    assert_eq!(over.status.code(), Some(124), "{}", describe(&over));
    for (pattern, line) in [("half", "half "), ("^  drawn", "  drawn")] {
        let waits = ["session", "wait", "--timeout", "30s", "--text", pattern, &id];
        let mut waiting = Running(home.cmd(waits).stdout(Stdio::piped()).spawn().unwrap());
        home.ok(["session", "send", &id, ""]);
        let mut out = String::new();
        std::io::Read::read_to_string(waiting.0.stdout.as_mut().unwrap(), &mut out).unwrap();
        assert_eq!(out.trim_end(), line.trim_end());
    }
    for bad in ["(", ""] {
        assert_eq!(home.run(["session", "wait", "--text", bad, &id]).status.code(), Some(2), "{bad:?}");
    }
    home.ok(["session", "send", &id, ""]);
    let ended = home.run(["session", "wait", "--text", "never", "--json", &id]);
    assert_eq!(ended.status.code(), Some(1), "{}", describe(&ended));
    let told: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&told["reason"], &told["session"]["exit_code"]), (&json!("ended"), &json!(0)));
    assert_eq!(home.run(["session", "wait", "--exit", &id]).status.code(), Some(0));
}

#[test]
fn wait_for_idle_goes_by_what_the_session_says() {
    let home = Home::new();
    let id = new(&home, "exec cat");
    let silent = home.run(["session", "wait", "--idle", &id]);
    assert_eq!(silent.status.code(), Some(1), "{}", describe(&silent));
    assert!(said(&silent).contains("--text"));
    let side = AgentSide::new(&home.darkmux().join("sessions").join(&id).join("host.sock"));
    let works = SessionReport { working: true, ..SessionReport::default() };
    side.put("/status", &works).unwrap();
    let over = home.run(["session", "wait", "--idle", "--timeout", "200ms", &id]);
    assert_eq!(over.status.code(), Some(124), "{}", describe(&over));
    let mut waiting =
        Running(home.cmd(["session", "wait", "--idle", &id]).stdout(Stdio::piped()).spawn().unwrap());
    let asks = SessionReport { needs_you: Some("A or B?".to_owned()), ..SessionReport::default() };
    side.put("/status", &asks).unwrap();
    let mut out = String::new();
    std::io::Read::read_to_string(waiting.0.stdout.as_mut().unwrap(), &mut out).unwrap();
    assert_eq!((out.as_str(), waiting.0.wait().unwrap().code()), ("A or B?\n", Some(0)));
    // Nobody looked: the list marks it.
    wait_for("the mark", || home.ok(["session", "ls"]).contains("* sh -c").then_some(()));

    side.put("/status", &works).unwrap();
    let waiting = home.cmd(["session", "wait", "--idle", &id]).stderr(Stdio::piped()).spawn().unwrap();
    home.ok(["session", "kill", &id]);
    let ended = waiting.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", describe(&ended));
    assert!(said(&ended).contains("before that"), "{}", describe(&ended));
}

#[test]
fn send_types_texts_keys_and_what_comes_by_a_pipe() {
    let home = Home::new();
    let script = "stty raw -echo; echo ready; while c=$(dd bs=1 count=1 2>/dev/null | od -An -tx1); do printf '%s' \"$c\"; done";
    let shown = new(&home, script);
    shows(&home, &shown, "ready");
    let hex = |text: &str| shows(&home, &shown, text);
    home.ok(["session", "send", &shown, "hi"]);
    hex("68 69 0d");
    home.ok(["session", "send", "--no-enter", &shown, "jo"]);
    hex("6a 6f");
    home.ok(["session", "send", "--key", "up", "--key", "ctrl-c", &shown]);
    hex("1b 5b 41 03");
    home.ok(["session", "send", &shown, "q", "--key", "esc"]);
    hex("71 1b");
    let mut piped = home.cmd(["session", "send", &shown]).stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"pipe").unwrap();
    assert!(piped.wait().unwrap().success());
    hex("70 69 70 65 0d");
    let mut lines = home.cmd(["session", "send", &shown, "-"]).stdin(Stdio::piped()).spawn().unwrap();
    lines.stdin.take().unwrap().write_all(b"x\ny\n").unwrap();
    assert!(lines.wait().unwrap().success());
    hex("0d 78 0a 79 0d");
    home.ok(["session", "send", &shown, "a\nb"]);
    hex("79 0d 61 0a 62 0d");
    assert_eq!(home.run(["session", "send", "--key", "f99", &shown]).status.code(), Some(2));
}

#[test]
fn several_lines_are_pasted_where_the_program_knows_pasting() {
    let home = Home::new();
    let script = "stty raw -echo; printf '\\033[?2004h\\033[?1hready'; while c=$(dd bs=1 count=1 2>/dev/null | od -An -tx1); do printf '%s' \"$c\"; done";
    let id = new(&home, script);
    shows(&home, &id, "ready");
    home.ok(["session", "send", &id, "a\nb"]);
    shows(&home, &id, "1b 5b 32 30 30 7e 61 0d 62 1b 5b 32 30 31 7e 0d");
    home.ok(["session", "send", "--key", "up", &id]);
    shows(&home, &id, "1b 4f 41");
}
