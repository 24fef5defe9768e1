//! What stays on a machine of each one it joined, or that joined it: `<home>/peers/<id>.json` says what joining changed here,
//! `<home>/peers/<id>.token` is what that machine's daemon takes, and the roster names it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::seal::InviteId;
use crate::fleet::{NewPeer, Peer, RosterError, RosterFile};
use crate::model::MachineId;
use crate::store::{self, Durability};
use crate::util::Secret;

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 16 * 1024;

/// Most files of the folder that are looked at.
const FILES_MAX: usize = 4096;

/// The join that is on its way.
const PENDING: &str = ".joining";

/// What joining took over from the other machine; leaving takes it back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Took {
    /// The fingerprint of the fleet's key, if there was none here.
    pub fleet_key: Option<String>,
    /// The URL of Redis, without a password, if there was another one here, or none.
    pub redis: Option<String>,
}

/// A machine that this one is joined with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Its name.
    pub machine_id: MachineId,
    /// Its identity.
    pub machine_uid: String,
    /// Where its daemon listens, as far as it can be reached from here.
    pub address: Option<String>,
    /// When: RFC 3339, UTC.
    pub joined_at: String,
    /// What came from it.
    #[serde(default)]
    pub took: Took,
}

/// The secrets of a join that is on its way; the same when it is tried again.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pending {
    invite: String,
    /// By which the inviting machine knows that it is the same try.
    pub attempt: String,
    /// The token that the inviting machine gets.
    pub token: String,
}

/// The files.
#[derive(Debug, Clone)]
pub struct PeerFiles {
    dir: PathBuf,
    roster: RosterFile,
}

impl PeerFiles {
    /// Touches nothing yet.
    pub fn new(dir: PathBuf, roster: RosterFile) -> Self {
        Self { dir, roster }
    }

    /// The file with the token of this machine's daemon.
    pub fn token_file(&self, id: &MachineId) -> PathBuf {
        self.dir.join(format!("{id}.token"))
    }

