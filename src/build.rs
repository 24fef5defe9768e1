//! Puts the commit into the version, where the source stands in a git checkout, and has the program linked to one
//! address on Linux.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;

fn main() {
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let full = match git(&["rev-parse", "--short=10", "HEAD"]) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo:rustc-env=DARKMUX_VERSION={full}");
    println!("cargo:rerun-if-changed=src/build.rs");
    // Every commit and checkout appends a line there. Only what exists may be named: cargo would build anew
    // each time, and where git keeps it differs between a clone and a worktree.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
    println!("cargo:rerun-if-env-changed=DARKMUX_PIE");
    if is_gnu_linux() && std::env::var_os("DARKMUX_PIE").is_none() {
        // The loader has nothing to do for it then, and copies no page: each start takes half a millisecond less, and
        // each process half a MiB. DESIGN.md says what that costs.
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}

fn is_gnu_linux() -> bool {
    std::env::var("TARGET").is_ok_and(|target| target.ends_with("-linux-gnu"))
}

/// What git says; `None` outside of a checkout.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
