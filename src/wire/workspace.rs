//! A repository on its way: what a job says of the one that it was dispatched from, and what came out of it.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::model::MachineId;

/// Largest bundle that goes through Redis, in bytes.
pub const BUNDLE_MAX: usize = 8 * 1024 * 1024;

/// Most that goes to Redis of what a running job has changed so far, in bytes.
pub const CHANGES_MAX: usize = 1024 * 1024;

/// Largest pack that a machine fetches from another machine's daemon, in bytes.
pub const FETCH_MAX: u64 = 1024 * 1024 * 1024;

/// Most commits that a bundle may build upon, or be cut at.
pub const COMMITS_MAX: usize = 256;

/// Longest name of a repository, author or folder, in bytes.
const TEXT_MAX: usize = 4096;

/// The workspace of a job: a repository as it was when the job was dispatched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// What runners call their copy of the repository.
    pub repo: String,
    /// The commit that was checked out.
    pub base: String,
    /// A commit of everything that was there: its first parent is `base`, its second (where there is one) what was
    /// staged. `base` itself where nothing was changed.
    pub state: String,
    /// The folder below the root in which the command ran; empty for the root.
    #[serde(default)]
    pub folder: String,
    /// Who commits in it: name and address.
    #[serde(default)]
    pub author: Option<(String, String)>,
    /// Where its objects are.
    pub bundle: Bundle,
}

/// Objects of git: a pack in Redis, which may build upon commits that the receiver has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The key that holds it; empty where it is too large for Redis, and [`at`](Self::at) has it.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3 hash, hexadecimal.
    pub blake3: String,
    /// Commits that the receiver must have.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Commits whose parents are left out.
    #[serde(default)]
    pub shallow: Vec<String>,
    /// The machine from whose daemon its peers get all of it; null where Redis has what is needed.
    #[serde(default)]
    pub at: Option<MachineId>,
}

/// What a job made of its workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceResult {
    /// The commit that the job began with, as in [`Workspace::state`].
    pub state: String,
    /// The commit of what it left; `state` where it changed nothing.
    pub commit: String,
    /// How many files it changed.
    pub changed: u64,
    /// The first of them.
    pub files: Vec<String>,
    /// Where the objects are; null where there are none, or they cannot be had.
    pub bundle: Option<Bundle>,
    /// What keeps the result from coming back, or is left out of it.
    pub error: Option<String>,
    /// Proves that a machine of the fleet wrote this; null in a fleet without a key.
    #[serde(default)]
    pub mac: Option<String>,
}

impl Workspace {
    /// Whether every part has the form that it must have. The error says which has not.
    pub fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let repo = (1..=128).contains(&self.repo.len()) && self.repo.chars().all(plain);
        let inside = Path::new(&self.folder).components().all(|part| matches!(part, Component::Normal(_)));
        if !repo || self.repo.starts_with('.') {
            return Err("its workspace has no plain name".to_owned());
        }
        if !is_commit(&self.base) || !is_commit(&self.state) || self.base.len() != self.state.len() {
            return Err("its workspace names no commits".to_owned());
        }
        if !inside || self.folder.len() > TEXT_MAX || self.folder.contains('\0') {
            return Err("the folder of its workspace leads out of it".to_owned());
        }
        let author = self.author.iter().flat_map(|(name, mail)| [name, mail]);
        if author.into_iter().any(|text| text.len() > TEXT_MAX || text.chars().any(char::is_control)) {
            return Err("its workspace's author is no name".to_owned());
        }
        self.bundle.check()
    }
}

impl Bundle {
    /// One that only this machine has, of a history that is cut at these commits.
    pub fn at(machine: MachineId, shallow: Vec<String>) -> Self {
        Self { at: Some(machine), shallow, ..Self::default() }
    }

    /// Whether there is anything in Redis.
    pub fn is_in_redis(&self) -> bool {
        !self.key.is_empty()
    }

    /// As [`Workspace::check`].
    pub fn check(&self) -> Result<(), String> {
        let is_elsewhere = self.at.is_some() && self.bytes == 0 && self.needs.is_empty();
        if !self.is_in_redis() && !is_elsewhere {
            return Err("its bundle is nowhere".to_owned());
        }
        if self.bytes > BUNDLE_MAX as u64 {
            return Err(format!("its bundle has more than {BUNDLE_MAX} bytes"));
        }
        let is_key = self.key.starts_with(BUNDLE_PREFIX) && self.key.len() <= 256;
        if self.is_in_redis() && !is_key {
            return Err("its bundle is at no key of a bundle".to_owned());
        }
        let commits = self.needs.len() <= COMMITS_MAX && self.shallow.len() <= COMMITS_MAX;
        if !commits || !self.needs.iter().chain(&self.shallow).all(|text| is_commit(text)) {
            return Err("its bundle builds upon something that is no commit".to_owned());
        }
        Ok(())
    }
}

/// What keys of bundles begin with.
pub const BUNDLE_PREFIX: &str = "darkmux:bundle:";

/// Whether a text is the whole name of a commit: 40 or 64 hexadecimal digits.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Workspace {
        Workspace {
            repo: "site-0a1b2c3d".to_owned(),
            base: "a".repeat(40),
            state: "b".repeat(40),
            folder: "src/deep".to_owned(),
            author: Some(("Ada".to_owned(), "ada@example.org".to_owned())),
            bundle: Bundle {
                key: "darkmux:bundle:job:1".to_owned(),
                bytes: 10,
                blake3: "c".repeat(64),
                needs: vec!["d".repeat(40)],
                ..Bundle::default()
            },
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        assert_eq!(whole().check(), Ok(()));
        let studio = MachineId::new("studio").unwrap();
        assert_eq!(Workspace { bundle: Bundle::at(studio, Vec::new()), ..whole() }.check(), Ok(()));
        let broken: [fn(&mut Workspace); 12] = [
            |it| it.bundle.key = String::new(),
            |it| it.bundle = Bundle { bytes: 1, ..Bundle::at(MachineId::new("studio").unwrap(), Vec::new()) },
            |it| it.repo = "../x".to_owned(),
            |it| it.repo = ".hidden".to_owned(),
            |it| it.base = "--upload-pack=x".to_owned(),
            |it| it.state = "HEAD".to_owned(),
            |it| it.folder = "../up".to_owned(),
            |it| it.folder = "/etc".to_owned(),
            |it| it.author = Some(("a\nb".to_owned(), String::new())),
            |it| it.bundle.key = "darkmux:work".to_owned(),
            |it| it.bundle.bytes = u64::MAX,
            |it| it.bundle.needs = vec!["^HEAD".to_owned()],
        ];
        for (number, change) in broken.iter().enumerate() {
            let mut workspace = whole();
            change(&mut workspace);
            assert!(workspace.check().is_err(), "{number}");
        }
    }
}
