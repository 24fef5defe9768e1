//! Whether the machines of the fleet agree about the time.

use std::time::Duration;

use super::others::{self, PATIENCE};
use super::{Check, Finding, Machine, question};
use crate::fleet::{Presence, clock_skew};
use crate::util::human;

/// Clocks may differ by this much, in milliseconds.
const TOLERATED_MS: i64 = 2_000;

/// The clocks of this machine, of Redis and of the others.
pub struct ClockSkew;

impl Check for ClockSkew {
    fn name(&self) -> &'static str {
        "clock skew"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let Some(redis) = others::redis(machine) else { return others::alone() };
        let presence = match others::alive(machine) {
            Ok(presence) => presence,
            Err(finding) => return finding,
        };
        match question(PATIENCE, clock_skew(&redis, &machine.clock)) {
            Ok(Ok(own)) => judge(own, &presence),
            Ok(Err(_)) | Err(_) => Finding::pass("not known while Redis does not answer"),
        }
    }
}

fn judge(own_ms: i64, presence: &Presence) -> Finding {
    let mut wrong = Vec::new();
    if own_ms.abs() > TOLERATED_MS {
        wrong.push(format!("this machine's is {}", off(own_ms)));
    }
    let others = presence.machines.iter().filter(|seen| seen.skew_ms.abs() > TOLERATED_MS);
    wrong.extend(others.map(|seen| format!("{}'s is {}", seen.beat.name(), off(seen.skew_ms))));
    if wrong.is_empty() {
        let count = presence.machines.len();
        return Finding::pass(format!(
            "{} within 2 s of Redis' clock",
            human::count(count as u64, "machine")
        ));
    }
    let why = "records are dated by the clock of their machine; claims and leases don't depend on it";
    let fix = "there, switch time synchronisation on: `timedatectl set-ntp true` (Linux), `sudo sntp -sS time.apple.com` (macOS)";
    // When everybody differs by the same, it is the clock of Redis that is wrong.
    let alike = presence.machines.len() > 1 && wrong.len() == presence.machines.len() + 1;
    let words = if alike {
        "all clocks differ from that of Redis"
    } else {
        "not all clocks agree with that of Redis"
    };
    Finding::warn(format!("{words}: {}", wrong[0]), why, fix).details(wrong.into_iter().skip(1).collect())
}

fn off(skew_ms: i64) -> String {
    let span = human::duration(Duration::from_millis(skew_ms.unsigned_abs()));
    if skew_ms > 0 { format!("{span} ahead") } else { format!("{span} behind") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;
    use crate::fleet::Seen;
    use crate::wire::MachineBeat;

    #[test]
    fn whose_clock_differs_is_named() {
        let seen = |name: &str, skew_ms| Seen {
            beat: MachineBeat { display_name: name.into(), ..MachineBeat::default() },
            age: Duration::ZERO,
            skew_ms,
        };
        let presence = |machines| Presence { machines, ..Presence::default() };
        assert_eq!(judge(-1_900, &presence(vec![seen("pi", 1_000)])).state, State::Pass);
        let found = judge(10, &presence(vec![seen("pi", 61_000), seen("studio", 0)]));
        assert_eq!(found.state, State::Warn);
        assert!(found.finding.ends_with("pi's is 1m 1s ahead"), "{found:?}");
        let found = judge(-5_000, &presence(vec![seen("pi", -5_000), seen("studio", -5_000)]));
        assert!(found.finding.starts_with("all clocks") && found.details.len() == 2, "{found:?}");
    }
}
