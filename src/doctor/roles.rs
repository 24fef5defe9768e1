//! Roles that are broken, and what could run the others.

use super::{Check, Finding, Machine};
use crate::crew::{Availability, Crew};
use crate::util::human;

/// Manifests and prompts.
pub struct Roles;

impl Check for Roles {
    fn name(&self) -> &'static str {
        "roles"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let crew = machine.config.crew();
        let entries = Crew::open(&crew).list();
        let broken: Vec<String> =
            entries.iter().flat_map(|entry| &entry.problems).map(ToString::to_string).collect();
        let ready =
            entries.iter().filter(|entry| matches!(entry.availability, Availability::Ready { .. })).count();
        let finding = format!("{} roles, {ready} can run here", entries.len());
        if broken.is_empty() {
            return Finding::pass(finding);
        }
        let why = "a dispatch to such a role is refused; the others work";
        let fix = format!("mend the files named above, or move them out of {}", crew.roles_dir.display());
        Finding::warn(format!("{finding}, {}", human::count(broken.len() as u64, "problem")), why, fix)
            .details(broken)
    }
}
