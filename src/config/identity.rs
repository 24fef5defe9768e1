//! Who this machine is, beside the name that its operator gave it: a random id that is kept in the home folder
//! and bound to the hardware, so that two machines of one name, and a copied home folder, are told apart.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Config, ConfigError};
use crate::store::{self, Durability};

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 4096;

/// How long another process may take to make it.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Version of the file's shape.
const SCHEMA: u32 = 1;

/// `machine-uid` in the home folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    schema: u32,
    /// The id: lower-case letters, digits and `-`. Also the id of this home's flow in Redis.
    pub uid: Uuid,
    /// The hardware it was made on, hashed; null where the system names none.
    hardware: Option<String>,
    /// Whether it took the place of another machine's, with whose home folder it came: what lies there was
    /// written elsewhere.
    #[serde(default)]
    pub inherited: bool,
}

impl Config {
    /// Who this machine is. Makes and keeps it at the first call.
    pub fn identity(&self) -> Result<Identity, ConfigError> {
        of_file(&self.paths.machine_uid_file(), hardware())
    }
}

fn of_file(path: &Path, hardware: Option<String>) -> Result<Identity, ConfigError> {
    let here = |kept: &Identity| hardware.is_none() || kept.hardware.is_none() || kept.hardware == hardware;
    if let Some(kept) = read(path)?.filter(here) {
        return Ok(kept);
    }
    let failed =
        |source| ConfigError::Io { path: path.to_owned(), action: "keeping the machine's identity", source };
    store::ensure_private_dir(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
    // Of several first starts at once one makes it, and the others find it.
    let _lock = store::lock_beside(path, LOCK_PATIENCE).map_err(failed)?;
    let kept = read(path)?;
    if let Some(kept) = kept.clone().filter(here) {
        return Ok(kept);
    }
    let made = Identity { schema: SCHEMA, uid: Uuid::new_v4(), hardware, inherited: kept.is_some() };
    let text = serde_json::to_vec(&made).map_err(|error| failed(error.into()))?;
    store::write_atomic(path, &text, Durability::Synced).map_err(failed)?;
    Ok(made)
}

fn read(path: &Path) -> Result<Option<Identity>, ConfigError> {
    let bytes = store::read_if_there(path, FILE_MAX).map_err(|source| ConfigError::Io {
        path: path.to_owned(),
        action: super::READING,
        source,
    })?;
    let wrong =
        |error: serde_json::Error| ConfigError::Syntax { path: path.to_owned(), reason: error.to_string() };
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(wrong)).transpose()
}

/// The hardware's own id as a hash: it names a computer for life, and is nobody else's business.
fn hardware() -> Option<String> {
    let id = if cfg!(target_os = "macos") {
        sysinfo::Product::uuid().ok()
    } else {
        store::read_if_there(Path::new("/etc/machine-id"), FILE_MAX)
            .ok()
            .flatten()
            .and_then(|bytes| String::from_utf8(bytes).ok())
    };
    let id = id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())?;
    Some(blake3::hash(format!("darkmux {id}").as_bytes()).to_hex()[..32].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_and_made_anew_on_other_hardware() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine-uid");
        let here = || Some("a".repeat(32));
        let first = of_file(&path, here()).unwrap();
        assert_eq!((of_file(&path, here()).unwrap(), first.inherited), (first.clone(), false));
        // A system that does not name its hardware (any longer) is no other machine.
        assert_eq!(of_file(&path, None).unwrap(), first);
        let copied = of_file(&path, Some("b".repeat(32))).unwrap();
        assert!(copied.uid != first.uid && copied.inherited);
        assert_eq!(of_file(&path, Some("b".repeat(32))).unwrap(), copied);
    }

    #[test]
    fn first_starts_at_once_agree() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home/machine-uid");
        let begin = std::sync::Barrier::new(8);
        let made: std::collections::BTreeSet<Uuid> = std::thread::scope(|scope| {
            let start = || {
                begin.wait();
                of_file(&path, Some("a".repeat(32))).unwrap().uid
            };
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(made.len(), 1, "{made:?}");
    }

    #[test]
    fn a_broken_file_is_no_new_machine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine-uid");
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(of_file(&path, None), Err(ConfigError::Syntax { .. })));
    }
}
