//! What the user lets commands of the built-in agent do beyond their work directory.

use std::path::PathBuf;

use super::Config;

/// Additions to the standard rules of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Variables that commands get besides.
    pub env: Vec<String>,
    /// Whether they may use the network.
    pub network: bool,
    /// What they may read besides.
    pub read: Vec<PathBuf>,
    /// What they may change besides.
    pub write: Vec<PathBuf>,
}

impl Config {
    /// The additions to the standard rules of the sandbox.
    pub fn sandbox(&self) -> SandboxConfig {
        let paths = |name: &str| {
            let home = |text: String| match (text.strip_prefix("~/"), self.env.home()) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => PathBuf::from(text),
            };
            self.settings.list(name).into_iter().map(home).filter(|path| path.is_absolute()).collect()
        };
        SandboxConfig {
            env: self.settings.list("sandbox.env"),
            network: self.settings.flag("sandbox.network"),
            read: paths("sandbox.read"),
            write: paths("sandbox.write"),
        }
    }
}
