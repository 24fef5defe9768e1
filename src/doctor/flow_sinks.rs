//! Whether records can be written.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::disk::existing;
use super::{Check, Finding, Machine, question};
use crate::flow::shared::{SharedFlow, probe};
use crate::util::human;

/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The folders of the flow, and the fleet's Redis.
pub struct FlowSinks;

impl Check for FlowSinks {
    fn name(&self) -> &'static str {
        "flow sink health"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let local = machine.config.flows_dir();
        let audit = machine.config.audit_dir();
        for dir in [Some(&local), audit.as_ref()].into_iter().flatten() {
            if let Err(error) = try_writing(dir) {
                let shown = dir.display();
                let why = "no record of what runs here can be kept";
                let fix = format!("ls -ld '{shown}'; it must be a folder that you may write");
                return Finding::fail(format!("{shown}: {error}"), why, fix);
            }
        }
        let (days, size) = day_files(&local);
        let audit = if audit.is_some() { ", and the audit chain" } else { "" };
        let days = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
        let files = format!("{}: {days}, {}{audit}", local.display(), human::bytes(size));
        match redis(machine) {
            Ok(None) => Finding::pass(files),
            Ok(Some(redis)) => Finding::pass(format!("{files}, and {redis}")),
            Err(error) => Finding::warn(
                format!("{files}; {error}"),
                "records stay in this machine's files until Redis is back; then they are shipped",
                "redis-cli -u <url> ping; `darkmux config list --origin` shows which Redis is meant",
            ),
        }
    }
}

/// The fleet's Redis in words, when it answers; `None` for a machine that works alone.
fn redis(machine: &Machine) -> Result<Option<String>, String> {
    let shared = SharedFlow::of(&machine.config).map_err(|error| error.to_string())?;
    let Some(shared) = shared else { return Ok(None) };
    let status = question(PATIENCE, probe(&shared, &machine.clock))?;
    match status.reachability_error {
        Some(error) => Err(error),
        None => Ok(Some(format!("Redis at {}", status.url))),
    }
}

/// Writes a file into the folder and removes it; a folder that is not there yet is asked about its parent.
fn try_writing(dir: &Path) -> io::Result<()> {
    let there = existing(dir);
    if there != dir {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        if !there.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is no folder", there.display()),
            ));
        }
        return Ok(rustix::fs::access(&there, access)?);
    }
    let mut probe = tempfile::Builder::new().prefix(".doctor-").tempfile_in(dir)?;
    probe.write_all(b"x")?;
    probe.close()
}

/// How many day files there are and their bytes.
fn day_files(dir: &Path) -> (usize, u64) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl"));
    files.fold((0, 0), |(days, size), entry| (days + 1, size + entry.metadata().map_or(0, |meta| meta.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_can_be_written_is_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("2026-07-01.jsonl"), "12345").unwrap();
        try_writing(dir.path()).unwrap();
        try_writing(&dir.path().join("new/deep")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(day_files(dir.path()), (1, 5));
        assert!(try_writing(&dir.path().join("2026-07-01.jsonl")).is_err());
        assert!(try_writing(&dir.path().join("2026-07-01.jsonl/x")).is_err());
    }
}