    fn record(&self, id: &MachineId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    /// What is known of a machine that this one is joined with.
    pub fn find(&self, id: &MachineId) -> io::Result<Option<Joined>> {
        let Some(bytes) = store::read_if_there(&self.record(id), FILE_MAX)? else { return Ok(None) };
        let joined: Joined = serde_json::from_slice(&bytes)?;
        Ok(Some(joined).filter(|joined| joined.machine_id == *id))
    }

    /// All machines that this one is joined with, by name.
    pub fn all(&self) -> io::Result<Vec<Joined>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for entry in entries.take(FILES_MAX) {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| MachineId::new(name.strip_suffix(".json")?).ok());
            if let Some(id) = id {
                all.extend(self.find(&id)?);
            }
        }
        all.sort_by(|a, b| a.machine_id.cmp(&b.machine_id));
        Ok(all)
    }

    /// Keeps a machine. With a token and an address it comes into the roster, last: what is there is whole.
    pub fn keep(&self, joined: &Joined, token: Option<&Secret>, now_ms: u64) -> Result<(), RosterError> {
        self.note(joined)?;
        let (Some(token), Some(address)) = (token, &joined.address) else {
            // By what it was reached before it is not any more.
            return self.unlist(&joined.machine_id).map(drop);
        };
        let token_file = self.token_file(&joined.machine_id);
        let line = format!("{}\n", token.expose());
        store::write_atomic(&token_file, line.as_bytes(), Durability::Synced).map_err(failed(&token_file))?;
        let id = joined.machine_id.as_str();
        let new = NewPeer { id, address, description: None, token_file: Some(&token_file) };
        self.roster.add(&new, now_ms).map(drop)
    }

    /// Keeps what is known of a machine, and nothing else.
    pub fn note(&self, joined: &Joined) -> Result<(), RosterError> {
        let record = self.record(&joined.machine_id);
        let text = serde_json::to_vec_pretty(joined).map_err(|error| failed(&record)(error.into()))?;
        store::ensure_private_dir(&self.dir).map_err(failed(&self.dir))?;
        store::write_atomic(&record, &text, Durability::Synced).map_err(failed(&record))
    }

    /// Takes a machine out of all files; whether it was in one. An entry of the roster that the operator made stays.
    pub fn forget(&self, id: &MachineId) -> Result<bool, RosterError> {
        let listed = self.unlist(id)?;
        Ok(removed(self.record(id))? || listed)
    }

    /// Takes a machine out of the roster, with its token.
    fn unlist(&self, id: &MachineId) -> Result<bool, RosterError> {
        let token_file = self.token_file(id);
        let is_ours = |peer: &Peer| peer.token_file.as_ref() == Some(&token_file);
        let listed = self.roster.read()?.get(id.as_str()).is_some_and(is_ours);
        let found = listed && self.roster.remove(id.as_str())?;
        Ok(removed(token_file)? || found)
    }

    /// Whether a join with this invitation was begun here and not finished.
    pub fn pending(&self, invite: InviteId) -> io::Result<Option<Pending>> {
        let bytes = store::read_if_there(&self.dir.join(PENDING), FILE_MAX)?;
        let pending: Option<Pending> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(pending.filter(|pending| pending.invite == invite.to_string()))
    }

    /// Begins a join with this invitation, or goes on with it.
    pub fn begin(&self, invite: InviteId) -> io::Result<Pending> {
        if let Some(pending) = self.pending(invite)? {
            return Ok(pending);
        }
        store::ensure_private_dir(&self.dir)?;
        let random = || Secret::generate().map(|secret| secret.expose().to_owned());
        let pending = Pending { invite: invite.to_string(), attempt: random()?, token: random()? };
        store::write_atomic(&self.dir.join(PENDING), &serde_json::to_vec(&pending)?, Durability::Synced)?;
        Ok(pending)
    }

    /// The join is finished.
    pub fn finish(&self) -> io::Result<()> {
        match std::fs::remove_file(self.dir.join(PENDING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RosterError + use<> {
    let path = path.to_owned();
    move |source| RosterError::Io { path, action: "keeping a machine", source }
}

fn removed(path: PathBuf) -> Result<bool, RosterError> {
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(RosterError::Io { path, action: "removing it", source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn joined(address: Option<&str>) -> Joined {
        Joined {
            machine_id: MachineId::new("studio").unwrap(),
            machine_uid: "u".to_owned(),
            address: address.map(str::to_owned),
            joined_at: String::new(),
            took: Took::default(),
        }
    }

    #[test]
    fn a_machine_is_kept_changed_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let roster = RosterFile::new(dir.path().join("fleet.json"));
        let files = PeerFiles::new(dir.path().join("peers"), roster.clone());
        let studio = MachineId::new("studio").unwrap();
        assert!(files.all().unwrap().is_empty() && !files.forget(&studio).unwrap());
        for token in ["first", "second"] {
            files.keep(&joined(Some("studio:1")), Some(&Secret::new(token)), 7).unwrap();
            let peer = roster.read().unwrap().get("studio").unwrap().clone();
            let kept = crate::fleet::read_token(&peer.token_file.unwrap()).unwrap();
            assert_eq!(kept.expose(), token);
        }
        assert_eq!(files.all().unwrap(), [joined(Some("studio:1"))]);
        assert_eq!(std::fs::metadata(files.token_file(&studio)).unwrap().mode() & 0o777, 0o600);
        assert!(files.forget(&studio).unwrap() && !files.forget(&studio).unwrap());
        assert!(roster.read().unwrap().peers.is_empty() && !files.token_file(&studio).exists());
        // Who can't be reached is known, and in no roster.
        files.keep(&joined(None), None, 7).unwrap();
        assert!(roster.read().unwrap().peers.is_empty() && files.find(&studio).unwrap().is_some());
        // What the operator wrote stays.
        roster.add(&NewPeer { id: "studio", address: "s", description: None, token_file: None }, 1).unwrap();
        assert!(files.forget(&studio).unwrap() && roster.read().unwrap().get("studio").is_some());
    }

    #[test]
    fn a_join_that_was_interrupted_goes_on_with_its_secret() {
        let dir = tempfile::tempdir().unwrap();
        let files = PeerFiles::new(dir.path().join("peers"), RosterFile::new(dir.path().join("fleet.json")));
        let id = |text: &str| crate::fleet::join::Psk::of(&Secret::new(text)).id();
        let begin = |invite| files.begin(invite).unwrap().attempt;
        let first = begin(id("a"));
        assert!(first.len() == 64 && begin(id("a")) == first && begin(id("b")) != first);
        assert!(files.pending(id("a")).unwrap().is_none() && files.pending(id("b")).unwrap().is_some());
        files.finish().unwrap();
        files.finish().unwrap();
        assert!(files.pending(id("b")).unwrap().is_none());
    }
}
