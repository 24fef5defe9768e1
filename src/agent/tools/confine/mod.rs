//! How commands are confined: by the kernel (Landlock, or `sandbox-exec` on macOS), in a container, or not at all.
//!
//! What a sandbox prevents: writing anywhere but in the work directory, a temporary folder of the commands' own and
//! what [`Rules`] name; reading the user's home folder and everything else that is not listed; signals to processes
//! outside and tracing them (Linux 6.12 and later); gaining rights by setuid programs.
//!
//! What it does not prevent: the network (unless the rules close TCP), connecting to sockets of services in the file
//! system (Docker's, an agent's of SSH; Linux refuses that from ABI 9 on), seeing that a path exists, changing mode, owner
//! and times of files that are known by name, and taking memory and processor time. darkmux' own sockets obey nobody who
//! can't read their key ([`SocketKey`](crate::store::SocketKey)), which lies in the home folder.
//!
//! Invariant: commands run unconfined only where somebody said so ([`Confinement::Off`]). Where the system has no
//! sandbox, or one that would leave a network open that is to be closed, they do not run at all ([`Confinement::Missing`]).

mod image;
#[cfg(target_os = "linux")]
mod landlock;
mod rules;
mod seatbelt;

use std::fmt;
use std::path::{Path, PathBuf};

pub use image::{Image, ImageError, Mounts};
#[cfg(target_os = "linux")]
pub use landlock::close;
pub use rules::Rules;
pub use seatbelt::profile;

/// Where macOS has its sandbox.
pub const SANDBOX_EXEC: &str = "/usr/bin/sandbox-exec";

/// The first version of Landlock that can close a network.
#[cfg(target_os = "linux")]
const CLOSES_NETWORK: u32 = 4;

/// That commands connect to what listens in the file system.
const SOCKETS: &str = "sockets of other services in the file system can be reached (Docker's, an SSH agent's; Linux before \
    Landlock's ABI 9); darkmux' own ask for a key that commands can't read";

/// What a sandbox of the system comes to.
const BOUND: &str = "writes only in the work directory and its own TMPDIR, the home folder is not read";

/// How commands are confined. Shown as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confinement {
    /// By Linux' Landlock, of this version of its interface.
    Landlock {
        /// The version; newer ones refuse more.
        abi: u32,
        /// What is allowed.
        rules: Rules,
    },
    /// By macOS' `sandbox-exec`.
    Seatbelt(Rules),
    /// In a container.
    Image(Image),
    /// Not at all, because somebody said so.
    Off,
    /// The system has no sandbox, and nobody said that commands may run without one.
    Missing {
        /// Why.
        why: String,
    },
}

impl Confinement {
    /// The sandbox of this system, tried out.
    pub fn of_system(rules: Rules) -> Self {
        #[cfg(target_os = "linux")]
        return Self::of_landlock(landlock::probe(), rules);
        #[cfg(not(target_os = "linux"))]
        if Path::new(SANDBOX_EXEC).is_file() {
            Self::Seatbelt(rules)
        } else {
            Self::Missing { why: format!("there is no {SANDBOX_EXEC}") }
        }
    }

    /// What a kernel with this version of Landlock, or without any, comes to. One that would leave a network open that is to
    /// be closed is as good as none.
    #[cfg(target_os = "linux")]
    fn of_landlock(abi: Result<u32, String>, rules: Rules) -> Self {
        match abi {
            Ok(abi) if !rules.network && abi < CLOSES_NETWORK => {
                let why = format!(
                    "sandbox.network is off, and this kernel can't close the network (Landlock ABI {abi}; Linux 6.7 and \
                     later can): `darkmux config set sandbox.network true` allows it"
                );
                Self::Missing { why }
            }
            Ok(abi) => Self::Landlock { abi, rules },
            Err(why) => Self::Missing { why },
        }
    }

