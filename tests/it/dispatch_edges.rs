//! `crew dispatch` at the edges: odd callers, odd folders, odd messages.

use std::process::Output;

use crate::support::{BIN, Home, Tty, describe, signal};

/// A line of shell around darkmux.
fn sh(home: &Home, script: &str) -> Output {
    home.command("sh").args(["-c", script, "sh", BIN]).output().unwrap()
}

#[test]
fn what_a_job_makes_has_the_callers_umask() {
    let home = Home::new();
    let output = sh(&home, "umask 022; exec \"$1\" crew dispatch shell -m umask");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0022", "{}", describe(&output));
}

#[test]
fn signals_that_the_caller_ignores_work_in_the_job() {
    let home = Home::new();
    for name in ["INT", "QUIT", "HUP", "TERM"] {
        let script =
            format!("trap '' {name}; exec \"$1\" crew dispatch shell -m 'kill -{name} $$; echo deaf'");
        let output = sh(&home, &script);
        assert!(output.stdout.is_empty() && output.status.code() > Some(128), "{}", describe(&output));
    }
}

#[test]
fn messages_at_the_limit_pass_and_beyond_it_are_refused_by_name() {
    let home = Home::new();
    let file = home.path().join("message");
    let dispatch = || home.run(["crew", "dispatch", "shell", "--message-from-file", "message"]);
    let refused = |said: &str| {
        let output = dispatch();
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{}", describe(&output));
    };
    let start = "echo whole #";
    std::fs::write(&file, format!("{start}{}", "x".repeat(262_144 - start.len()))).unwrap();
    assert_eq!(dispatch().stdout, b"whole\n");
    // Cut at the limit, the last character would not be whole.
    std::fs::write(&file, format!("{start}{}", "\u{e4}".repeat(200_000))).unwrap();
    refused("more than 262144 bytes");
    std::fs::write(&file, b"echo \xff").unwrap();
    refused("not UTF-8");
    std::fs::remove_file(&file).unwrap();
    refused("message: No such file");
    std::fs::create_dir(&file).unwrap();
    refused("message: Is a directory");
}

#[test]
fn a_message_comes_from_a_pipe_too() {
    let home = Home::new();
    let output = sh(&home, "echo 'echo piped' | \"$1\" crew dispatch shell -");
    assert_eq!(output.stdout, b"piped\n", "{}", describe(&output));
    let output = sh(
        &home,
        "mkfifo pipe; echo 'echo named' > pipe & exec \"$1\" crew dispatch shell --message-from-file pipe",
    );
    assert_eq!(output.stdout, b"named\n", "{}", describe(&output));
}

#[test]
fn odd_folders_are_used_or_refused_in_words() {
    let home = Home::new();
    let output =
        sh(&home, "mkdir real; ln -s real link; exec \"$1\" crew dispatch shell --workdir link -m 'pwd'");
    assert!(output.stdout.ends_with(b"/link\n"), "{}", describe(&output));
    let output = sh(&home, "mkdir gone; cd gone; rmdir ../gone; exec \"$1\" crew dispatch shell -m pwd");
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("give --workdir"), "{}", describe(&output));
    if cfg!(target_os = "linux") {
        let output =
            sh(&home, r#"d=$(printf 'odd\377'); mkdir "$d"; cd "$d"; exec "$1" crew dispatch shell -m pwd"#);
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains("not UTF-8"), "{}", describe(&output));
    }
}

#[test]
fn callers_without_environment_or_standard_streams_are_served() {
    let home = Home::new();
    let output = sh(&home, "exec env -i HOME=\"$HOME\" \"$1\" crew dispatch shell -m 'echo $TERM'");
    assert_eq!(output.stdout, b"xterm-256color\n", "{}", describe(&output));
    let output = sh(&home, "exec \"$1\" crew dispatch shell -m 'echo in' 0<&-");
    assert_eq!(output.stdout, b"in\n", "{}", describe(&output));
    for closed in ["1>&-", "2>&-", "0<&- 1>&- 2>&-"] {
        let output = sh(&home, &format!("exec \"$1\" crew dispatch shell -m 'exit 5' {closed}"));
        assert_eq!(output.status.code(), Some(5), "{closed} {}", describe(&output));
    }
}

/// A line of bash at a terminal.
fn at_a_terminal(home: &Home, script: &str) -> Tty {
    Tty::run(home, ["bash", "-c", script, "bash", BIN].map(str::to_owned).to_vec())
}

#[tokio::test]
async fn behind_a_pipe_the_lines_on_the_terminal_stay_straight_and_keys_go_in() {
    let home = Home::new();
    let job = "echo one; echo two; read x; echo got $x";
    let mut tty = at_a_terminal(&home, &format!("\"$1\" crew dispatch shell -m '{job}' | cat"));
    tty.expect("one\r\ntwo\r\n").await;
    tty.press("key\r").await;
    tty.expect("got key\r\n").await;
    assert_eq!(tty.wait().await.shell_code(), 0);
}

