//! Why a service is not as it should be.

use std::path::PathBuf;

use crate::config::ConfigError;

/// Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is none that could run something.
    #[error(
        "no service manager answers here: neither launchd nor systemd for this user; in a container let it start \
         `darkmux serve`, over ssh sign in once so that the user's systemd runs (`loginctl enable-linger`)"
    )]
    NoManager,
    /// Nobody knows where units belong.
    #[error("no home folder: set HOME to the absolute path of yours")]
    NoHome,
    /// A file could not be read or written.
    #[error("{path}: {action} failed: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program that was asked did not do it.
    #[error("`{command}` {problem}")]
    Command {
        /// The program with its arguments.
        command: String,
        /// What happened.
        problem: String,
    },
    /// It cannot be done as it is.
    #[error("{0}")]
    Refused(String),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl ServiceError {
    /// An error of this file.
    pub(super) fn file(path: &std::path::Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, action, source }
    }
}