    /// A container of `image`, by the first of Docker and Podman in `path`. `Err` says what is wrong.
    pub fn in_image(image: &str, network: bool, path: &[PathBuf]) -> Result<Self, ImageError> {
        Image::new(image, network, path).map(Self::Image)
    }

    /// The same, and these can be read as well.
    #[must_use]
    pub fn and_reading(mut self, paths: Vec<PathBuf>) -> Self {
        match &mut self {
            Self::Landlock { rules, .. } | Self::Seatbelt(rules) => rules.read.extend(paths),
            Self::Image(image) => image.read(paths),
            Self::Off | Self::Missing { .. } => {}
        }
        self
    }

    /// Whether its commands could read a file at this path when they work in `root`.
    pub fn reaches(&self, root: &Path, path: &Path) -> bool {
        let in_root = path.starts_with(root);
        match self {
            Self::Landlock { rules, .. } => in_root || rules.reaches(path),
            Self::Seatbelt(rules) => {
                let kept = [Path::new("/Users"), Path::new("/Volumes")];
                let is_kept =
                    kept.into_iter().chain(rules.home.as_deref()).any(|kept| path.starts_with(kept));
                in_root || rules.reaches(path) || !is_kept
            }
            Self::Image(image) => in_root || image.reaches(path),
            Self::Off => true,
            Self::Missing { .. } => false,
        }
    }

    /// What of the rules or the system lets more through than it should, for who asks.
    pub fn gaps(&self) -> Vec<&'static str> {
        match self {
            Self::Landlock { abi, .. } => [
                (3, "files elsewhere can be emptied (Linux before 6.2)"),
                (6, "signals reach processes outside (Linux before 6.12)"),
                (9, SOCKETS),
            ]
            .into_iter()
            .filter(|(from, _)| abi < from)
            .map(|(_, gap)| gap)
            .collect(),
            Self::Seatbelt(_) => vec![SOCKETS],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = |open: bool| if open { "network open" } else { "no network" };
        match self {
            Self::Landlock { abi, rules } => {
                let network = if rules.network { "network open" } else { "no TCP" };
                write!(f, "commands are confined by Landlock (ABI {abi}): {BOUND}, {network}")?;
                if *abi < 3 {
                    f.write_str("; this kernel is old and lets files elsewhere be emptied")?;
                }
                Ok(())
            }
            Self::Seatbelt(rules) => {
                write!(f, "commands are confined by sandbox-exec: {BOUND}, {}", network(rules.network))
            }
            Self::Image(image) => {
                write!(
                    f,
                    "commands run in {image}: only the work directory is in it, {}",
                    network(image.network())
                )
            }
            Self::Off => f.write_str("commands are not confined (--no-sandbox): they may do what you may"),
            Self::Missing { why } => write!(
                f,
                "commands are refused, because they could not be confined: {why}; --image runs them in a container, \
                 --no-sandbox unconfined"
            ),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_an_old_kernel_can_t_close_is_no_network_for_commands() {
        let closed = || Rules { network: false, ..Rules::default() };
        let open = || Rules { network: true, ..Rules::default() };
        for abi in 1..CLOSES_NETWORK {
            let said = Confinement::of_landlock(Ok(abi), closed());
            assert!(matches!(said, Confinement::Missing { .. }), "ABI {abi}: {said}");
            let said = said.to_string();
            for words in ["refused", "sandbox.network", "Linux 6.7", "--image", &format!("ABI {abi}")] {
                assert!(said.contains(words), "{words}: {said}");
            }
            let said = Confinement::of_landlock(Ok(abi), open());
            assert!(
                matches!(said, Confinement::Landlock { .. }) && said.to_string().contains("network open")
            );
        }
        let said = Confinement::of_landlock(Ok(CLOSES_NETWORK), closed());
        assert!(
            matches!(said, Confinement::Landlock { .. }) && said.to_string().contains("no TCP"),
            "{said}"
        );
    }
}
