//! The tokens that are valid now, read anew when a file has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::caller::Scope;
use super::{NamedTokens, TokenError, TokenFile};
use crate::config::Paths;
use crate::util::{Secret, tick};

/// How often an open stream looks whether its token is still valid, where nobody else asks anything.
const LOOK: Duration = Duration::from_secs(2);

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The daemon's own file.
    File,
    /// The environment of the daemon.
    Environment,
    /// The fleet's file.
    Fleet,
    /// A read-only token.
    ReadOnly,
    /// The token of another machine of the fleet.
    Machine,
}

/// A valid token, as its hash.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// BLAKE3 of the token.
    pub id: blake3::Hash,
    /// What it lets one do.
    pub scope: Scope,
    /// Where it comes from.
    pub source: Source,
}

impl Key {
    fn of(token: &Secret, scope: Scope, source: Source) -> Self {
        Self { id: blake3::hash(token.expose().as_bytes()), scope, source }
    }
}

/// What tells that a file is another one than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::symlink_metadata(path).ok()?;
        Some(Self {
            file: (meta.dev(), meta.ino()),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

#[derive(Debug, Default)]
struct Seen {
    /// `None` before the first look.
    stamps: Option<[Option<Stamp>; 4]>,
    keys: Arc<[Key]>,
}

/// The keys. A file that is broken, or open to others, gives none.
#[derive(Debug)]
pub struct Keyring {
    token: TokenFile,
    fleet: TokenFile,
    read_only: NamedTokens,
    machines: NamedTokens,
    fixed: Option<Key>,
    seen: Mutex<Seen>,
    changes: watch::Sender<u64>,
}

impl Keyring {
    /// The keys of this home, and one from the environment. Reads nothing yet.
    pub fn new(paths: &Paths, environment: Option<&Secret>) -> Self {
        Self {
            token: TokenFile::new(paths.auth_token()),
            fleet: TokenFile::new(paths.fleet_token()),
            read_only: NamedTokens::new(paths.read_only_tokens()),
            machines: NamedTokens::new(paths.machine_tokens()),
            fixed: environment.map(|token| Key::of(token, Scope::Act, Source::Environment)),
            seen: Mutex::default(),
            changes: watch::channel(0).0,
        }
    }

    /// The key that this token is. How long it takes does not depend on the token.
    pub fn find(&self, token: &str) -> Option<Key> {
        self.of_id(&blake3::hash(token.as_bytes()))
    }

    /// The key of this hash, if it is valid now.
    pub fn of_id(&self, id: &blake3::Hash) -> Option<Key> {
        // The hashes' own comparison takes the same time for all.
        self.keys().iter().fold(None, |found, key| if key.id == *id { Some(*key) } else { found })
    }

    /// The key that browsers on this machine are signed in with.
    pub fn primary(&self) -> Option<Key> {
        let keys = self.keys();
        let of = |source| keys.iter().find(|key| key.source == source).copied();
        of(Source::File).or_else(|| of(Source::Environment))
    }

    /// All keys that are valid now.
    pub fn keys(&self) -> Arc<[Key]> {
        self.refresh();
        Arc::clone(&self.locked().keys)
    }

    /// Looks at the files, and reads them when they have changed.
    pub fn refresh(&self) {
        let places: [PathBuf; 4] =
            [self.token.path(), self.fleet.path(), self.read_only.path(), self.machines.path()]
                .map(Path::to_owned);
        // Before the reading: what changes meanwhile is another file at the next look.
        let stamps = places.map(|path| Stamp::of(&path));
        let mut seen = self.locked();
        if seen.stamps == Some(stamps) {
            return;
        }
        *seen = Seen { stamps: Some(stamps), keys: self.read().into() };
        drop(seen);
        self.changes.send_modify(|count| *count += 1);
    }

    fn read(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        keys.extend(self.fixed);
        let full = [(&self.token, Source::File), (&self.fleet, Source::Fleet)];
        for (file, source) in full {
            let token = told(file.read()).flatten();
            keys.extend(token.map(|token| Key::of(&token, Scope::Act, source)));
        }
        let named = [
            (&self.read_only, Scope::Watch, Source::ReadOnly),
            (&self.machines, Scope::Act, Source::Machine),
        ];
        for (file, scope, source) in named {
            for token in told(file.read()).unwrap_or_default() {
                keys.extend(blake3::Hash::from_hex(&token.hash).ok().map(|id| Key { id, scope, source }));
            }
        }
        keys
    }

    /// Resolves when the key of this hash is not valid any more.
    pub async fn gone(self: Arc<Self>, id: blake3::Hash) {
        let mut changes = self.changes.subscribe();
        while self.of_id(&id).is_some() {
            // The sender lives as long as `self`; the pause is for changes that nobody else has noticed.
            tokio::select! {
                _ = changes.changed() => {}
                () = tick(LOOK) => {}
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs what is wrong with a file: whoever comes with its token is refused, and the reason stands here.
fn told<T>(read: Result<T, TokenError>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(%error, "its tokens are not valid")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::model::MachineId;

    fn keyring(home: &Path) -> (Paths, Arc<Keyring>) {
        let paths = Paths::from_env(&Environment::of([("DARKMUX_HOME", home)])).unwrap();
        let fixed = Secret::new("f".repeat(64));
        (paths.clone(), Arc::new(Keyring::new(&paths, Some(&fixed))))
    }

    #[test]
    fn keys_come_from_all_their_places_and_go_with_them() {
        let home = tempfile::tempdir().unwrap();
        let (paths, keyring) = keyring(home.path());
        assert_eq!(keyring.primary().unwrap().source, Source::Environment);
        let token = TokenFile::new(paths.auth_token()).ensure().unwrap();
        let fleet = TokenFile::new(paths.fleet_token()).ensure().unwrap();
        let watch = NamedTokens::new(paths.read_only_tokens()).add("x", jiff::Timestamp::UNIX_EPOCH).unwrap();
        let machines = NamedTokens::new(paths.machine_tokens());
        let studio = MachineId::new("studio").unwrap();
        let machine = machines.replace(&studio, jiff::Timestamp::UNIX_EPOCH).unwrap();
        let of = |token: &str| keyring.find(token).map(|key| (key.source, key.scope));
        assert_eq!(of(&"f".repeat(64)), Some((Source::Environment, Scope::Act)));
        assert_eq!(of(token.expose()), Some((Source::File, Scope::Act)));
        assert_eq!(of(fleet.expose()), Some((Source::Fleet, Scope::Act)));
        assert_eq!(of(watch.expose()), Some((Source::ReadOnly, Scope::Watch)));
        assert_eq!(of(machine.expose()), Some((Source::Machine, Scope::Act)));
        assert_eq!(keyring.primary().unwrap().source, Source::File);
        assert_eq!(of(""), None);
        // A kept hash is no token.
        assert_eq!(of(blake3::hash(watch.expose().as_bytes()).to_hex().as_str()), None);
        let next = TokenFile::new(paths.auth_token()).rotate().unwrap();
        assert_eq!((of(token.expose()), of(next.expose())), (None, Some((Source::File, Scope::Act))));
        NamedTokens::new(paths.read_only_tokens()).remove("x").unwrap();
        fs::remove_file(paths.fleet_token()).unwrap();
        machines.remove("studio").unwrap();
        assert_eq!(of(machine.expose()), None);
        assert_eq!((of(watch.expose()), of(fleet.expose())), (None, None));
    }

    #[test]
    fn a_file_that_others_may_read_opens_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let (paths, keyring) = keyring(home.path());
        let token = TokenFile::new(paths.auth_token()).ensure().unwrap();
        assert!(keyring.find(token.expose()).is_some());
        fs::set_permissions(paths.auth_token(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(keyring.find(token.expose()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_a_key_hears_that_it_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let (paths, keyring) = keyring(home.path());
        let token = TokenFile::new(paths.auth_token()).ensure().unwrap();
        let id = keyring.find(token.expose()).unwrap().id;
        let gone = Arc::clone(&keyring).gone(id);
        let mut gone = std::pin::pin!(gone);
        assert!(tokio::time::timeout(LOOK * 3, gone.as_mut()).await.is_err(), "it is valid");
        TokenFile::new(paths.auth_token()).rotate().unwrap();
        tokio::time::timeout(LOOK * 3, gone).await.expect("it is gone");
    }
}
