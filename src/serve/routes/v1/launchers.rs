//! What can be launched by name: the agents that are here, and the user's shell.

use crate::config::CrewConfig;
use crate::crew::find_program;
use crate::wire::v1::Launcher;

/// The launcher that is always there.
pub const SHELL: &str = "shell";

/// Agents that have an adapter: id, name and program.
const AGENTS: &[(&str, &str)] =
    &[("claude", "Claude Code"), ("codex", "Codex"), ("opencode", "OpenCode"), ("pi", "Pi")];

/// The ids of everything that could be launched, the shell last.
pub fn names() -> impl Iterator<Item = &'static str> {
    AGENTS.iter().map(|(id, _)| *id).chain([SHELL])
}

/// What is here. Looks through `PATH`.
pub fn here(crew: &CrewConfig) -> Vec<Launcher> {
    let found = AGENTS.iter().filter(|(id, _)| find_program(id, &crew.path_dirs).is_some());
    let agents = found.map(|(id, label)| Launcher {
        id: (*id).to_owned(),
        label: (*label).to_owned(),
        command: Some(vec![(*id).to_owned()]),
        description: format!("Coding agent `{id}`"),
        available: true,
    });
    let shell = Launcher {
        id: SHELL.to_owned(),
        label: "Shell".to_owned(),
        command: None,
        description: "Default shell".to_owned(),
        available: true,
    };
    agents.chain([shell]).collect()
}

/// The command of a launcher; `None` when it is not here.
pub fn command(id: &str, crew: &CrewConfig) -> Option<Vec<String>> {
    if id == SHELL {
        let shell = crew.shell.as_ref().filter(|shell| shell.is_absolute());
        return Some(vec![shell.map_or("/bin/sh".to_owned(), |shell| shell.display().to_string())]);
    }
    here(crew).into_iter().find(|launcher| launcher.id == id)?.command
}
