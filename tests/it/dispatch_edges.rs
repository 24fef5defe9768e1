//! `crew dispatch` at the edges: odd callers, odd folders, odd messages.

use std::process::Output;

use crate::support::{BIN, Home, describe};

fn dispatch(home: &Home, script: &str) -> Output {
    home.run(["crew", "dispatch", "shell", "-m", script])
}

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
