//! Whether each name of the fleet means one machine.

use super::others;
use super::{Check, Finding, Machine};
use crate::fleet::{Member, members};
use crate::util::human;

/// Names and identities that several machines have.
pub struct DuplicateIds;

impl Check for DuplicateIds {
    fn name(&self) -> &'static str {
        "duplicate ids"
    }

    fn run(&self, machine: &Machine) -> Finding {
        match others::alive(machine) {
            Ok(presence) => judge(&members(&others::roster(machine), Some(&presence))),
            Err(finding) => finding,
        }
    }
}

/// What a clash costs.
pub const WHY: &str = "a job for that name runs on either, and their records can't be told apart by name";

/// What mends it.
pub const FIX: &str = "on all but one: darkmux config set machine_id NAME; then restart `darkmux serve`";

fn judge(members: &[Member]) -> Finding {
    let mut clashes: Vec<String> = members.iter().filter_map(Member::clash).collect();
    if clashes.is_empty() {
        return Finding::pass(format!("{}, each of one machine", human::count(members.len() as u64, "name")));
    }
    let first = clashes.remove(0);
    Finding::fail(first, WHY, FIX).details(clashes)
}
