//! `crew dispatch` on one machine, as a user runs it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Home, Running, Tty, describe, is_alive, lines, signal, wait_for};

fn dispatch(home: &Home, script: &str) -> Output {
    home.run(["crew", "dispatch", "shell", "-m", script])
}

/// The records of today, and of yesterday in case the test runs over midnight.
fn records(home: &Home) -> Vec<Value> {
    let mut days: Vec<_> =
        std::fs::read_dir(home.darkmux().join("flows")).unwrap().map(|day| day.unwrap().path()).collect();
    days.sort();
    let text: String = days.iter().map(|day| std::fs::read_to_string(day).unwrap()).collect();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|record| record["_type"] != "schema").collect()
}

#[test]
fn output_and_exit_code_are_the_childs_own() {
    let home = Home::new();
    let output = dispatch(&home, "printf hi; exit 7");
    assert_eq!(output.stdout, b"hi", "{}", describe(&output));
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap();
    assert!(last.contains("exit code 7") && last.contains("darkmux session tail shell-"), "{last}");
}

#[test]
fn a_signal_is_reported_as_a_shell_would() {
    let home = Home::new();
    let output = dispatch(&home, "kill -9 $$");
    assert_eq!(output.status.code(), Some(137), "{}", describe(&output));
}

#[test]
fn the_programs_bytes_come_through_a_pipe_unchanged() {
    let home = Home::new();
    let output = dispatch(&home, r"printf 'a\nb\r\nc\001\377\n'");
    assert_eq!(output.stdout, b"a\nb\r\nc\x01\xff\n", "{}", describe(&output));
}

#[test]
fn four_hundred_thousand_lines_arrive_whole_and_in_order_at_a_slow_reader() {
    let home = Home::new()
        .with("DARKMUX_SESSION_LOG_BYTES", "1048576")
        .with("DARKMUX_SESSION_SCROLLBACK_BYTES", "4096");
    let script = "stty -echo; echo ready; read x; seq 1 400000";
    let mut child = Running(
        home.cmd(["crew", "dispatch", "shell", "--session-id", "slow", "-m", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut reader = BufReader::new(child.0.stdout.take().unwrap());
    let mut text = String::new();
    reader.read_line(&mut text).unwrap();
    assert_eq!(text, "ready\n");
    home.ok(["session", "send", "slow", "go"]);
    // The reader goes on only when the program waits for it: it puts out far more than the session keeps.
    let (mut before, mut still) = (0, 0);
    wait_for("the program to wait for its reader", || {
        let end = home.json(["session", "ls", "--all", "--json"])["sessions"][0]["output"]["end"].as_u64()?;
        still = if end == before && end > 10_000 { still + 1 } else { 0 };
        before = end;
        (still == 5).then_some(())
    });
    text.clear();
    reader.read_to_string(&mut text).unwrap();
    assert!(child.0.wait().unwrap().success());
    let expected = lines(1..=400_000);
    assert!(text == expected, "{} bytes instead of {}", text.len(), expected.len());
}

#[test]
fn a_time_limit_is_kept_said_and_leaves_no_process() {
    let home = Home::new();
    let pid_file = home.path().join("pids");
    let script = format!("echo $$ > {0}; sleep 60 & echo $! >> {0}; sleep 61", pid_file.display());
    let begun = Instant::now();
    let output = home.run(["crew", "dispatch", "shell", "--timeout", "1s", "-m", &script]);
    assert_eq!(output.status.code(), Some(124), "{}", describe(&output));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(String::from_utf8_lossy(&output.stderr).contains("reached its time limit"));
    for pid in std::fs::read_to_string(pid_file).unwrap().lines() {
        assert!(!is_alive(pid.parse().unwrap()), "process {pid} is left");
    }
}

#[test]
fn what_ignores_the_polite_signals_is_killed_after_the_grace() {
    let home = Home::new().with("DARKMUX_SESSION_GRACE", "300ms");
    let script = "trap '' HUP TERM; echo $$; while :; do sleep 1; done";
    let output = home.run(["crew", "dispatch", "shell", "--timeout", "500ms", "-m", script]);
    assert_eq!(output.status.code(), Some(124), "{}", describe(&output));
    let pid = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert!(!is_alive(pid));
}

#[test]
fn what_ignores_term_is_told_that_its_terminal_hangs_up() {
    let home = Home::new();
    let script = "trap '' TERM; trap 'exit 7' HUP; echo ready; while :; do sleep 0.1; done";
    let id = home.ok(["crew", "dispatch", "shell", "-d", "-m", script]);
    let id = id.trim();
    wait_for("it to be ready", || home.ok(["session", "tail", id]).contains("ready").then_some(()));
    home.run(["session", "kill", "--grace", "20s", id]);
    assert_eq!(home.run(["session", "wait", id]).status.code(), Some(7), "KILL would be 137");
}

#[test]
fn what_runs_in_the_background_ends_with_the_session() {
    let home = Home::new();
    let output = dispatch(&home, "trap '' HUP; sleep 60 > /dev/null 2>&1 < /dev/null & echo $!");
    assert!(output.status.success(), "{}", describe(&output));
    let pid: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    wait_for("the background process to end", || (!is_alive(pid)).then_some(()));
}

#[test]
fn detached_prints_one_id_and_the_session_goes_on() {
    let home = Home::new();
    let printed =
        home.ok(["crew", "dispatch", "shell", "-d", "--name", "my job", "-m", "read x; echo got $x; exit 3"]);
    let id = printed.trim();
    assert_eq!(printed, format!("{id}\n"));
    home.ok(["session", "send", id, "hello"]);
    assert_eq!(home.run(["session", "wait", "my job"]).status.code(), Some(3));
    assert_eq!(home.ok(["session", "tail", id]), "hello\ngot hello\n");
    let state = &home.json(["session", "ls", "--json"])["sessions"][0];
    assert_eq!((state["state"].as_str(), state["exit_code"].as_i64()), (Some("exited"), Some(3)));
}

#[test]
fn a_dispatch_leaves_its_records() {
    let home = Home::new();
    dispatch(&home, "exit 0");
    dispatch(&home, "exit 5");
    let records = records(&home);
    let actions: Vec<_> = records.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["dispatch start", "dispatch complete", "dispatch start", "dispatch error"]);
    for record in &records {
        assert_eq!(record["handle"], "shell");
        assert_eq!(record["source"], "crew_dispatch");
        assert_eq!(record["machine_id"], "testbox");
        assert!(record["session_id"].as_str().unwrap().starts_with("shell-"));
    }
    assert_eq!(records[1]["payload"]["result_class"], "ok");
    assert_eq!(records[3]["payload"]["exit_code"], 5);
    assert_eq!(records[3]["level"], "error");
}

#[test]
fn json_is_one_document_with_the_output() {
    let home = Home::new();
    let output = home.run(["crew", "dispatch", "shell", "--json", "-m", "echo out; exit 2"]);
    assert_eq!(output.status.code(), Some(2));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["output"], "out\n");
    assert_eq!(document["session"]["exit_code"], 2);
}

#[test]
fn the_session_knows_where_it_is_and_no_secret() {
    let home = Home::new().with("DARKMUX_SERVE_TOKEN", "canary-secret");
    let output =
        dispatch(&home, "echo $DARKMUX_SESSION_ID $TERM; ls $DARKMUX_SOCKET > /dev/null && env; pwd");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.starts_with("shell-") && text.contains("xterm-256color"), "{text}");
    assert!(!text.contains("canary-secret"), "{text}");
    assert!(text.trim_end().ends_with(home.path().file_name().unwrap().to_str().unwrap()), "{text}");
}

