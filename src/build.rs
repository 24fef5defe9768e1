//! Puts the commit into the version, where the source stands in a git checkout, and asks the linker to pack
//! what the loader has to do at each start, where the loader understands that.
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
    if loader_unpacks() {
        // Two dozen thousand relocations become 6 KiB instead of 560: a start takes a quarter of a millisecond less.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether the program will be loaded by a glibc that knows packed relocations: 2.36 or newer.
fn loader_unpacks() -> bool {
    let said = |name| std::env::var(name).unwrap_or_default();
    if !said("TARGET").ends_with("-linux-gnu") || said("TARGET") != said("HOST") {
        return false;
    }
    let Ok(output) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let version = version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    version.is_some_and(|version: (u32, u32)| version >= (2, 36))
}

/// What git says; `None` outside of a checkout.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
