//! Sessions from other terminals, and what they survive.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Daemon, Home, Running, Tty, describe, is_alive, lines, signal, wait_for};

/// How long a session's program may wait for somebody who holds it.
const HOLD_PATIENCE: Duration = Duration::from_secs(10);

fn detached(home: &Home, script: &str) -> String {
    home.ok(["crew", "dispatch", "shell", "-d", "-m", script]).trim().to_owned()
}

fn state(home: &Home, id: &str) -> Value {
    let sessions = home.json(["session", "ls", "--all", "--json"]);
    let mut all = sessions["sessions"].as_array().unwrap().iter();
    all.find(|session| session["id"] == id).cloned().unwrap_or_default()
}

fn folder(home: &Home, id: &str) -> PathBuf {
    home.darkmux().join("sessions").join(id)
}

/// The folder of the only session.
fn only(home: &Home) -> String {
    wait_for("a running session", || {
        let sessions = home.json(["session", "ls", "--json"]);
        let session = &sessions["sessions"][0];
        (session["state"] == "running").then(|| session["id"].as_str().unwrap().to_owned())
    })
}

#[tokio::test]
async fn attach_from_another_terminal_types_into_it_and_leaves_it() {
    let home = Home::new();
    let id = detached(&home, "echo ready; read x; echo got $x; read y; echo then $y; exit 4");
    let mut first = Tty::start(&home, ["session", "attach", &id]);
    first.expect("ready").await;
    first.press("one\r").await;
    first.expect("got one").await;
    first.press("\u{1c}").await;
    first.expect("which runs on").await;
    assert_eq!(first.wait().await.shell_code(), 0);

    let mut second = Tty::start(&home, ["session", "attach", &id[..id.len() - 2]]);
    second.expect("got one").await;
    second.press("two\r").await;
    second.expect("then two").await;
    second.expect("exit code 4").await;
    assert_eq!(second.wait().await.shell_code(), 4);
}

#[tokio::test]
async fn ctrl_c_in_an_attached_session_is_the_programs() {
    let home = Home::new();
    let id = detached(&home, "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done");
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    tty.expect("ready").await;
    tty.press("\u{3}").await;
    tty.expect("caught").await;
    assert_eq!(tty.wait().await.shell_code(), 9);
}

#[tokio::test]
async fn the_window_of_who_attaches_becomes_the_sessions() {
    let home = Home::new();
    let id = detached(&home, "stty size; read x; stty size");
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    tty.expect("24 80").await;
    tty.press("\r").await;
    tty.expect("30 100").await;
}

