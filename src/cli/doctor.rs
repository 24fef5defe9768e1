//! `darkmux doctor`.

use clap::Args;

use super::printer::{BAD, BOLD, DIM, GOOD, WARN};
use super::{Cx, Exit, Outcome};
use crate::doctor::{self, Finding, Machine, Report, State};
use crate::util::visible_line;

/// Check this machine and say what mends what is wrong.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// End with status 1 also when there are only warnings
    #[arg(long)]
    strict: bool,
}

/// Runs the verb.
pub fn run(args: &DoctorArgs, cx: &Cx) -> Outcome {
    let machine = Machine::of(cx.env.clone(), cx.clock.clone())?;
    let report = doctor::examine(machine);
    if args.json {
        cx.printer.json(&report)?;
    } else {
        print(&report, cx)?;
    }
    let worst = if args.strict { State::Pass } else { State::Warn };
    Ok(if report.state > worst { Exit::Failed } else { Exit::Ok })
}

fn print(report: &Report, cx: &Cx) -> std::io::Result<()> {
    let count = report.checks.len();
    cx.printer.line(&format!("{BOLD}darkmux doctor{BOLD:#}: {count} checks, {}", report.darkmux_version))?;
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in &report.checks {
        for line in lines(check.name, width, &check.finding) {
            cx.printer.line(&line)?;
        }
    }
    let Report { passed, warned, failed, .. } = report;
    cx.printer.line(&format!("{passed} passed, {warned} warned, {failed} failed"))
}

/// A line for the check; under one that did not pass, why it matters and what mends it.
fn lines(name: &str, width: usize, finding: &Finding) -> Vec<String> {
    let (mark, style) = match finding.state {
        State::Pass => ("✓", GOOD),
        State::Warn => ("⚠", WARN),
        State::Fail => ("✗", BAD),
    };
    let mut out = vec![format!("  {style}{mark}{style:#} {name:width$}  {}", visible_line(&finding.finding))];
    let indent = " ".repeat(width + 6);
    out.extend(finding.details.iter().map(|detail| format!("{indent}{}", visible_line(detail))));
    out.extend(finding.why.iter().map(|why| format!("{indent}{DIM}{}{DIM:#}", visible_line(why))));
    out.extend(finding.fix.iter().map(|fix| format!("{indent}→ {}", visible_line(fix))));
    out
}
