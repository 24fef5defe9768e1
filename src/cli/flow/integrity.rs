//! `darkmux flow integrity-check`: whether the audit chain is what was written.

use std::path::PathBuf;

use clap::Args;

use crate::cli::printer::{BAD, GOOD, WARN};
use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::config::Config;
use crate::flow::audit::{FileVerdict, Memory, check};
use crate::util::visible_line;

/// Check that the audit chain is what was written.
///
/// Ends with 0 when every file is, with 2 when one is not, and with 1 when that could not be found out.
#[derive(Debug, Args)]
pub struct IntegrityArgs {
    /// Folder of a chain, or one of its day files, instead of this machine's chain
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &IntegrityArgs, cx: &Cx) -> Outcome {
    let verdicts = match &args.path {
        Some(path) => check(path)?,
        None => own(cx.config()?)?,
    };
    if args.json {
        cx.printer.json(&verdicts)?;
    } else if verdicts.is_empty() {
        let hint = "switch it on with `darkmux config set audit.enabled true`";
        cx.printer.note(&format!("no audit records to check; where the chain is off, {hint}"));
    }
    if !args.json {
        for line in verdicts.iter().flat_map(lines) {
            cx.printer.line(&line)?;
        }
    }
    // The status that 1.9's nightly check waits for.
    Ok(if verdicts.iter().any(FileVerdict::is_broken) { Exit::Usage } else { Exit::Ok })
}

/// The verdicts on this machine's chain.
fn own(config: &Config) -> Result<Vec<FileVerdict>, Failure> {
    let Some(dir) = config.audit_dir() else { return Ok(Vec::new()) };
    if let Some(known) = Memory::beside(&config.flows_dir()).gone(&dir) {
        return Ok(vec![FileVerdict::gone(&dir, &known)]);
    }
    Ok(if dir.exists() { check(&dir)? } else { Vec::new() })
}

fn lines(verdict: &FileVerdict) -> Vec<String> {
    let path = visible_line(&verdict.path);
    let mut lines = vec![match verdict.chain_valid {
        Some(true) => format!("{GOOD}✓ valid{GOOD:#}  {path}  ({} record(s))", verdict.records_checked),
        Some(false) => format!("{BAD}✗ BROKEN{BAD:#}  {path}"),
        None => format!("{WARN}? not verified{WARN:#}  {path}"),
    }];
    lines.extend(verdict.break_at_line.map(|line| format!("    chain break at line {line}")));
    lines.extend(verdict.break_reason.iter().map(|reason| format!("    reason: {}", visible_line(reason))));
    lines.extend(verdict.note.iter().map(|note| format!("    note: {}", visible_line(note))));
    lines
}
