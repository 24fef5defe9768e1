//! Whether the machines of the fleet run the same darkmux.

use std::collections::BTreeMap;

use super::others;
use super::{Check, Finding, Machine};
use crate::fleet::Presence;
use crate::util::human;

/// The versions of the fleet's daemons.
pub struct VersionSkew;

impl Check for VersionSkew {
    fn name(&self) -> &'static str {
        "version skew"
    }

    fn run(&self, machine: &Machine) -> Finding {
        match others::alive(machine) {
            Ok(presence) => judge(machine.version, &presence),
            Err(finding) => finding,
        }
    }
}

/// The version without its commit.
pub fn short(version: &str) -> &str {
    version.split(' ').next().unwrap_or_default()
}

fn judge(own: &str, presence: &Presence) -> Finding {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for seen in &presence.machines {
        // darkmux 1.9 names the flow format, not itself.
        let version = seen.beat.darkmux_version.as_deref().map_or("1.x", short);
        by_version.entry(version).or_default().push(seen.beat.name());
    }
    let own = short(own);
    let others: Vec<String> = by_version
        .iter()
        .filter(|(version, _)| **version != own)
        .map(|(version, names)| format!("{version} on {}", others::names(names.iter().copied())))
        .collect();
    if others.is_empty() {
        return Finding::pass(format!(
            "{} of {own}",
            human::count(presence.machines.len() as u64, "machine")
        ));
    }
    let first = by_version.iter().find(|(version, _)| **version != own);
    let name = first.and_then(|(_, names)| names.first()).copied().unwrap_or_default();
    Finding::warn(
        format!("this is {own}, and there is {}", others.join("; ")),
        "machines of other versions may not run jobs that this one hands out, or not as this one expects",
        format!("on {name}: replace the older binary, then restart `darkmux serve`; sessions go on"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;
    use crate::fleet::Seen;
    use crate::wire::MachineBeat;

    #[test]
    fn other_versions_are_named_with_their_machines() {
        let seen = |name: &str, version: Option<&str>| Seen {
            beat: MachineBeat {
                display_name: name.into(),
                darkmux_version: version.map(str::to_owned),
                ..MachineBeat::default()
            },
            age: std::time::Duration::ZERO,
            skew_ms: 0,
        };
        let mut presence = Presence { machines: vec![seen("a", Some("0.1.0 (abc)"))], ..Presence::default() };
        assert_eq!(judge("0.1.0 (def)", &presence).state, State::Pass);
        presence.machines.extend([seen("b", Some("0.2.0")), seen("old", None)]);
        let found = judge("0.1.0 (def)", &presence);
        assert_eq!(found.state, State::Warn);
        assert!(found.finding.contains("0.2.0 on b; 1.x on old"), "{found:?}");
    }
}
