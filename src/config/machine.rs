//! This machine's name: what the operator set, else one made from the host name once and kept.

use std::path::Path;

use super::{Config, ConfigError, Settings};
use crate::model::MachineId;
use crate::store::{self, Durability};

/// Name of a machine whose host name has no usable character.
const FALLBACK: &str = "machine";

/// The machine id. The first call on a machine without a configured one writes `machine-id` in the home
/// folder, so that the name stays when the host name changes.
pub fn machine_id(config: &Config) -> Result<MachineId, ConfigError> {
    if let Some(set) = config.settings.text("machine_id") {
        // Checked when the settings were resolved.
        if let Ok(id) = MachineId::new(set) {
            return Ok(id);
        }
    }
    let path = config.paths.machine_id_file();
    if let Some(kept) = read(&path)? {
        return Ok(kept);
    }
    let uname = rustix::system::uname();
    let made = MachineId::from_host_name(&uname.nodename().to_string_lossy());
    let id = match made {
        Some(id) => id,
        None => MachineId::new(FALLBACK).map_err(|error| bad(&path, &error.to_string()))?,
    };
    keep(&path, &id)?;
    Ok(id)
}

/// The settings, with the machine id that was made and kept where nobody set one. Makes none.
pub fn with_kept_machine_id(config: &Config) -> Result<Settings, ConfigError> {
    let mut settings = config.settings.clone();
    if settings.text("machine_id").is_none()
        && let Some(kept) = read(&config.paths.machine_id_file())?
    {
        settings.keep_machine_id(&kept);
    }
    Ok(settings)
}

fn bad(path: &Path, reason: &str) -> ConfigError {
    ConfigError::Syntax { path: path.to_owned(), reason: reason.to_owned() }
}

fn read(path: &Path) -> Result<Option<MachineId>, ConfigError> {
    let bytes = store::read_if_there(path, 1024).map_err(|source| ConfigError::Io {
        path: path.to_owned(),
        action: "reading it",
        source,
    })?;
    let Some(bytes) = bytes else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    MachineId::new(text.trim()).map(Some).map_err(|error| bad(path, &error.to_string()))
}

fn keep(path: &Path, id: &MachineId) -> Result<(), ConfigError> {
    let home = path.parent().unwrap_or(Path::new("/"));
    store::ensure_private_dir(home)
        .and_then(|()| store::write_atomic(path, format!("{id}\n").as_bytes(), Durability::Synced))
        .map_err(|source| ConfigError::Io { path: path.to_owned(), action: "keeping the machine id", source })
}
