//! Every role at a glance, for lists, completion and `doctor`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::agent::Pool;
use super::error::{CannotRun, CrewError, Problem};
use super::folder::{self, Loaded, Places};
use super::program::Programs;
use super::role::{Role, Source};
use crate::config::CrewConfig;
use crate::model::{RoleId, Runtime};

/// Whether a role can run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Ready {
        /// The program's file.
        program: PathBuf,
        /// The agent CLI, when it runs by one.
        agent: Option<RoleId>,
    },
    /// Its files are fine and nothing here runs it.
    CannotRun(CannotRun),
    /// Its files are broken; the problem is among the entry's.
    Broken,
}

/// One role in a list.
#[derive(Debug, Clone)]
pub struct RoleEntry {
    /// The name of its file; a role id, unless the entry is broken.
    pub name: String,
    /// One line.
    pub description: String,
    /// Where it comes from.
    pub source: Source,
    /// How it runs; `None` for a broken one.
    pub runtime: Option<&'static str>,
    /// Whether it runs as an agent CLI for others.
    pub agent: bool,
    /// Whether it can run here.
    pub availability: Availability,
    /// What is wrong or odd in its files.
    pub problems: Vec<Problem>,
}

/// Every role of this configuration, by name.
pub fn entries(config: &Arc<CrewConfig>) -> Vec<RoleEntry> {
    let places = Places::of(config);
    let mut entries: BTreeMap<String, RoleEntry> = BTreeMap::new();
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in places.folders() {
        match folder::manifests(folder) {
            Ok(found) => found.into_iter().for_each(|(name, file)| {
                files.entry(name).or_insert(file);
            }),
            Err(error) => {
                let problem = Problem::of_file(folder, format!("the folder can't be read: {error}"));
                let name = folder.display().to_string();
                entries.insert(name.clone(), broken(name, folder.clone(), problem));
            }
        }
    }
    for builtin in super::builtin::ROLES {
        files.entry(builtin.id.to_owned()).or_insert_with(|| PathBuf::from(builtin.id));
    }
    let mut roles: BTreeMap<String, Loaded> =
        files.keys().map(|name| (name.clone(), places.load_named(name))).collect();
    for name in &config.agents {
        roles.entry(name.clone()).or_insert_with(|| places.load_named(name));
    }
    let programs = Programs::of(&config.path_dirs);
    let pool = Pool::of(config, &roles, &programs);
    for (name, file) in files {
        let role = roles.remove(&name).unwrap_or(Ok(None));
        entries.insert(name.clone(), entry(name, file, role, &programs, &pool));
    }
    entries.into_values().collect()
}

fn entry(name: String, file: PathBuf, role: Loaded, programs: &Programs<'_>, pool: &Pool) -> RoleEntry {
    if let Err(error) = RoleId::new(name.as_str()) {
        let problem = Problem::of_file(&file, format!("{error}; rename the file"));
        return broken(name, file, problem);
    }
    match role {
        Ok(Some(role)) => whole(role, programs, pool),
        Ok(None) => {
            let problem = Problem::of_file(&file, "the file is gone");
            broken(name, file, problem)
        }
        Err(CrewError::Broken(problem)) => broken(name, file, problem),
        Err(error) => {
            let problem = Problem::of_file(&file, error);
            broken(name, file, problem)
        }
    }
}

fn broken(name: String, file: PathBuf, problem: Problem) -> RoleEntry {
    RoleEntry {
        name,
        description: String::new(),
        source: Source::User(file),
        runtime: None,
        agent: false,
        availability: Availability::Broken,
        problems: vec![problem],
    }
}

fn whole(role: Role, programs: &Programs<'_>, pool: &Pool) -> RoleEntry {
    let availability = match role.launcher_from(programs, |wanted| pool.choose(wanted)) {
        Ok(launcher) => {
            Availability::Ready { program: launcher.program, agent: launcher.agent.map(|agent| agent.role) }
        }
        Err(why) => Availability::CannotRun(why),
    };
    let manifest = role.manifest;
    RoleEntry {
        name: manifest.id.to_string(),
        source: role.source,
        runtime: Some(manifest.runtime.as_str()),
        agent: match &manifest.runtime {
            Runtime::Command(command) => command.agent,
            Runtime::Agent => true,
            Runtime::AgentCli | Runtime::Shell => false,
        },
        description: manifest.description,
        availability,
        problems: role.warnings,
    }
}
