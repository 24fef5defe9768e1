//! Sessions under faults: ends with slow readers, broken folders, full disks, stopped hosts.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{BIN, Home, PATIENCE, Running, Tty, describe, is_alive, signal, wait_for};

fn detached(home: &Home, script: &str) -> String {
    home.ok(["crew", "dispatch", "shell", "-d", "-m", script]).trim().to_owned()
}

fn folder(home: &Home, id: &str) -> PathBuf {
    home.darkmux().join("sessions").join(id)
}

/// What the session's host wrote last.
fn state(home: &Home, id: &str) -> Value {
    let text = std::fs::read(folder(home, id).join("state.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A program that writes numbered lines until its terminal takes no more, and notes what was taken.
const FLOOD: &str =
    "i=0; while :; do i=$((i+1)); printf '%0900d\\n' $i; echo $i > taken.new; mv taken.new taken; done";

#[test]
fn what_the_terminal_still_holds_at_the_end_reaches_a_slow_caller() {
    let home = Home::new().with("DARKMUX_SESSION_LOG_BYTES", "1048576");
    let mut child = home
        .cmd(["crew", "dispatch", "shell", "--session-id", "slow", "-m", FLOOD])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut before, mut still) = (0, 0);
    let taken = wait_for("the program to wait for its reader", || {
        let text = std::fs::read_to_string(home.path().join("taken")).ok()?;
        let taken: u32 = text.trim().parse().ok()?;
        still = if taken == before { still + 1 } else { 0 };
        before = taken;
        (still == 50).then_some(taken)
    });
    home.ok(["session", "kill", "--now", "slow"]);
    let mut text = String::new();
    child.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().code() > Some(128));
    let whole: Vec<u32> =
        text.lines().filter(|line| line.len() == 900).map(|line| line.parse().unwrap()).collect();
    let last = whole.last().copied().unwrap_or_default();
    assert!(last >= taken, "{taken} lines were taken, the last that came is {last}");
    assert_eq!(whole, (1..=last).collect::<Vec<_>>());
}

/// The names of the verbs that need the host, with what they take.
const ASKING: [&[&str]; 5] = [
    &["session", "tail", "-f", "s"],
    &["session", "wait", "s"],
    &["session", "send", "s", "x"],
    &["session", "kill", "--signal", "WINCH", "s"],
    &["session", "kill", "s"],
];

#[test]
fn a_host_that_was_stopped_is_named_by_every_verb_and_goes_on_later() {
    let home = Home::new();
    home.ok(["crew", "dispatch", "shell", "-d", "--session-id", "s", "-m", "echo hi; sleep 60"]);
    wait_for("its output", || (home.ok(["session", "tail", "s"]) == "hi\n").then_some(()));
    let host = state(&home, "s")["host_pid"].as_i64().unwrap();
    signal(host, "STOP");
    assert!(home.ok(["session", "ls"]).contains("running"));
    assert_eq!(home.ok(["session", "tail", "s"]), "hi\n");
    let children: Vec<_> = ASKING
        .iter()
        .map(|args| {
            let mut command = home.command(BIN);
            command.args(*args).stdout(Stdio::piped()).stderr(Stdio::piped());
            (args, command.spawn().unwrap())
        })
        .collect();
    for (args, child) in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{args:?} {}", describe(&output));
        let said = stderr(&output);
        let way = format!("kill -CONT {host}");
        assert!(said.contains("does not answer") && said.contains(&way), "{args:?} {said}");
    }
    signal(host, "CONT");
    home.ok(["session", "kill", "s"]);
    assert_eq!(state(&home, "s")["reason"], "killed");
}

#[tokio::test]
async fn who_attaches_to_a_host_that_was_stopped_is_told_and_has_the_terminal_back() {
    let home = Home::new();
    let id = detached(&home, "sleep 60");
    let host = state(&home, &id)["host_pid"].as_i64().unwrap();
    signal(host, "STOP");
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    tty.expect(&format!("kill -CONT {host}")).await;
    assert_eq!(tty.wait().await.shell_code(), 125);
    signal(host, "CONT");
}

