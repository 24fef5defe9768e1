//! `darkmux doctor`.

use std::borrow::Cow;

use clap::Args;
use unicode_width::UnicodeWidthStr;

use super::printer::{BAD, BOLD, DIM, GOOD, WARN};
use super::{Cx, Exit, Outcome};
use crate::doctor::{self, Finding, Machine, Report, State};
use crate::util::{human, visible_line};

/// Most lines that are shown of one text.
const ROWS_MAX: usize = 20;

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
    let others = others.map(doctor::Asked::begin);
    let report = doctor::examine(machine);
    let report = match others {
        Some(others) => report.with_fleet(others.outcomes()),
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
        cx.printer.line(&format!("{BOLD}fleet{BOLD:#}: {}", human::count(fleet.len() as u64, "machine")))?;
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
    let indent = " ".repeat(width + 6);
    let mut found = rows(&finding.finding);
    let first = found.next().unwrap_or_default();
    let mut out = vec![format!("  {style}{mark}{style:#} {name:width$}  {first}")];
    out.extend(found.map(|row| format!("{indent}{row}")));
    out.extend(finding.details.iter().flat_map(|detail| rows(detail)).map(|row| format!("{indent}{row}")));
    let why = finding.why.iter().flat_map(|why| rows(why));
    out.extend(why.map(|row| format!("{indent}{DIM}{row}{DIM:#}")));
    if let Some(fix) = &finding.fix {
        let marks = std::iter::once("→").chain(std::iter::repeat(" "));
        out.extend(rows(fix).zip(marks).map(|(row, mark)| format!("{indent}{mark} {row}")));
    }
    out
}

/// The lines of a text, each fit to be shown: what others say, such as an error of a parser, may have several.
fn rows(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .take(ROWS_MAX)
        .map(|line| visible_line(line.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_several_lines_is_shown_as_such() {
        let finding = Finding {
            state: State::Fail,
            finding: "it is no TOML:\n  |\n1 | a = \u{1b}\n".to_owned(),
            details: vec!["one\ntwo".to_owned()],
            why: Some("because".to_owned()),
            fix: Some("do this\nand that".to_owned()),
        };
        let shown: Vec<String> = lines("x", 1, &finding)
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect();
        let indent = " ".repeat(7);
        let below = ["  |", "1 | a = \\u{1b}", "one", "two", "because", "→ do this", "  and that"];
        let mut wanted = vec!["  ✗ x  it is no TOML:".to_owned()];
        wanted.extend(below.map(|line| format!("{indent}{line}")));
        assert_eq!(shown, wanted);
    }
}
