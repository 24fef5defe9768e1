//! What installing or removing a unit would change, before anything is changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::manager::Step;
use super::unit::{Kind, Unit};
use super::{Manager, ServiceError, Services, UnitState};
use crate::store::{Durability, ensure_private_dir, read_if_there, write_atomic};

/// Largest unit that is read, in bytes.
const FILE_MAX: u64 = 256 * 1024;

/// What stands in the place of a unit's file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Absent,
    /// The same text.
    Same,
    /// Another one. It is kept beside, with `.before` behind its name.
    Other,
}

/// A file of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// Where.
    pub path: PathBuf,
    /// What belongs into it.
    pub text: String,
    /// What is there.
    pub before: Before,
}

/// What installing a unit would do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which unit.
    pub kind: Kind,
    /// Its files.
    pub files: Vec<UnitFile>,
    /// What the manager would be told.
    pub steps: Vec<Step>,
    /// How the unit was.
    pub state: UnitState,
    log: PathBuf,
}

impl Plan {
    /// Whether nothing would change.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.files.iter().all(|file| file.before == Before::Same)
    }
}

/// What removing a unit would do.
#[derive(Debug, Clone)]
pub struct Removal {
    /// Files that would go.
    pub files: Vec<PathBuf>,
    /// What the manager would be told before.
    pub before: Vec<Step>,
    /// What it would be told afterwards.
    pub after: Vec<Step>,
}

impl Removal {
    /// Whether there is nothing to remove.
    pub fn is_done(&self) -> bool {
        self.files.is_empty() && self.before.is_empty()
    }
}

impl Services {
    /// What installing a unit would do. Changes nothing.
    pub async fn plan(&self, unit: &Unit) -> Result<Plan, ServiceError> {
        let mut files = Vec::new();
        for (path, text) in self.written(unit)? {
            let have = read_if_there(&path, FILE_MAX).map_err(ServiceError::file(&path, "reading it"))?;
            let before = match have {
                None => Before::Absent,
                Some(have) if have == text.as_bytes() => Before::Same,
                Some(_) => Before::Other,
            };
            files.push(UnitFile { path, text, before });
        }
        let state = self.state(unit.kind).await?;
        let changed = files.iter().any(|file| file.before != Before::Same);
        let is_up = state.loaded && !state.disabled && (state.running || !unit.kind.is_lasting());
        let steps = if changed || !is_up { self.loading(unit.kind, changed, &state) } else { Vec::new() };
        Ok(Plan { kind: unit.kind, files, steps, state, log: unit.log.clone() })
    }

    /// Installs a unit.
    pub async fn install(&self, plan: &Plan) -> Result<(), ServiceError> {
        // Managers make the log's file, but not its folder.
        let logs = plan.log.parent().unwrap_or(Path::new("/"));
        ensure_private_dir(logs).map_err(ServiceError::file(logs, "making the folder"))?;
        for file in &plan.files {
            write(file)?;
        }
        self.take(&plan.steps).await
    }

    /// What removing a unit would do. Changes nothing.
    pub async fn plan_removal(&self, kind: Kind) -> Result<Removal, ServiceError> {
        let mut files = self.paths(kind);
        files.retain(|path| path.symlink_metadata().is_ok());
        let state = self.state(kind).await?;
        // For systemd, switching a unit off is more than stopping it.
        let is_linked = !files.is_empty() && self.manager() == Manager::Systemd;
        let before = if state.loaded || is_linked { self.unloading(kind) } else { Vec::new() };
        let after = if files.is_empty() { Vec::new() } else { self.reloading() };
        Ok(Removal { files, before, after })
    }

    /// Removes a unit. Its log stays.
    pub async fn remove(&self, removal: &Removal) -> Result<(), ServiceError> {
        self.take(&removal.before).await?;
        for path in &removal.files {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ServiceError::file(path, "removing it")(error));
                }
                _ => {}
            }
        }
        self.take(&removal.after).await
    }
}

fn write(file: &UnitFile) -> Result<(), ServiceError> {
    if file.before == Before::Same {
        return Ok(());
    }
    let path = &file.path;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ServiceError::file(folder, "making the folder"))?;
    }
    if file.before == Before::Other {
        let kept = before_of(path);
        fs::copy(path, &kept).map_err(ServiceError::file(&kept, "keeping the file that was there"))?;
    }
    write_atomic(path, file.text.as_bytes(), Durability::Synced)
        .map_err(ServiceError::file(path, "writing it"))
}

/// Where the file that was there before is kept.
fn before_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before");
    PathBuf::from(name)
}
