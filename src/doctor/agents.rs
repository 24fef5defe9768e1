//! The agent CLIs that roles run by.

use super::{Check, Finding, Machine};
use crate::crew::{Availability, Crew, RoleEntry};

/// Agent CLIs on `PATH`.
pub struct AgentClis;

impl Check for AgentClis {
    fn name(&self) -> &'static str {
        "agent CLIs"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let crew = machine.config.crew();
        judge(&crew.agents, &Crew::open(&crew).list())
    }
}

fn judge(wanted: &[String], entries: &[RoleEntry]) -> Finding {
    let mut here = Vec::new();
    let mut broken = Vec::new();
    for name in wanted {
        let entry = entries.iter().find(|entry| entry.name == *name && entry.agent);
        match entry.map(|entry| &entry.availability) {
            Some(Availability::Ready { program, .. }) => here.push(format!("{name} ({})", program.display())),
            // That it is not installed is what is found; the fix says the rest.
            Some(Availability::CannotRun(_)) => {}
            Some(Availability::Broken) => broken.push(format!("{name}: its role is broken")),
            None => broken.push(format!("{name}: no role of this name is an agent CLI")),
        }
    }
    if !here.is_empty() {
        return Finding::pass(here.join(", "));
    }
    let why = "roles such as `coder` run by an agent CLI; only those with a command of their own can run";
    let fix = "install one of them, or name one that you have: darkmux config set crew.agents NAME";
    Finding::warn(format!("none of {}", list(wanted)), why, fix).details(broken)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "an empty `crew.agents`".to_owned() } else { names.join(", ") }
}
