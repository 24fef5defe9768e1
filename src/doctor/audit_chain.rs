//! Whether the audit chain is what was written.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::{Check, Finding, Machine};
use crate::flow::audit::{FileVerdict, Head, Memory, check};

/// How long verifying may take; a chain of millions of records takes longer and is left to its own verb.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The chain, where it is on.
pub struct AuditChain;

impl Check for AuditChain {
    fn name(&self) -> &'static str {
        "audit chain"
    }

    fn run(&self, machine: &Machine) -> Finding {
        match machine.config.audit_dir() {
            None => Finding::pass("off"),
            Some(dir) => match gone(machine, &dir) {
                Some(known) => broken(&known.gone(), &dir),
                None if !dir.exists() => Finding::pass("on, no record yet"),
                None => verified(&dir),
            },
        }
    }
}

/// What was known of a chain of which nothing is left.
fn gone(machine: &Machine, dir: &Path) -> Option<Head> {
    Memory::beside(&machine.config.flows_dir()).gone(dir)
}

fn verified(dir: &Path) -> Finding {
    let dir_of_thread: PathBuf = dir.to_owned();
    match within(PATIENCE, move || check(&dir_of_thread)) {
        Some(Ok(verdicts)) => judge(&verdicts, dir),
        Some(Err(error)) => broken(&error.to_string(), dir),
        None => unverified(dir),
    }
}

/// What `work` comes to, or `None` when it takes longer; it goes on by itself then.
fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, answer) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        // Nobody listens any more once it took too long.
        let _ = tell.send(work());
    });
    answer.recv_timeout(patience).ok()
}

fn judge(verdicts: &[FileVerdict], dir: &Path) -> Finding {
    let bad: Vec<String> = verdicts.iter().filter(|verdict| verdict.is_broken()).map(describe).collect();
    if !bad.is_empty() {
        return broken(&format!("{} of {} files are not what was written", bad.len(), verdicts.len()), dir)
            .details(bad);
    }
    let records: u64 = verdicts.iter().map(|verdict| verdict.records_checked).sum();
    let unknown = verdicts.iter().filter(|verdict| verdict.chain_valid.is_none()).count();
    let unknown =
        if unknown > 0 { format!(", {unknown} of a form that is not verified") } else { String::new() };
    Finding::pass(format!("{records} records in {} files, all as written{unknown}", verdicts.len()))
}

fn describe(verdict: &FileVerdict) -> String {
    let line = verdict.break_at_line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}: {}", verdict.path, verdict.break_reason.as_deref().unwrap_or("broken"))
}

fn broken(finding: &str, dir: &Path) -> Finding {
    let why =
        "records were changed, cut or lost after they were written; what follows a break proves nothing";
    let shown = dir.display();
    let fix = format!("darkmux flow integrity-check; then keep the evidence: mv '{shown}' '{shown}.broken'");
    Finding::fail(finding, why, fix)
}

fn unverified(dir: &Path) -> Finding {
    match Head::read(dir) {
        Ok(Some(head)) => Finding::pass(format!(
            "from {} to {}, too long to verify here; `darkmux flow integrity-check` does",
            head.first_day, head.day
        )),
        Ok(None) => broken("there is no head.json", dir),
        Err(error) => broken(&error.to_string(), dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn verdict(valid: Option<bool>) -> FileVerdict {
        FileVerdict {
            path: "/a/2026-07-01.jsonl".into(),
            records_checked: 5,
            chain_valid: valid,
            break_at_line: (valid == Some(false)).then_some(3),
            break_reason: (valid == Some(false)).then(|| "the hash is wrong".into()),
            note: None,
        }
    }

    #[test]
    fn a_broken_file_fails_with_its_place() {
        let dir = Path::new("/a");
        assert_eq!(judge(&[verdict(Some(true)), verdict(None)], dir).state, State::Pass);
        let found = judge(&[verdict(Some(true)), verdict(Some(false))], dir);
        assert_eq!(found.state, State::Fail);
        assert_eq!(found.details, ["/a/2026-07-01.jsonl:3: the hash is wrong"]);
    }

    #[test]
    fn a_chain_that_takes_too_long_is_left_to_its_verb() {
        let (end, ended) = mpsc::channel::<()>();
        assert!(within(Duration::from_millis(20), move || ended.recv()).is_none());
        drop(end);
        assert_eq!(within(Duration::from_secs(20), || 1), Some(1));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(unverified(dir.path()).state, State::Fail);
    }
}
