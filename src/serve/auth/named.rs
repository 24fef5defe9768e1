//! Tokens by name: those that let one watch, and those of machines that joined. Their files keep the hashes.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::token::{TokenError, read_own};
use crate::model::MachineId;
use crate::store::{Durability, ensure_private_dir, lock_within, write_atomic};
use crate::util::{Secret, clock, visible_line};

/// Most tokens that watch, and most machines.
const TOKENS_MAX: usize = 64;
const MACHINES_MAX: usize = 1000;

/// Largest file, in bytes.
const FILE_MAX: u64 = 512 * 1024;

/// Longest name of a token, in bytes.
pub const NAME_MAX: usize = 64;

/// How long another command may hold the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// One token, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedToken {
    /// What its owner calls it.
    pub name: String,
    /// BLAKE3 of the token, hexadecimal.
    pub hash: String,
    /// When it was made.
    pub created_at: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    schema: u32,
    tokens: Vec<NamedToken>,
}

/// The file of the tokens.
#[derive(Debug, Clone)]
pub struct NamedTokens {
    path: PathBuf,
}

impl NamedTokens {
    /// The file at this path. Reads nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokens, in the order in which they were made.
    pub fn read(&self) -> Result<Vec<NamedToken>, TokenError> {
        let Some(bytes) = read_own(&self.path, FILE_MAX)? else { return Ok(Vec::new()) };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|error| self.failed("reading it", &error.into()))?;
        Ok(document.tokens)
    }

    /// Makes a token of this name and returns it: it is kept nowhere.
    pub fn add(&self, name: &str, now: Timestamp) -> Result<Secret, TokenError> {
        let wrong = |what: String| self.failed("adding a token", &io::Error::other(what));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_plain) {
            return Err(wrong(format!("a name has up to {NAME_MAX} letters, digits and any of -_.@")));
        }
        let token = Secret::generate().map_err(|source| self.failed("making a random token", &source))?;
        let hash = blake3::hash(token.expose().as_bytes()).to_hex().to_string();
        self.change(|tokens| {
            if tokens.iter().any(|token| token.name == name) {
                return Err(wrong(format!("there is a token {name} already; `darkmux auth revoke {name}`")));
            }
            if tokens.len() >= TOKENS_MAX {
                return Err(wrong(format!("there are {TOKENS_MAX} already; `darkmux auth revoke` one")));
            }
            tokens.push(NamedToken { name: name.to_owned(), hash, created_at: clock::seconds(now) });
            Ok(())
        })?;
        Ok(token)
    }

    /// Makes a token of this machine's and returns it: it is kept nowhere. One that the machine had before ends.
    pub fn replace(&self, machine: &MachineId, now: Timestamp) -> Result<Secret, TokenError> {
        let token = Secret::generate().map_err(|source| self.failed("making a random token", &source))?;
        self.put(machine, &token, now).map(|()| token)
    }

    /// As [`Self::replace`], with a token that was made before.
    pub fn put(&self, machine: &MachineId, token: &Secret, now: Timestamp) -> Result<(), TokenError> {
        let hash = blake3::hash(token.expose().as_bytes()).to_hex().to_string();
        let made = NamedToken { name: machine.to_string(), hash, created_at: clock::seconds(now) };
        self.change(|tokens| {
            tokens.retain(|token| token.name != made.name);
            if tokens.len() >= MACHINES_MAX {
                let what = format!("there are {MACHINES_MAX} machines already; `darkmux fleet leave` one");
                return Err(self.failed("adding a token", &io::Error::other(what)));
            }
            tokens.push(made);
            Ok(())
        })
    }

    /// The name of the token with this hash.
    pub fn name_of(&self, id: &blake3::Hash) -> Result<Option<String>, TokenError> {
        let is_it = |token: &NamedToken| blake3::Hash::from_hex(&token.hash).is_ok_and(|hash| hash == *id);
        Ok(self.read()?.into_iter().find(is_it).map(|token| token.name))
    }

    /// Ends the token of this name; `false` when there is none.
    pub fn remove(&self, name: &str) -> Result<bool, TokenError> {
        if !self.read()?.iter().any(|token| token.name == name) {
            return Ok(false);
        }
        self.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.name != name);
            Ok(tokens.len() < before)
        })
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<NamedToken>) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let failed = |source: io::Error| self.failed("writing it", &source);
        ensure_private_dir(self.path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
        let lock = self.path.with_extension("json.lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(lock)
            .map_err(failed)?;
        lock_within(&lock, PATIENCE).map_err(failed)?;
        let mut tokens = self.read()?;
        let done = change(&mut tokens)?;
        let text = serde_json::to_vec_pretty(&Document { schema: 1, tokens })
            .map_err(|error| failed(error.into()))?;
        write_atomic(&self.path, &text, Durability::Synced).map_err(failed)?;
        Ok(done)
    }

    fn failed(&self, action: &'static str, source: &io::Error) -> TokenError {
        let source = io::Error::new(source.kind(), visible_line(&source.to_string()).into_owned());
        TokenError::Io { path: self.path.clone(), action, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_named_hashed_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let file = NamedTokens::new(dir.path().join("auth-read-only.json"));
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        assert_eq!(file.read().unwrap(), []);
        let token = file.add("phone", now).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(token.expose()) && text.contains("2026-11-22T12:00:00Z"), "{text}");
        assert!(file.add("phone", now).unwrap_err().to_string().contains("revoke phone"));
        for bad in ["", "a b", "x\n", &"x".repeat(65)] {
            assert!(file.add(bad, now).is_err(), "{bad:?}");
        }
        for n in 1..TOKENS_MAX {
            file.add(&format!("t{n}"), now).unwrap();
        }
        assert!(file.add("more", now).unwrap_err().to_string().contains("64"));
        assert!(file.remove("phone").unwrap() && !file.remove("phone").unwrap());
        assert_eq!(file.read().unwrap().len(), TOKENS_MAX - 1);
    }

    #[test]
    fn a_machine_has_one_token_and_is_known_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = NamedTokens::new(dir.path().join("auth-machines.json"));
        let (studio, laptop) = (MachineId::new("studio").unwrap(), MachineId::new("laptop").unwrap());
        let first = file.replace(&studio, Timestamp::UNIX_EPOCH).unwrap();
        let second = file.replace(&studio, Timestamp::UNIX_EPOCH).unwrap();
        file.put(&laptop, &first, Timestamp::UNIX_EPOCH).unwrap();
        let of = |token: &Secret| file.name_of(&blake3::hash(token.expose().as_bytes())).unwrap();
        assert_eq!((of(&first).as_deref(), of(&second).as_deref()), (Some("laptop"), Some("studio")));
        assert!(file.remove("studio").unwrap() && of(&second).is_none());
    }

    #[test]
    fn a_broken_file_is_no_empty_list() {
        let dir = tempfile::tempdir().unwrap();
        let file = NamedTokens::new(dir.path().join("t.json"));
        write_atomic(file.path(), b"{", Durability::Cached).unwrap();
        assert!(file.read().is_err() && file.remove("x").is_err());
    }
}
