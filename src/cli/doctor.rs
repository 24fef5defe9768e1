//! `darkmux doctor`.

use clap::Args;
use unicode_width::UnicodeWidthStr;

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
    /// Look at every machine of the fleet as well
    #[arg(long)]
    fleet: bool,
    /// End with status 1 also when there are only warnings
    #[arg(long)]
    strict: bool,
}

/// Runs the verb.
pub fn run(args: &DoctorArgs, cx: &Cx) -> Outcome {
    let machine = Machine::of(cx.env.clone(), cx.clock.clone())?;
    // The others are asked while this machine is looked at.
    let others = args.fleet.then(|| Machine::of(cx.env.clone(), cx.clock.clone())).transpose()?;
    let others = others.map(|machine| std::thread::spawn(move || doctor::fleet(&machine)));
    let report = doctor::examine(machine);
    let report = match others {
        Some(others) => report.with_fleet(others.join().unwrap_or_default()),
        None => report,
    };
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
    section(&report.checks, cx)?;
    if let Some(fleet) = &report.fleet {
        cx.printer.line(&format!("{BOLD}fleet{BOLD:#}: {} machines", fleet.len()))?;
        section(fleet, cx)?;
    }
    let Report { passed, warned, failed, .. } = report;
    cx.printer.line(&format!("{passed} passed, {warned} warned, {failed} failed"))
}

fn section(outcomes: &[doctor::Outcome], cx: &Cx) -> std::io::Result<()> {
    let shown = |outcome: &doctor::Outcome| visible_line(&outcome.name).into_owned();
    let names: Vec<String> = outcomes.iter().map(shown).collect();
    let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
    for (name, outcome) in names.iter().zip(outcomes) {
        for line in lines(name, width, &outcome.finding) {
            cx.printer.line(&line)?;
        }
    }
    Ok(())
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
