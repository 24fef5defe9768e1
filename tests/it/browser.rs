//! The viewer in a real Chromium: each script of tests/browser against a daemon of its own.
//!
//! A machine without Node, without the tools of tests/package.json or without a Chromium fails here; what is
//! not tested is not called tested. `tests/run` installs all three.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::{BIN, Daemon, Home, signal};

/// How long a script may take; a browser's first start on a busy machine takes many seconds.
const SCRIPT_TIME: Duration = Duration::from_mins(2);

/// Records that are appended while the daemon is away.
const AWAY: usize = 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A script, about to run, its stderr going to a file in the home.
fn script(home: &Home, daemon: &Daemon, name: &str) -> Command {
    let modules = folder().join("node_modules/playwright-core");
    assert!(modules.exists(), "the browser tests need their tools: run `npm ci --prefix tests`");
    let mut command = home.command("node");
    command
        .arg(folder().join("browser").join(name))
        .env("DARKMUX_TEST_URL", daemon.url("/"))
        .env("DARKMUX_TEST_BIN", BIN)
        .env("DARKMUX_TEST_HOME", home.darkmux())
        .envs(std::env::var_os("CHROMIUM").map(|path| ("CHROMIUM", path)))
        .stderr(File::create(home.path().join("script.log")).expect("a log file"));
    command
}

/// Waits for the end; a script that does not end is killed.
fn end(mut child: Child) -> ExitStatus {
    let deadline = Instant::now() + SCRIPT_TIME;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        if Instant::now() > deadline {
            signal(i64::from(child.id()), "TERM");
            let _ = child.wait();
            panic!("the script did not end within {SCRIPT_TIME:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_passed(home: &Home, status: ExitStatus) {
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap_or_default();
    let (said, daemon) = (read("script.log"), read("serve.log"));
    assert!(status.success(), "{status}\n{said}\n--- the daemon's log\n{daemon}");
}

fn run(name: &str) {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let child = script(&home, &daemon, name).spawn().expect("node runs; `tests/run` installs it");
    assert_passed(&home, end(child));
}

#[test]
fn the_page_opens_and_shows_a_record_within_a_second() {
    run("live.mjs");
}

#[test]
fn hostile_records_are_text() {
    run("hostile.mjs");
}

#[test]
fn sessions_are_listed_with_what_became_of_them() {
    run("sessions.mjs");
}

#[test]
fn a_daemon_that_was_killed_is_noticed_and_the_page_resumes_without_loss() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let mut command = script(&home, &daemon, "resume.mjs");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
    let mut phases = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut phase = |name: &str| {
        // The end of the output is the end of the script, whose status tells why.
        phases.next().is_some_and(|line| line.unwrap() == format!("PHASE {name}"))
    };
    let note = |number: usize| home.ok(["flow", "note", "--text", &format!("resume-{number}")]);

    if phase("live") {
        (1..=3).for_each(|number| drop(note(number)));
        daemon.process.kill();
        (4..=AWAY).for_each(|number| drop(note(number)));
    }
    if phase("down") {
        let port = daemon.port.to_string();
        daemon = Daemon::start_with(&home, ["serve", "--port", &port]);
        writeln!(child.stdin.as_mut().unwrap(), "expect resume {AWAY}").unwrap();
        phase("done");
    }
    assert_passed(&home, end(child));
    drop(daemon);
}
