//! What a check-up comes to. The shape of `doctor --json`.

use std::borrow::Cow;

use serde::Serialize;

/// Version of [`Report`].
pub const REPORT_SCHEMA: u32 = 1;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All is well.
    Pass,
    /// It works, but not as it could.
    Warn,
    /// Something does not work.
    Fail,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it went.
    pub state: State,
    /// One line.
    pub finding: String,
    /// Further lines, such as each broken file.
    pub details: Vec<String>,
    /// Why it matters; null for a pass.
    pub why: Option<String>,
    /// The command that mends it; null for a pass.
    pub fix: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn pass(finding: impl Into<String>) -> Self {
        Self { state: State::Pass, finding: finding.into(), details: Vec::new(), why: None, fix: None }
    }

    /// It works, but not as it could.
    pub fn warn(finding: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warn, why: Some(why.into()), fix: Some(fix.into()), ..Self::pass(finding) }
    }

    /// Something does not work.
    pub fn fail(finding: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Fail, ..Self::warn(finding, why, fix) }
    }

    /// With further lines.
    #[must_use]
    pub fn details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }
}

/// A finding with the name of its check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The check's name; of the fleet's, the machine's.
    pub name: Cow<'static, str>,
    /// What it found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// A whole check-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`REPORT_SCHEMA`].
    pub schema: u32,
    /// The version that looked.
    pub darkmux_version: &'static str,
    /// RFC 3339, UTC.
    pub generated_at: String,
    /// The worst of all checks.
    pub state: State,
    /// How many checks passed.
    pub passed: usize,
    /// How many warned.
    pub warned: usize,
    /// How many failed.
    pub failed: usize,
    /// Every check, in the order of looking.
    pub checks: Vec<Outcome>,
    /// Every machine of the fleet, by name, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Vec<Outcome>>,
}

impl Report {
    /// Counts the outcomes.
    pub fn new(darkmux_version: &'static str, generated_at: String, checks: Vec<Outcome>) -> Self {
        let count = |state| checks.iter().filter(|check| check.finding.state == state).count();
        let worst = checks.iter().map(|check| check.finding.state).max();
        Self {
            schema: REPORT_SCHEMA,
            darkmux_version,
            generated_at,
            state: worst.unwrap_or(State::Pass),
            passed: count(State::Pass),
            warned: count(State::Warn),
            failed: count(State::Fail),
            checks,
            fleet: None,
        }
    }

    /// With a verdict on each machine of the fleet, which count like checks.
    #[must_use]
    pub fn with_fleet(self, fleet: Vec<Outcome>) -> Self {
        let count = |state| fleet.iter().filter(|machine| machine.finding.state == state).count();
        let worst = fleet.iter().map(|machine| machine.finding.state).max().unwrap_or(State::Pass);
        Self {
            state: self.state.max(worst),
            passed: self.passed + count(State::Pass),
            warned: self.warned + count(State::Warn),
            failed: self.failed + count(State::Fail),
            fleet: Some(fleet),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_decides() {
        let outcome = |finding| Outcome { name: "x".into(), finding };
        let report = |checks| Report::new("1", "now".into(), checks);
        assert_eq!(report(vec![]).state, State::Pass);
        let mixed = report(vec![
            outcome(Finding::fail("a", "b", "c")),
            outcome(Finding::pass("d")),
            outcome(Finding::warn("e", "f", "g")),
        ]);
        assert_eq!((mixed.state, mixed.passed, mixed.warned, mixed.failed), (State::Fail, 1, 1, 1));
        let json = serde_json::to_value(&mixed).unwrap();
        assert_eq!(json["checks"][0]["state"], "fail");
        assert_eq!(json["checks"][1]["why"], serde_json::Value::Null);
        assert!(json.get("fleet").is_none());
        let with = report(vec![]).with_fleet(vec![outcome(Finding::warn("a", "b", "c"))]);
        assert_eq!((with.state, with.warned), (State::Warn, 1));
    }
}