#[tokio::test]
async fn in_the_background_of_a_terminal_a_dispatch_is_not_stopped() {
    let home = Home::new();
    let script = "set -m; \"$1\" crew dispatch shell -m 'echo shown; exit 6' & wait $!; echo code $?";
    let mut tty = at_a_terminal(&home, script);
    tty.expect("shown").await;
    tty.expect("code 6").await;
    tty.wait().await;
}

#[tokio::test]
async fn the_terminal_is_as_before_after_every_end() {
    let home = Home::new();
    for end in ["INT", "TERM", "HUP", "QUIT"] {
        let job = "echo ready; sleep 60";
        let script = format!(
            "stty -a >before; \"$1\" crew dispatch shell --name {end} -m '{job}'; stty -a >after; \
             cmp before after && echo same"
        );
        let mut tty = at_a_terminal(&home, &script);
        tty.expect("ready").await;
        let output = home.command("pgrep").args(["-P", &tty.pid().to_string()]).output().unwrap();
        let pid = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        signal(pid, end);
        tty.expect("same").await;
        tty.wait().await;
    }
}

#[test]
fn a_descriptor_of_the_caller_does_not_live_as_long_as_the_session() {
    let home = Home::new();
    let script = format!(
        "mkfifo p; cat p > /dev/null & {BIN} crew dispatch shell -d --session-id s -m 'sleep 60' 7> p; wait"
    );
    let output = home.command("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(home.json(["session", "ls", "--json"])["sessions"][0]["state"], "running");
}

#[tokio::test]
async fn ctrl_backslash_leaves_a_dispatch_running() {
    let home = Home::new();
    let mut tty = Tty::start(&home, ["crew", "dispatch", "shell", "-m", "echo ready; sleep 60"]);
    tty.expect("ready").await;
    tty.press("\u{1c}").await;
    tty.expect("runs on").await;
    tty.wait().await;
    assert_eq!(home.json(["session", "ls", "--json"])["sessions"][0]["state"], "running");
}

#[test]
fn a_name_means_one_running_session_and_never_anothers_id() {
    let home = Home::new();
    let named = |name: &str| home.run(["crew", "dispatch", "shell", "-d", "--name", name, "-m", "sleep 60"]);
    let first = String::from_utf8(named("-job").stdout).unwrap().trim().to_owned();
    for taken in ["-job", &first] {
        let output = named(taken);
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(&first));
    }
    home.ok(["session", "kill", "--now", &first]);
    assert!(named("-job").status.success(), "an ended session's name is free");
}

#[test]
fn a_session_is_named_by_the_end_of_its_id_too() {
    let home = Home::new();
    let id = home.ok(["crew", "dispatch", "shell", "-d", "-m", "echo hi"]).trim().to_owned();
    home.ok(["session", "wait", &id[id.len() - 6..]]);
    assert_eq!(home.run(["session", "wait", &id[id.len() - 3..]]).status.code(), Some(1));
}

#[test]
fn a_session_does_not_watch_itself() {
    let home = Home::new();
    let script = format!("{BIN} session attach $DARKMUX_SESSION_ID");
    let output = home.run(["crew", "dispatch", "shell", "-m", &script]);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("itself"), "{}", describe(&output));
}

#[test]
fn a_reader_that_goes_away_is_told_that_the_session_runs_on() {
    let home = Home::new();
    let script =
        format!("{BIN} crew dispatch shell --session-id s -m yes | head -n 1; echo ${{PIPESTATUS[0]}}");
    let output = home.command("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "y\n0\n", "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("session s runs on"), "{}", describe(&output));
}

#[test]
fn records_that_the_audit_chain_refuses_are_told() {
    let home = Home::new();
    home.ok(["config", "set", "audit.enabled", "true"]);
    home.ok(["flow", "note", "one"]);
    std::fs::write(home.darkmux().join("audit/head.json"), "{").unwrap();
    let output = home.run(["crew", "dispatch", "shell", "-m", "echo hi"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"hi\n".as_slice()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("audit chain"), "{}", describe(&output));
}

#[test]
fn the_flow_tells_how_a_dispatch_ended_and_takes_plain_words() {
    let home = Home::new();
    home.run(["crew", "dispatch", "shell", "-m", "exit 5"]);
    home.ok(["flow", "note", "several", "plain", "words"]);
    home.ok(["flow", "note", "--text", "-dash"]);
    let told = home.ok(["flow", "tail"]);
    for part in ["· exit 5", "note several plain words", "note -dash"] {
        assert!(told.contains(part), "{told}");
    }
}
