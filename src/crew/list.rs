//! Every role at a glance, for lists, completion and `doctor`.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::agent::Pool;
use super::error::{CrewError, Problem};
use super::folder;
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
    CannotRun(String),
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
pub fn entries(config: &CrewConfig) -> Vec<RoleEntry> {
    let mut by_name: BTreeMap<String, RoleEntry> = BTreeMap::new();
    // A folder that does not exist need not be asked for each role.
    let folders: Vec<PathBuf> = folder::user_folders(config).into_iter().filter(|dir| dir.exists()).collect();
    let shelf = Shelf { config, folders: &folders, pool: OnceCell::from(Pool::open(config, &folders)) };
    for folder in &folders {
        match folder::manifests(folder) {
            Ok(found) => {
                for (name, file) in found {
                    by_name.entry(name.clone()).or_insert_with(|| shelf.entry(name, file));
                }
            }
            Err(error) => {
                let problem = Problem::of_file(folder, format!("the folder can't be read: {error}"));
                let name = folder.display().to_string();
                by_name.insert(name.clone(), broken(name, folder.clone(), problem));
            }
        }
    }
    for builtin in super::builtin::ROLES {
        by_name
            .entry(builtin.id.to_owned())
            .or_insert_with(|| shelf.entry(builtin.id.to_owned(), PathBuf::from(builtin.id)));
    }
    by_name.into_values().collect()
}

/// What is the same for every entry of one list.
struct Shelf<'a> {
    config: &'a CrewConfig,
    folders: &'a [PathBuf],
    pool: OnceCell<Pool>,
}

impl Shelf<'_> {
    fn entry(&self, name: String, file: PathBuf) -> RoleEntry {
        let id = match RoleId::new(name.as_str()) {
            Ok(id) => id,
            Err(error) => {
                let problem = Problem::of_file(&file, format!("{error}; rename the file"));
                return broken(name, file, problem);
            }
        };
        match folder::load_from(self.config, self.folders, &id) {
            Ok(Some(role)) => whole(&role, &self.pool),
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

fn whole(role: &Role, pool: &OnceCell<Pool>) -> RoleEntry {
    let availability = match role.launcher_from(pool) {
        Ok(launcher) => {
            Availability::Ready { program: launcher.program, agent: launcher.agent.map(|agent| agent.role) }
        }
        Err(why) => Availability::CannotRun(why.to_string()),
    };
    RoleEntry {
        name: role.manifest.id.to_string(),
        description: role.manifest.description.clone(),
        source: role.source.clone(),
        runtime: Some(role.manifest.runtime.as_str()),
        agent: matches!(&role.manifest.runtime, Runtime::Command(command) if command.agent),
        availability,
        problems: role.warnings.clone(),
    }
}
