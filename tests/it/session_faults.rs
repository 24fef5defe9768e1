//! Sessions under faults: ends with slow readers, broken folders, full disks, stopped hosts.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{BIN, Home, describe, is_alive, lines, signal, wait_for};

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
