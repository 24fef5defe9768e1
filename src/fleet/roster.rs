//! The roster: the machines that this one knows by address, in 1.9's `fleet.json`.
//!
//! Invariants: a change is made under the lock and replaces the file as one step; what other versions wrote into
//! the file and we do not know stays in it; an entry that is of no use hides no other one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::address::{AddressError, PeerAddress};
use crate::model::{IdError, MachineId};
use crate::store::{self, Durability};
use crate::util::{Secret, visible_line};

/// Version of the file's shape, that of darkmux 1.9.
pub const ROSTER_VERSION: &str = "2";

/// Largest file that is read, in bytes, and most machines in it.
const FILE_MAX: u64 = 4 * 1024 * 1024;
const MACHINES_MAX: usize = 1000;

/// Longest description and longest token, in bytes.
const DESCRIPTION_MAX: usize = 500;
const TOKEN_MAX: u64 = 4096;

/// How long a change waits for another one.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Why the roster can't be read or changed. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The file system refused.
    #[error("{path}: {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// It is no roster.
    #[error("{path} is no roster: {reason}; mend it, or move it away and add the machines again")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A newer darkmux wrote it.
    #[error(
        "{path} is of version {version}, and this darkmux writes version {ROSTER_VERSION}; change it with the newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// The id is none.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Too many machines, or a text that is too long.
    #[error("{0}")]
    TooMuch(String),
    /// The file with the token can't be used.
    #[error("the token's file {path}: {reason}")]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// A machine of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name here.
    pub id: MachineId,
    /// Where its daemon listens.
    pub address: PeerAddress,
    /// What the operator says of it.
    pub description: Option<String>,
    /// When it was added, in milliseconds since the Unix epoch.
    pub added_unix_ms: u64,
    /// The file whose first line is the token that its daemon asks for.
    pub token_file: Option<PathBuf>,
}

/// What is to be added.
#[derive(Debug, Clone)]
pub struct NewPeer<'a> {
    /// Its name.
    pub id: &'a str,
    /// Where its daemon listens.
    pub address: &'a str,
    /// What the operator says of it; `None` keeps what was said before.
    pub description: Option<&'a str>,
    /// The file of its token; `None` keeps what was set before.
    pub token_file: Option<&'a Path>,
}

/// An entry of the file that is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    /// Its key, as it stands there.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What the roster says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// The machines, by id.
    pub peers: Vec<Peer>,
    /// Entries that are of no use.
    pub bad: Vec<BadEntry>,
}

impl Roster {
    /// The machine of this name.
    pub fn get(&self, id: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.id.as_str() == id)
    }
}

/// The file of the roster.
#[derive(Debug, Clone)]
pub struct RosterFile {
    path: PathBuf,
}

impl RosterFile {
    /// Touches nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; no file is an empty roster.
    pub fn read(&self) -> Result<Roster, RosterError> {
        let document = self.document()?;
        let mut roster = Roster::default();
        for (key, entry) in machines(&document).into_iter().flatten().take(MACHINES_MAX) {
            match peer(key, entry) {
                Ok(peer) => roster.peers.push(peer),
                Err(reason) => roster.bad.push(BadEntry { key: key.chars().take(80).collect(), reason }),
            }
        }
        roster.peers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(roster)
    }

    /// Adds a machine, or changes its entry, which keeps the time when it was added first. Returns the entry and
    /// whether it is a new one.
    pub fn add(&self, new: &NewPeer<'_>, now_ms: u64) -> Result<(Peer, bool), RosterError> {
        let id = MachineId::new(new.id)?;
        let address: PeerAddress = new.address.parse()?;
        let description = new.description.map(str::trim);
        if description.is_some_and(|text| text.len() > DESCRIPTION_MAX) {
            return Err(RosterError::TooMuch(format!("a description has at most {DESCRIPTION_MAX} bytes")));
        }
        if let Some(path) = new.token_file {
            read_token(path)?;
        }
        self.change(|machines| {
            let is_new = !machines.contains_key(id.as_str());
            if is_new && machines.len() >= MACHINES_MAX {
                let said = format!("the roster has {MACHINES_MAX} machines already; remove some");
                return Err(RosterError::TooMuch(said));
            }
            let entry = machines.entry(id.as_str()).or_insert_with(|| json!({ "added_unix_ms": now_ms }));
            if !entry.is_object() {
                *entry = json!({ "added_unix_ms": now_ms });
            }
            if let Value::Object(entry) = entry {
                entry.insert("id".to_owned(), id.as_str().into());
                entry.insert("address".to_owned(), address.to_string().into());
                match description {
                    Some("") => drop(entry.remove("description")),
                    Some(text) => drop(entry.insert("description".to_owned(), text.into())),
                    None => {}
                }
                if let Some(path) = new.token_file {
                    entry.insert("token_file".to_owned(), path.to_string_lossy().into());
                }
                entry.entry("added_unix_ms").or_insert_with(|| now_ms.into());
            }
            let made = peer(id.as_str(), entry);
            made.map(|peer| (peer, is_new)).map_err(|reason| self.syntax(reason))
        })
    }