#[test]
fn who_waits_for_a_host_that_was_stopped_can_leave() {
    let home = Home::new();
    home.ok(["crew", "dispatch", "shell", "-d", "--session-id", "s", "-m", "sleep 60"]);
    let host = state(&home, "s")["host_pid"].as_i64().unwrap();
    signal(host, "STOP");
    let mut waiting = Running(home.cmd(["session", "wait", "s"]).stderr(Stdio::null()).spawn().unwrap());
    let limited = home.run(["session", "wait", "--timeout", "200ms", "s"]);
    assert_eq!(limited.status.code(), Some(124), "{}", describe(&limited));
    let pid = waiting.pid();
    let status = wait_for("it to be left", || {
        signal(pid, "INT");
        waiting.0.try_wait().unwrap()
    });
    assert_ne!(status.code(), Some(125), "it gave up instead of being left");
    signal(host, "CONT");
}

#[tokio::test]
async fn a_paste_that_nobody_reads_keeps_nobody_from_leaving() {
    let home = Home::new();
    let id = detached(&home, "stty raw -echo; echo ready; sleep 60");
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    tty.expect("ready").await;
    let paste = "x".repeat(1024 * 1024);
    tokio::time::timeout(PATIENCE, tty.press(&paste)).await.expect("the paste to be taken");
    tty.press("\u{1c}").await;
    tty.expect("which runs on").await;
    assert_eq!(tty.wait().await.shell_code(), 0);
}

#[tokio::test]
async fn the_end_is_seen_behind_a_paste_that_nobody_reads() {
    let home = Home::new();
    let script = "stty raw -echo; echo ready; until [ -e end ]; do sleep 0.05; done; exit 4";
    let mut tty = Tty::start(&home, ["crew", "dispatch", "shell", "-m", script]);
    tty.expect("ready").await;
    let paste = "x\n".repeat(512 * 1024);
    tokio::time::timeout(PATIENCE, tty.press(&paste)).await.expect("the paste to be taken");
    std::fs::write(home.path().join("end"), "").unwrap();
    tty.expect("exit code 4").await;
    assert_eq!(tty.wait().await.shell_code(), 4);
}