#[test]
fn the_death_of_the_command_is_not_that_of_the_session() {
    let home = Home::new();
    let script = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; sleep 0.005; done; exit 6";
    let mut command = Running(
        home.cmd(["crew", "dispatch", "shell", "-m", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut some = [0; 16];
    command.0.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
    command.kill();
    let id = only(&home);
    let output = home.run(["session", "tail", "-f", &id]);
    let expected = lines(1..=400);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", describe(&output));
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(home.ok(["session", "tail", "-n", "2", &id]), "399\n400\n");
    assert_eq!(home.run(["session", "wait", &id]).status.code(), Some(6));
}

#[test]
fn a_session_whose_host_was_killed_is_lost_and_its_output_is_kept() {
    let home = Home::new();
    let id = detached(&home, "echo before; exec sleep 60");
    wait_for("its output", || (home.ok(["session", "tail", &id]) == "before\n").then_some(()));
    let host = state(&home, &id)["host_pid"].as_i64().unwrap();
    signal(host, "KILL");
    wait_for("the session to be lost", || (state(&home, &id)["state"] == "lost").then_some(()));
    assert_eq!(home.ok(["session", "tail", &id]), "before\n");
    let waited = home.run(["session", "wait", &id]);
    assert_eq!(waited.status.code(), Some(125), "{}", describe(&waited));
    let pid = state(&home, &id)["pid"].as_i64().unwrap();
    wait_for("the process to end with its terminal", || (!is_alive(pid)).then_some(()));
    let ends = home.ok(["flow", "tail"]).lines().filter(|line| line.contains("dispatch error")).count();
    assert_eq!(ends, 1, "the flow tells the end once, however often it is looked at");
}

#[test]
fn a_starting_daemon_gives_lost_sessions_their_end() {
    let home = Home::new();
    let id = detached(&home, "exec sleep 60");
    let host = state(&home, &id)["host_pid"].as_i64().unwrap();
    signal(host, "KILL");
    wait_for("the host to end", || (!is_alive(host)).then_some(()));
    let _daemon = Daemon::start(&home);
    wait_for("the record of its end", || home.ok(["flow", "tail"]).contains("dispatch error").then_some(()));
}

#[test]
fn kill_ends_the_whole_session_and_says_so() {
    let home = Home::new().with("DARKMUX_SESSION_GRACE", "200ms");
    let id = detached(&home, "trap '' TERM HUP; echo $$; while :; do sleep 1; done");
    wait_for("its pid", || home.ok(["session", "tail", &id]).contains('\n').then_some(()));
    home.ok(["session", "kill", &id]);
    let ended = state(&home, &id);
    assert_eq!((ended["reason"].as_str(), ended["exit_code"].as_i64()), (Some("killed"), Some(137)));
    assert!(!is_alive(ended["pid"].as_i64().unwrap()));
    home.ok(["session", "kill", &id]);
    let sent = home.run(["session", "send", &id, "x"]);
    assert_eq!(sent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&sent.stderr).contains("has ended"));
}

#[test]
fn the_systems_own_end_is_passed_on_politely() {
    let home = Home::new();
    let id = detached(&home, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done");
    wait_for("it to be ready", || home.ok(["session", "tail", &id]).contains("ready").then_some(()));
    signal(state(&home, &id)["host_pid"].as_i64().unwrap(), "TERM");
    assert_eq!(home.run(["session", "wait", &id]).status.code(), Some(0));
    assert!(home.ok(["session", "tail", &id]).contains("bye"));
}

#[test]
fn waiting_has_a_limit_of_its_own_that_ends_nothing() {
    let home = Home::new();
    let id = detached(&home, "sleep 60");
    let output = home.run(["session", "wait", "--timeout", "100ms", &id]);
    assert_eq!(output.status.code(), Some(124), "{}", describe(&output));
    assert_eq!(state(&home, &id)["state"], "running");
}

#[test]
fn an_unclear_name_is_answered_with_the_candidates() {
    let home = Home::new();
    let (one, two) = (detached(&home, "sleep 60"), detached(&home, "sleep 60"));
    let output = home.run(["session", "tail", "shell"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&one) && said.contains(&two), "{said}");
    let none = home.run(["session", "tail", "no-such\u{1b}[31m"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(!none.stderr.contains(&0x1b));
}

#[test]
fn a_stalled_client_delays_nobody_and_gets_everything_later() {
    // Most of it is then on the disk alone.
    let home = Home::new().with("DARKMUX_SESSION_SCROLLBACK_BYTES", "4096");
    let id = detached(&home, "read x; seq 1 200000; exit 0");
    let mut stalled =
        Running(home.cmd(["session", "tail", "-f", &id]).stdout(Stdio::piped()).spawn().unwrap());
    home.ok(["session", "send", "--no-enter", &id, "\n"]);
    // Nobody reads the first client's pipe; the second is done all the same.
    let output = home.run(["session", "tail", "-f", &id]);
    assert!(output.status.success(), "{}", describe(&output));
    let mut text = String::new();
    stalled.0.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.as_bytes(), output.stdout);
    assert!(text.ends_with("199999\n200000\n") && text.contains("\n1\n2\n3\n"));
}

#[test]
fn a_stopped_tail_holds_up_no_program_and_is_told_what_it_missed() {
    let home = Home::new()
        .with("DARKMUX_SESSION_LOG_BYTES", "65536")
        .with("DARKMUX_SESSION_SCROLLBACK_BYTES", "4096");
    let id = detached(&home, "read x; seq 1 300000");
    let tail = ["session", "tail", "-f", "--json", &id];
    let mut stopped = Running(home.cmd(tail).stdout(Stdio::piped()).spawn().unwrap());
    let mut reader = BufReader::new(stopped.0.stdout.take().unwrap());
    home.ok(["session", "send", &id, "x"]);
    let mut text = String::new();
    reader.read_line(&mut text).unwrap();
    signal(stopped.pid(), "STOP");
    let begun = Instant::now();
    home.ok(["session", "wait", &id]);
    assert!(begun.elapsed() < HOLD_PATIENCE, "it ended only when nobody waited for the tail any longer");
    signal(stopped.pid(), "CONT");
    reader.read_to_string(&mut text).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, parts) = lines.split_last().unwrap();
    let mut at = 0;
    for part in parts {
        assert_eq!(part["from"], at, "{part}");
        at = part["to"].as_u64().unwrap();
    }
    assert_eq!(last["session"]["output"]["end"], at, "each byte was shown or told to be missing");
    assert!(parts.iter().any(|part| part["gap"] == true));
    assert!(parts.last().unwrap()["output"].as_str().unwrap().ends_with("299999\r\n300000\r\n"));
}

#[test]
fn what_a_session_keeps_is_bounded_and_the_missing_part_is_told() {
    let home = Home::new()
        .with("DARKMUX_SESSION_LOG_BYTES", "65536")
        .with("DARKMUX_SESSION_SCROLLBACK_BYTES", "4096");
    let id = detached(&home, "seq 1 100000");
    home.ok(["session", "wait", &id]);
    let text = home.ok(["session", "tail", &id]);
    assert!(text.len() <= 65_536 && text.ends_with("99999\n100000\n"));
    let on_disk: u64 = std::fs::read_dir(folder(&home, &id).join("output"))
        .unwrap()
        .map(|segment| segment.unwrap().metadata().unwrap().len())
        .sum();
    assert!(on_disk <= 65_536, "{on_disk}");
    let told = home.ok(["session", "tail", "--json", "--from", "0", &id]);
    let first: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    let kept = &state(&home, &id)["output"]["start"];
    assert!(kept.as_u64() > Some(0));
    assert_eq!((&first["gap"], &first["from"], &first["to"]), (&true.into(), &0.into(), kept));
}

#[test]
fn the_sessions_folder_and_socket_are_the_owners_alone() {
    let home = Home::new();
    let id = detached(&home, "sleep 60");
    let folder = folder(&home, &id);
    assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{}", entry.path().display());
    }
}

/// Every request of a host, and whether it is answered without the key.
const REQUESTS: &[(&str, bool)] = &[
    ("GET /v1/status", true),
    ("GET /meta", true),
    ("PUT /status", true),
    ("PUT /slug", true),
    ("PUT /agent", true),
    ("GET /v1/output", false),
    ("GET /v1/attach", false),
    ("GET /v1/screen", false),
    ("GET /v1/events", false),
    ("POST /v1/input", false),
    ("POST /v1/resize", false),
    ("POST /v1/name", false),
    ("POST /v1/signal?name=KILL", false),
    ("POST /v1/stop", false),
    ("POST /input", false),
    ("GET /scrollback/text", false),
    ("GET /scrollback/tail", false),
    ("POST /kill", false),
    ("GET /nothing", false),
    ("POST /v1/status", false),
];

#[test]
fn a_host_obeys_and_shows_nothing_to_who_has_no_key() {
    let home = Home::new();
    let id = detached(&home, "printf 'sho%s\\n' wn; read line; echo got $line; sleep 60");
    wait_for("its output", || (home.ok(["session", "tail", &id]) == "shown\n").then_some(()));
    let ask = |request: &str, header: &str, body: &str| {
        let mut stream = UnixStream::connect(folder(&home, &id).join("host.sock")).unwrap();
        let length = body.len();
        let head = format!(
            "{request} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let token = "0123456789abcdef".repeat(4);
    for header in ["", "Authorization: Basic x\r\n", &format!("Authorization: Bearer {token}\r\n")] {
        for (request, open) in REQUESTS {
            let answer = ask(request, header, "typed\n");
            assert_eq!(!answer.starts_with("HTTP/1.1 401"), *open, "{request} with {header:?}: {answer}");
            assert!(
                !answer.contains("shown") && (*open || answer.contains("socket-key")),
                "{request}: {answer}"
            );
        }
    }
    assert_eq!(state(&home, &id)["state"], "running");
    assert_eq!(home.ok(["session", "tail", &id]), "shown\n", "nothing was typed");
    let key = format!("{}\r\n", home.socket_key());
    assert!(ask("POST /input", &key, "this\n").starts_with("HTTP/1.1 204"));
    wait_for("what was typed", || home.ok(["session", "tail", &id]).contains("got this").then_some(()));
    // One that is open to others opens nothing; every verb says why.
    let file = home.darkmux().join("socket-key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(ask("POST /input", &key, "x\n").starts_with("HTTP/1.1 401"));
    let refused = home.run(["session", "kill", &id]);
    assert_eq!(refused.status.code(), Some(1), "{}", describe(&refused));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("socket-key"), "{}", describe(&refused));
    // A session outlives its key: the next one counts, whoever makes it.
    std::fs::remove_file(&file).unwrap();
    home.ok(["session", "kill", &id]);
    assert!(file.exists());
}

#[test]
fn the_host_answers_plain_http_and_refuses_nonsense() {
    let home = Home::new();
    let id = detached(&home, "printf hello; sleep 60");
    wait_for("its output", || (home.ok(["session", "tail", &id]) == "hello").then_some(()));
    let ask = |request: &str| {
        let mut stream = UnixStream::connect(folder(&home, &id).join("host.sock")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let key = home.socket_key();
    let get =
        |path: &str| ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n{key}\r\nConnection: close\r\n\r\n"));
    assert!(get("/v1/status").contains("\"protocol\":2"));
    let output = get("/v1/output?from=1");
    assert!(output.contains("darkmux-output-start: 1") && output.contains("ello"), "{output}");
    assert!(get("/v1/nothing").starts_with("HTTP/1.1 404"));
    assert!(get("/v1/attach").starts_with("HTTP/1.1 426"));
    let large = format!(
        "POST /v1/input HTTP/1.1\r\nHost: x\r\n{key}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        1 << 30
    );
    assert!(ask(&format!("{large}{}", "x".repeat(300_000))).starts_with("HTTP/1.1 413"));
    assert!(ask("garbage\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert_eq!(state(&home, &id)["state"], "running");
}

#[test]
fn a_home_with_a_long_path_works_too() {
    let outer = Home::new();
    let long = outer.path().join("x".repeat(120));
    let home = Home::new().with("DARKMUX_HOME", long.display().to_string());
    let output = home.run(["crew", "dispatch", "shell", "-m", "echo hi"]);
    assert_eq!(output.stdout, b"hi\n", "{}", describe(&output));
}

#[test]
fn an_id_is_taken_once() {
    let home = Home::new();
    let args = ["crew", "dispatch", "shell", "--session-id", "mine", "-m", "echo one"];
    assert!(home.run(args).status.success());
    let again = home.run(args);
    assert_eq!(again.status.code(), Some(2), "{}", describe(&again));
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"));
    assert_eq!(home.ok(["session", "tail", "mine"]), "one\n");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let home = Home::new();
    let id = detached(&home, "seq 1 100000");
    home.ok(["session", "wait", &id]);
    let script = format!("{} session tail {id} | head -n 1; echo ${{PIPESTATUS[0]}}", crate::support::BIN);
    let output = home.command("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n0\n", "{}", describe(&output));
    assert!(output.stderr.is_empty(), "{}", describe(&output));
}

#[test]
fn a_single_signal_reaches_the_program_and_ends_nothing_by_itself() {
    let home = Home::new();
    let id = detached(&home, "trap 'echo caught' USR1; echo ready; while :; do sleep 0.05; done");
    wait_for("it to be ready", || home.ok(["session", "tail", &id]).contains("ready").then_some(()));
    home.ok(["session", "kill", "--signal", "USR1", &id]);
    wait_for("the trap", || home.ok(["session", "tail", &id]).contains("caught").then_some(()));
    assert_eq!(state(&home, &id)["state"], "running");
    assert_eq!(home.run(["session", "kill", "--signal", "NONE", &id]).status.code(), Some(2));
}

#[test]
fn tail_as_json_has_every_byte_with_its_offset_and_ends_with_the_session() {
    let home = Home::new();
    let id = detached(&home, "printf 'grüße '; sleep 0.3; printf '\\377\\n'; exit 5");
    let output = home.run(["session", "tail", "--follow", "--json", &id]);
    assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.pop().unwrap();
    assert_eq!((&last["session"]["id"], &last["session"]["exit_code"]), (&id.as_str().into(), &5.into()));
    let shown: String = lines.iter().map(|line| line["output"].as_str().unwrap()).collect();
    assert_eq!(shown, "grüße \u{fffd}\r\n");
    let mut at = 0;
    for line in &lines {
        assert_eq!(line["from"], at);
        at = line["to"].as_u64().unwrap();
    }
    assert_eq!(last["session"]["output"]["end"], at);

    let again = home.ok(["session", "tail", "--json", "--from", "8", &id]);
    let mut again = again.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let first = again.next().unwrap();
    assert_eq!((&first["from"], &first["output"]), (&8.into(), &"\u{fffd}\r\n".into()));
    assert_eq!(again.next().unwrap()["session"]["state"], "exited");
}

#[test]
fn the_list_has_the_output_of_running_sessions_as_it_is_now() {
    let home = Home::new();
    let id = detached(&home, "echo one; read x; echo two; read x");
    let end = || state(&home, &id)["output"]["end"].as_u64().unwrap();
    wait_for("its first line", || (end() == 5).then_some(()));
    home.ok(["session", "send", &id[id.len() - 4..], "go"]);
    wait_for("its second line", || (end() > 10).then_some(()));
    assert_eq!(state(&home, &id)["state"], "running");
}