    /// Removes an entry by its key, of use or not; whether there was one.
    pub fn remove(&self, key: &str) -> Result<bool, RosterError> {
        if !machines(&self.document()?).is_some_and(|machines| machines.contains_key(key)) {
            return Ok(false);
        }
        self.change(|machines| Ok(machines.remove(key).is_some()))
    }

    fn document(&self) -> Result<Map<String, Value>, RosterError> {
        let read =
            store::read_if_there(&self.path, FILE_MAX).map_err(|source| self.io("reading it", source))?;
        let Some(bytes) = read else { return Ok(Map::new()) };
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| self.syntax(error.to_string()))?;
        let Value::Object(document) = value else { return Err(self.syntax("it is no object".to_owned())) };
        if document.get("machines").is_some_and(|machines| !machines.is_object()) {
            return Err(self.syntax("`machines` is no object".to_owned()));
        }
        Ok(document)
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Map<String, Value>) -> Result<T, RosterError>,
    ) -> Result<T, RosterError> {
        // A file that the operator keeps elsewhere and linked here is replaced there.
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let dir = path.parent().unwrap_or(Path::new("/"));
        if !dir.exists() {
            store::ensure_private_dir(dir).map_err(|source| self.io("making its folder", source))?;
        }
        let _lock = self.lock()?;
        let mut document = self.document()?;
        let version = document.get("version").and_then(Value::as_str).unwrap_or(ROSTER_VERSION);
        if version.parse::<f64>().is_ok_and(|version| version >= 3.0) {
            return Err(RosterError::Newer {
                path: self.path.clone(),
                version: visible_line(version).into_owned(),
            });
        }
        let mut machines = match document.remove("machines") {
            Some(Value::Object(machines)) => machines,
            _ => Map::new(),
        };
        let made = change(&mut machines)?;
        document.insert("machines".to_owned(), machines.into());
        document.insert("version".to_owned(), ROSTER_VERSION.into());
        let text =
            serde_json::to_vec_pretty(&document).map_err(|error| self.io("writing it", error.into()))?;
        let written = store::write_atomic(&path, &text, Durability::Synced);
        written.map_err(|source| self.io("writing it", source)).map(|()| made)
    }

    /// 1.9 takes the same lock on the same file.
    fn lock(&self) -> Result<File, RosterError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o644).open(&path);
        let lock = lock.map_err(|source| self.io("opening its lock", source))?;
        store::lock_within(&lock, LOCK_PATIENCE).map_err(|source| self.io("waiting for its lock", source))?;
        Ok(lock)
    }

    fn io(&self, action: &'static str, source: io::Error) -> RosterError {
        RosterError::Io { path: self.path.clone(), action, source }
    }

    fn syntax(&self, reason: String) -> RosterError {
        RosterError::Syntax { path: self.path.clone(), reason }
    }
}

fn machines(document: &Map<String, Value>) -> Option<&Map<String, Value>> {
    document.get("machines")?.as_object()
}

fn peer(key: &str, entry: &Value) -> Result<Peer, String> {
    let id = MachineId::new(key).map_err(|error| error.to_string())?;
    let address = entry["address"].as_str().ok_or("it has no address")?;
    let description = entry["description"].as_str().map(|text| text.chars().take(DESCRIPTION_MAX).collect());
    Ok(Peer {
        id,
        address: address.parse().map_err(|error: AddressError| error.to_string())?,
        description,
        added_unix_ms: entry["added_unix_ms"].as_u64().unwrap_or(0),
        token_file: entry["token_file"].as_str().map(PathBuf::from),
    })
}

