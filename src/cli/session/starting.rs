//! What every start of a session needs: its folder, and words for a failure.

use std::path::{Path, PathBuf};

use crate::cli::{Exit, Failure};
use crate::session::{NameError, StartError};

/// Why a session did not start, with the status that stands for it.
pub fn start_failure(error: StartError) -> Failure {
    let exit = match &error {
        StartError::Process(_) => Exit::CannotRun,
        StartError::Exists(_) | StartError::Name(NameError::Taken { .. }) => Exit::Usage,
        StartError::File { .. } | StartError::Name(_) => Exit::Failed,
        _ => Exit::Internal,
    };
    Failure::new(exit, error)
}

/// The folder that a session is to run in: the one that was asked for, else the current one.
pub fn workdir(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        let shown =
            wanted.map_or("the current folder".to_owned(), |dir| format!("--workdir {}", dir.display()));
        Failure::new(Exit::Usage, format!("{shown}: {error}; give --workdir a folder that can be used"))
    };
    let dir = match wanted {
        Some(dir) => std::path::absolute(dir),
        None => std::env::current_dir(),
    }
    .map_err(|error| refused(&error))?;
    match std::fs::metadata(&dir) {
        Ok(meta) if !meta.is_dir() => Err(refused(&"it is no folder")),
        Err(error) => Err(refused(&error)),
        // The session's files are JSON.
        Ok(_) if dir.to_str().is_none() => Err(refused(&"its path is not UTF-8")),
        Ok(_) => Ok(dir),
    }
}