#[test]
fn text_that_cannot_be_typed_is_refused_and_never_cut() {
    let home = Home::new();
    let id = detached(&home, "stty raw -echo; echo ready; sleep 60");
    wait_for("it to be ready", || home.ok(["session", "tail", &id]).contains("ready").then_some(()));
    let send = |bytes: usize| {
        let mut child = home
            .cmd(["session", "send", "--no-enter", &id, "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Whoever refuses does not read to the end.
        let _ = child.stdin.take().unwrap().write_all(&vec![b'x'; bytes]);
        child.wait_with_output().unwrap()
    };
    let output = send(1024 * 1024 + 1);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    assert!(stderr(&output).contains("nothing was typed"), "{}", describe(&output));
    let full = wait_for("the host to take no more", || {
        let output = send(1024 * 1024);
        (!output.status.success()).then_some(output)
    });
    assert_eq!(full.status.code(), Some(1), "{}", describe(&full));
    assert!(stderr(&full).contains("does not read what is typed"), "{}", describe(&full));
}

#[test]
fn what_outlives_its_host_is_ended_where_it_is_proved_to_be_its_own() {
    let home = Home::new();
    let deaf = "trap '' HUP TERM; echo up; while :; do sleep 1; done";
    let begun = |id: &str| {
        home.ok(["crew", "dispatch", "shell", "-d", "--session-id", id, "-m", deaf]);
        wait_for("its output", || (home.ok(["session", "tail", id]) == "up\n").then_some(()));
        let (host, pid) = (&state(&home, id)["host_pid"], state(&home, id)["pid"].as_i64().unwrap());
        signal(host.as_i64().unwrap(), "KILL");
        wait_for("it to be lost", || home.ok(["session", "ls", "--all"]).contains("lost").then_some(()));
        assert!(is_alive(pid), "it takes no HUP");
        pid
    };
    let pid = begun("own");
    let killed = home.run(["session", "kill", "--grace", "300ms", "own"]);
    assert_eq!(killed.status.code(), Some(0), "{}", describe(&killed));
    assert!(stderr(&killed).contains("still ran, and has ended now"), "{}", describe(&killed));
    assert!(!is_alive(pid), "what was said is true");
    let again = home.run(["session", "kill", "own"]);
    assert!(again.status.success() && stderr(&again).contains("has ended already"), "{}", describe(&again));

    // As after a restart of the machine: the number is another process's.
    let pid = begun("other");
    let path = folder(&home, "other").join("state.json");
    let change = |birth: Value| {
        let mut state = state(&home, "other");
        state["process_birth"] = birth;
        std::fs::write(&path, state.to_string()).unwrap();
    };
    let birth = state(&home, "other")["process_birth"].clone();
    change("1@another".into());
    let killed = home.run(["session", "kill", "--now", "other"]);
    assert!(
        killed.status.success() && stderr(&killed).contains("has ended already"),
        "{}",
        describe(&killed)
    );
    assert!(is_alive(pid), "it is not its own");
    // Written by a version that did not note it.
    change(Value::Null);
    let killed = home.run(["session", "kill", "--now", "other"]);
    assert_eq!(killed.status.code(), Some(1), "{}", describe(&killed));
    assert!(stderr(&killed).contains(&format!("ps -o pid,args -s {pid}")), "{}", describe(&killed));
    assert!(is_alive(pid), "nothing proves it");
    // Who forgets the session ends it, too.
    change(birth);
    home.ok(["session", "dismiss", "other"]);
    assert!(!is_alive(pid) && !folder(&home, "other").exists());
}

#[test]
fn a_host_that_speaks_another_protocol_is_told_apart() {
    let home = Home::new();
    home.ok(["crew", "dispatch", "shell", "--session-id", "real", "-m", "true"]);
    let mut status = state(&home, "real");
    status["id"] = "s".into();
    status["state"] = "running".into();
    let folder = folder(&home, "s");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("state.json"), status.to_string()).unwrap();
    let lease = std::fs::File::create(folder.join("lease")).unwrap();
    lease.lock().unwrap();
    let listener = UnixListener::bind(folder.join("host.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: darkmux-attach\r\n\r\nZ\0\0\0\0";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let output = home.run(["session", "tail", "-f", "s"]);
    assert_eq!(output.status.code(), Some(125), "{}", describe(&output));
    assert!(stderr(&output).contains("another protocol version"), "{}", describe(&output));
}

/// Linux only: macOS has no way to mount without asking.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_at_the_end_is_said_and_the_end_is_written_later() {
    let home = Home::new();
    let script = r#"
        job='echo early; until grep -qs early s/output/*.out; do sleep 0.01; done; cat /dev/zero >ballast 2>/dev/null; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
            echo late; sleep 0.02; done; exit 3'
        status=0
        "$2" crew dispatch shell --session-id s --workdir "$1" -m "$job" >"$3/out" 2>"$3/said" || status=$?
        grep -q '"running"' "$1/s/state.json"
        waited=0; "$2" session wait s || waited=$?
        rm "$1/ballast"
        tries=0
        until grep -q '"exited"' "$1/s/state.json"; do
            tries=$((tries + 1)); test $tries -lt 400; sleep 0.05
        done
        echo "$status $waited $("$2" session tail s | head -n 1)"
    "#;
    let output = crate::flow_write::on_a_small_disk(&home, &home.darkmux().join("sessions"), script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3 3 early\n", "{}", describe(&output));
    let found = |name: &str| std::fs::read_to_string(home.path().join("found").join(name)).unwrap();
    assert_eq!(found("out").lines().filter(|line| *line == "late").count(), 12);
    assert!(found("said").contains("the end is not on the disk"), "{}", found("said"));
}

#[test]
fn a_program_that_lets_go_of_its_terminal_can_come_back_to_it() {
    let home = Home::new();
    let job = "echo first; exec 0<&- 1>&- 2>&-; touch away; until [ -e back ]; do sleep 0.05; done; \
               echo second >/dev/tty; exit 3";
    let id = detached(&home, job);
    wait_for("it to let go", || home.path().join("away").exists().then_some(()));
    assert!(home.ok(["session", "ls"]).contains("running"));
    std::fs::write(home.path().join("back"), "").unwrap();
    assert_eq!(home.run(["session", "wait", &id]).status.code(), Some(3));
    assert_eq!(home.ok(["session", "tail", &id]), "first\nsecond\n");
}