/// The token in a file that only its owner can read.
pub fn read_token(path: &Path) -> Result<Secret, RosterError> {
    let wrong = |reason: String| RosterError::Token { path: path.to_owned(), reason };
    let mode = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.mode();
    if mode & 0o077 != 0 {
        return Err(wrong(format!("others can read it (mode {:o}); chmod 600 it", mode & 0o777)));
    }
    let bytes = store::read_bounded(path, TOKEN_MAX).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    let good = |c: char| c.is_ascii_graphic();
    if token.is_empty() || !token.chars().all(good) {
        return Err(wrong("its first line is no token: letters, digits and signs without blanks".to_owned()));
    }
    Ok(Secret::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A roster as the darkmux 1.9.0 binary wrote it, which took any text as an id.
    const OLD: &str = r#"{
  "version": "2",
  "machines": {
    "Bad Id.X/../": {
      "id": "Bad Id.X/../",
      "address": "10.0.0.9:8765",
      "added_unix_ms": 1795304012000
    },
    "laptop": {
      "id": "laptop",
      "address": "100.64.1.5:8765",
      "description": "on the desk",
      "added_unix_ms": 1795304012268
    },
    "studio": {
      "id": "studio",
      "address": "studio",
      "added_unix_ms": 1795304012269
    }
  }
}"#;

    fn bed(text: Option<&str>) -> (tempfile::TempDir, RosterFile) {
        let dir = tempfile::tempdir().unwrap();
        let file = RosterFile::new(dir.path().join("fleet.json"));
        if let Some(text) = text {
            fs::write(file.path(), text).unwrap();
        }
        (dir, file)
    }

    fn new<'a>(id: &'a str, address: &'a str) -> NewPeer<'a> {
        NewPeer { id, address, description: None, token_file: None }
    }

    #[test]
    fn a_roster_of_1_9_is_read_and_an_id_that_is_none_is_named() {
        let (_dir, file) = bed(Some(OLD));
        let roster = file.read().unwrap();
        let ids: Vec<&str> = roster.peers.iter().map(|peer| peer.id.as_str()).collect();
        assert_eq!(ids, ["laptop", "studio"]);
        assert_eq!(roster.get("studio").unwrap().address.to_string(), "studio:8765");
        assert_eq!(roster.bad[0].key, "Bad Id.X/../");
        assert!(file.remove("Bad Id.X/../").unwrap() && !file.remove("Bad Id.X/../").unwrap());
    }

    #[test]
    fn a_change_keeps_what_it_does_not_know_and_the_first_time() {
        let text = OLD.replace("\"version\": \"2\",", "\"version\": \"2\", \"colour\": 1,");
        let text = text.replace("\"address\": \"studio\",", "\"address\": \"studio\", \"newer\": [1],");
        let (_dir, file) = bed(Some(&text));
        let (peer, is_new) = file.add(&new("studio", "10.0.0.1"), 5).unwrap();
        assert_eq!((peer.added_unix_ms, is_new), (1_795_304_012_269, false));
        let (_, is_new) =
            file.add(&NewPeer { description: Some(" pi "), ..new("pi", "[::1]:7") }, 5).unwrap();
        assert!(is_new);
        let text = fs::read_to_string(file.path()).unwrap();
        let kept: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&kept["colour"], &kept["version"]), (&json!(1), &json!("2")));
        let studio = json!({
            "id": "studio", "address": "10.0.0.1:8765", "added_unix_ms": 1_795_304_012_269_u64, "newer": [1],
        });
        assert_eq!(kept["machines"]["studio"], studio);
        let pi = json!({ "id": "pi", "address": "[::1]:7", "added_unix_ms": 5, "description": "pi" });
        assert_eq!(kept["machines"]["pi"], pi);
        assert!(text.starts_with("{\n  \"") && !text.ends_with('\n'), "{text}");
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_file_is_an_empty_roster_and_looking_makes_none() {
        let (dir, file) = bed(None);
        assert!(file.read().unwrap().peers.is_empty());
        assert!(!file.remove("x").unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_roster_is_never_overwritten() {
        for (text, says) in [
            ("{ torn", "no roster"),
            ("[]", "no object"),
            (r#"{"machines":[]}"#, "`machines`"),
            (r#"{"version":"3","machines":{}}"#, "newer"),
        ] {
            let (_dir, file) = bed(Some(text));
            let said = file.add(&new("a", "b"), 1).unwrap_err().to_string();
            assert!(said.contains(says), "{text}: {said}");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
        }
    }

    #[test]
    fn entries_of_any_shape_hide_no_other() {
        let text = r#"{"machines":{"a":1,"b":{},"c":{"address":"http://x"},"d":{"address":"169.254.169.254"},
            "e":{"address":"10.0.0.1","description":7,"added_unix_ms":"x"}}}"#;
        let (_dir, file) = bed(Some(text));
        let roster = file.read().unwrap();
        assert_eq!((roster.peers.len(), roster.bad.len()), (1, 4), "{roster:?}");
        file.add(&new("a", "10.0.0.2"), 3).unwrap();
        assert_eq!(file.read().unwrap().get("a").unwrap().added_unix_ms, 3);
    }

    #[test]
    fn a_link_is_followed_and_stays_one() {
        let (dir, file) = bed(None);
        let elsewhere = dir.path().join("dotfiles");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("f.json"), "{}").unwrap();
        std::os::unix::fs::symlink(elsewhere.join("f.json"), file.path()).unwrap();
        file.add(&new("a", "b"), 1).unwrap();
        assert!(fs::symlink_metadata(file.path()).unwrap().is_symlink());
        assert!(fs::read_to_string(elsewhere.join("f.json")).unwrap().contains("b:8765"));
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let (dir, file) = bed(None);
        let path = dir.path().join("token");
        fs::write(&path, "canary-token\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let with = NewPeer { token_file: Some(&path), ..new("a", "b") };
        let said = file.add(&with, 1).unwrap_err().to_string();
        assert!(said.contains("chmod 600") && !said.contains("canary"), "{said}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(file.add(&with, 1).unwrap().0.token_file.as_deref(), Some(path.as_path()));
        assert_eq!(read_token(&path).unwrap().expose(), "canary-token");
        fs::write(&path, "two words\r\nX: y").unwrap();
        assert!(read_token(&path).is_err());
    }
}
