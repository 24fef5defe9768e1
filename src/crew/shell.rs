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
