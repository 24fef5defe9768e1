//! What a sandbox allows.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Config, SandboxConfig};

/// Folders of the system that commands read and run programs from.
const SYSTEM: &[&str] = &[
    "/bin",
    "/sbin",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/snap",
    "/gnu",
    "/home/linuxbrew",
    "/proc",
    "/sys",
    "/run/systemd/resolve",
    "/run/current-system",
    "/var/lib/dpkg",
    // macOS
    "/System",
    "/Library",
    "/Applications",
    "/private/etc",
    "/private/var/db",
    "/private/var/select",
];

/// Devices that hold nothing of anybody.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// What of the home folder belongs to toolchains and holds no keys.
const TOOLCHAINS: &[&str] = &[
    ".asdf",
    ".bun/bin",
    ".bun/install/cache",
    ".cargo/bin",
    ".cargo/config.toml",
    ".cargo/env",
    ".cargo/git",
    ".cargo/registry",
    ".config/git/ignore",
    ".config/mise",
    ".deno/bin",
    ".gitconfig",
    ".gvm",
    ".jenv",
    ".local/bin",
    ".local/lib",
    ".local/share/mise",
    ".local/share/pnpm",
    ".local/share/uv",
    ".m2/repository",
    ".nodenv",
    ".nvm",
    ".pyenv",
    ".rbenv",
    ".rustup",
    ".sdkman",
    ".volta",
    "go/bin",
    "go/pkg",
];

/// What a sandbox allows, beside the work directory and the commands' own temporary folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Files and folders that may be read and run. What is not there is passed over.
    pub read: Vec<PathBuf>,
    /// Files and folders that may be changed as well.
    pub write: Vec<PathBuf>,
    /// Whether the network may be used.
    pub network: bool,
    /// The home folder, where it is known: macOS is told what not to read.
    pub home: Option<PathBuf>,
}

impl Rules {
    /// The rules for a user: the system, the toolchains in `home`, the folders of `PATH`, and the network.
    pub fn standard(home: Option<&Path>, path: &[PathBuf]) -> Self {
        let mut read: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        read.extend(home.into_iter().flat_map(|home| TOOLCHAINS.iter().map(|part| home.join(part))));
        // A folder that the home lies in, or the home itself, would open all of it.
        let holds_home = |dir: &Path| home.is_some_and(|home| home.starts_with(dir));
        read.extend(path.iter().filter(|dir| dir.is_absolute() && !holds_home(dir)).cloned());
        let write = DEVICES.iter().map(PathBuf::from).collect();
        Self { read, write, network: true, home: home.map(Path::to_owned) }
    }

    /// The standard rules with what the user added.
    pub fn of(config: &Config) -> Self {
        let mut rules = Self::standard(config.env().home().as_deref(), &config.env().path_dirs());
        let SandboxConfig { network, read, write, env: _ } = config.sandbox();
        rules.network = network;
        rules.read.extend(read);
        rules.write.extend(write);
        rules
    }

    /// Whether commands may read this path.
    pub fn reaches(&self, path: &Path) -> bool {
        self.read.iter().chain(&self.write).any(|opened| path.starts_with(opened))
    }

    /// These rules with a work directory and a temporary folder.
    #[must_use]
    pub fn with(mut self, root: &Path, temp: &Path) -> Self {
        self.write.extend([root.to_owned(), temp.to_owned()]);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_of_path_opens_the_home() {
        let home = Path::new("/home/ada");
        let path = ["/home/ada", "/home", "/", "/home/ada/bin", "bin", "/srv/bin"].map(PathBuf::from);
        let rules = Rules::standard(Some(home), &path);
        for opened in ["/home/ada/bin", "/srv/bin", "/home/ada/.cargo/bin", "/usr"] {
            assert!(rules.read.contains(&PathBuf::from(opened)), "{opened}");
        }
        for kept in rules.read.iter().chain(&rules.write) {
            assert!(kept.is_absolute() && !home.starts_with(kept), "{}", kept.display());
        }
        for secret in [".ssh", ".aws", ".cargo/credentials.toml", ".npmrc", ".git-credentials", ".config/gh"]
        {
            let secret = home.join(secret);
            assert!(!rules.read.iter().any(|read| secret.starts_with(read)), "{}", secret.display());
        }
    }
}
