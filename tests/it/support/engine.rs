//! A container engine that is a shell script: strict about its arguments, and with real namespaces of the kernel.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::lacks;

/// The script, and what it was asked.
pub struct Engine(TempDir);

impl Engine {
    /// A `docker` in a folder of its own; `None` where the kernel is known to give no namespaces to who is not the superuser
    /// of it.
    pub fn new() -> Option<Self> {
        let args = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--net", "true"];
        let works = Command::new("unshare").args(args).output().is_ok_and(|output| output.status.success());
        if !works {
            assert!(
                lacks("namespaces"),
                "this kernel gives no user namespaces: `unshare {}` fails",
                args.join(" ")
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let docker = dir.path().join("docker");
        std::fs::write(&docker, include_str!("../fixtures/engine.sh")).unwrap();
        std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
        Some(Self(dir))
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// As a list of folders for programs.
    pub fn folders(&self) -> Vec<PathBuf> {
        vec![self.0.path().to_owned()]
    }

    /// All arguments that it was started with, one a line.
    pub fn asked(&self) -> String {
        std::fs::read_to_string(self.0.path().join("argv")).unwrap_or_default()
    }
}
