//! The runtime whose message is a script. The script is a file, so that the terminal stays its standard input
//! and nothing has to be quoted.

use std::path::{Path, PathBuf};

use super::error::CannotRun;
use super::program;
use crate::config::CrewConfig;

/// Shells that run `shell file` as a script of their own.
const KNOWN: &[&str] = &["sh", "bash", "zsh", "dash", "ksh", "fish"];

/// The user's shell when it is a known one that can be executed, else `sh`.
pub fn program(config: &CrewConfig) -> Result<PathBuf, CannotRun> {
    let known = |shell: &&PathBuf| {
        let name = shell.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        KNOWN.contains(&name) && shell.is_absolute() && program::is_executable(shell)
    };
    if let Some(shell) = config.shell.as_ref().filter(known) {
        return Ok(shell.clone());
    }
    let standard = Path::new("/bin/sh");
    program::find("sh", &config.path_dirs)
        .or_else(|| program::is_executable(standard).then(|| standard.to_owned()))
        .ok_or(CannotRun::NoShell)
}

/// The user's shell as somebody gets it who signs in: the command of a session without one.
pub fn login(config: &CrewConfig) -> Result<Vec<String>, CannotRun> {
    let own = config.shell.as_ref().filter(|shell| shell.is_absolute() && program::is_executable(shell));
    let shell = match own {
        Some(shell) => shell.clone(),
        None => program(config)?,
    };
    let name = shell.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let login = KNOWN.contains(&name).then(|| "-l".to_owned());
    // A path that is no text can stand in no session's file.
    let Some(shell) = shell.to_str() else { return Err(CannotRun::NoShell) };
    Ok(std::iter::once(shell.to_owned()).chain(login).collect())
}