#[test]
fn what_cannot_be_is_refused_with_its_own_status() {
    let home = Home::new();
    for (args, status, said) in [
        (vec!["crew", "dispatch", "shel", "-m", "x"], 127, "did you mean `shell`?"),
        (
            vec!["crew", "dispatch", "shell", "--machine", "other", "-m", "x"],
            3,
            "needs a Redis that the machines share",
        ),
        (vec!["crew", "dispatch", "shell", "--workdir", "/no/such", "-m", "x"], 2, "/no/such"),
        (vec!["crew", "dispatch", "shell", "-m", " "], 2, "the message is empty"),
        (vec!["crew", "dispatch", "shell"], 2, "--message"),
        (vec!["crew", "dispatch", "shell", "--timeout", "soon", "-m", "x"], 2, "no duration"),
    ] {
        let output = home.command(crate::support::BIN).args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?} {}", describe(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{args:?} {}", describe(&output));
    }
    let here = home.run(["crew", "dispatch", "shell", "--machine", "testbox", "-m", "true"]);
    assert!(here.status.success(), "{}", describe(&here));
}

#[test]
fn a_dry_run_runs_nothing() {
    let home = Home::new();
    let said = home.ok(["crew", "dispatch", "shell", "--dry-run", "-m", "touch ran"]);
    assert!(said.contains("testbox") && !home.path().join("ran").exists(), "{said}");
    assert!(!home.darkmux().join("sessions").exists());
}

#[tokio::test]
async fn at_a_terminal_keys_go_in_and_ctrl_c_leaves_the_session_running() {
    let home = Home::new();
    let mut tty = Tty::start(
        &home,
        ["crew", "dispatch", "shell", "--name", "t", "-m", "echo ready; read x; echo got $x; sleep 60"],
    );
    tty.expect("ready").await;
    tty.press("abc\r").await;
    tty.expect("got abc").await;
    tty.press("\u{3}").await;
    tty.expect("Ctrl-C again within 2 s ends it").await;
    tty.expect("runs on").await;
    assert_eq!(tty.wait().await.shell_code(), 130);
    let state = &home.json(["session", "ls", "--json"])["sessions"][0];
    assert_eq!(state["state"], "running");
}

#[tokio::test]
async fn a_second_ctrl_c_ends_the_session() {
    let home = Home::new();
    let mut tty = Tty::start(&home, ["crew", "dispatch", "shell", "-m", "echo ready; sleep 60"]);
    tty.expect("ready").await;
    tty.press("\u{3}").await;
    tty.expect("again").await;
    tty.press("\u{3}").await;
    tty.expect("was ended").await;
    assert_eq!(tty.wait().await.shell_code(), 130, "{}", tty.rest());
}

#[test]
fn without_a_terminal_an_interrupt_leaves_the_session_running_too() {
    let home = Home::new();
    let mut child = home
        .cmd(["crew", "dispatch", "shell", "-m", "echo ready; sleep 60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    signal(i64::from(child.id()), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(home.json(["session", "ls", "--json"])["sessions"][0]["state"], "running");
}
