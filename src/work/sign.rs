//! Signatures of jobs: whoever can write to Redis could otherwise run commands on every machine.

use std::path::Path;

use crate::store::{Durability, ensure_private_dir, read_if_there, write_atomic, write_new};

/// The key that all machines of a fleet share. Never in Redis.
#[derive(Clone)]
pub struct FleetKey([u8; 32]);

impl std::fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FleetKey(***)")
    }
}

/// Keeps signatures apart from other uses of the key.
const CONTEXT: &[u8] = b"darkmux job v1\0";

impl FleetKey {
    /// Reads the key's file: 64 hexadecimal digits. `None` where there is no file.
    pub fn read(path: &Path) -> Result<Option<Self>, String> {
        let wrong = |what: &str| format!("{}: {what}", path.display());
        let Some(bytes) = read_if_there(path, 1024).map_err(|error| wrong(&error.to_string()))? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is no text"))?;
        let hash =
            blake3::Hash::from_hex(text.trim()).map_err(|_| wrong("it is not 64 hexadecimal digits"))?;
        Ok(Some(Self(*hash.as_bytes())))
    }

    /// The key, made now where there is none, and whether it was.
    pub fn ensure(path: &Path) -> Result<(Self, bool), String> {
        if let Some(key) = Self::read(path)? {
            return Ok((key, false));
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| format!("the system gave no random bits: {error}"))?;
        let made = Self::keep(path, &Self(bytes).to_hex())?;
        let key = Self::read(path)?.ok_or_else(|| format!("{}: it went away", path.display()))?;
        Ok((key, made))
    }

    /// Keeps this key, 64 hexadecimal digits, where there is none yet; whether it did.
    pub fn keep(path: &Path, hex: &str) -> Result<bool, String> {
        let wrong = |what: &str| format!("{}: {what}", path.display());
        blake3::Hash::from_hex(hex).map_err(|_| wrong("the key is not 64 hexadecimal digits"))?;
        ensure_private_dir(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| write_new(path, format!("{hex}\n").as_bytes()))
            .map_err(|error| wrong(&error.to_string()))
    }

    /// Puts this key in the place of whatever is there.
    pub fn replace(path: &Path, hex: &str) -> Result<(), String> {
        let wrong = |what: &str| format!("{}: {what}", path.display());
        blake3::Hash::from_hex(hex).map_err(|_| wrong("the key is not 64 hexadecimal digits"))?;
        write_atomic(path, format!("{hex}\n").as_bytes(), Durability::Synced)
            .map_err(|error| wrong(&error.to_string()))
    }

    /// The key as its file has it, for the one who gives it to another machine.
    pub fn to_hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// By what two machines find out that they have the same key. It tells nothing else.
    pub fn fingerprint(&self) -> String {
        let derived = blake3::derive_key("darkmux fleet key fingerprint v1", &self.0);
        blake3::Hash::from_bytes(derived).to_hex()[..16].to_owned()
    }

    /// A key for something else, of which nobody learns this one.
    pub(super) fn derived(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.0)
    }

    pub(super) fn mac(&self, record: &str, spec: &str) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(CONTEXT).update(&(record.len() as u64).to_le_bytes());
        hasher.update(record.as_bytes()).update(spec.as_bytes());
        hasher.finalize()
    }
}

/// Why a job is refused that whoever published it did not sign, or with another key; and what to do.
pub const NOT_SIGNED: &str = "it is not signed, and this machine has a fleet key: let the machine that dispatched it join \
    (`darkmux fleet invite` here, `darkmux fleet join` there), and dispatch it again";
const WRONG: &str = "its signature is wrong: it was dispatched with another fleet's key, or changed on the way; let the machine \
    that dispatched it join again (`darkmux fleet invite` here, `darkmux fleet join` there)";

/// What stands for the signature where the publisher has no key.
const UNSIGNED: &str = "-";

/// The spec as it stands in Redis: a line with the signature (or `-`), then the JSON.
pub fn seal(key: Option<&FleetKey>, record: &str, spec: &str) -> String {
    let signature = key.map_or(UNSIGNED.to_owned(), |key| key.mac(record, spec).to_hex().to_string());
    format!("{signature}\n{spec}")
}

/// Whether a sealed spec has a signature, good or not.
pub fn is_signed(sealed: &str) -> bool {
    sealed.split_once('\n').is_some_and(|(signature, _)| signature != UNSIGNED)
}

/// The JSON of a sealed spec, if its signature is good, or none is needed.
pub fn open<'a>(key: Option<&FleetKey>, record: &str, sealed: &'a str) -> Result<&'a str, String> {
    let (signature, spec) = sealed.split_once('\n').ok_or("it has no place for a signature")?;
    let Some(key) = key else { return Ok(spec) };
    if signature == UNSIGNED {
        return Err(NOT_SIGNED.to_owned());
    }
    let given = blake3::Hash::from_hex(signature).map_err(|_| "its signature is none")?;
    // Comparing two hashes takes the same time wherever they differ.
    if given == key.mac(record, spec) { Ok(spec) } else { Err(WRONG.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_opens() {
        let key = FleetKey([7; 32]);
        let sealed = seal(Some(&key), "record", "spec");
        assert_eq!(open(Some(&key), "record", &sealed), Ok("spec"));
        assert_eq!(open(None, "record", &sealed), Ok("spec"));
        assert!(open(Some(&key), "recore", &sealed).is_err());
        assert!(open(Some(&key), "record", &sealed.replace("spec", "spek")).is_err());
        assert!(open(Some(&FleetKey([8; 32])), "record", &sealed).is_err());
        assert!(open(Some(&key), "record", &seal(None, "record", "spec")).is_err());
        // Nothing moves from one part to the other.
        assert!(open(Some(&key), "recor", &sealed.replace("\nspec", "\ndspec")).is_err());
    }

    #[test]
    fn a_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home/fleet-key");
        let (key, made) = FleetKey::ensure(&path).unwrap();
        let (again, made_again) = FleetKey::ensure(&path).unwrap();
        assert!(made && !made_again && key.0 == again.0 && key.fingerprint().len() == 16);
        assert!(!FleetKey::keep(&path, &"0a".repeat(32)).unwrap(), "what is there stays");
        assert_eq!(FleetKey::read(&path).unwrap().unwrap().to_hex(), key.to_hex());
        FleetKey::replace(&path, &"0a".repeat(32)).unwrap();
        assert_eq!(FleetKey::read(&path).unwrap().unwrap().0, [10; 32]);
        assert!(FleetKey::replace(&path, "short").is_err());
        assert!(FleetKey::keep(&dir.path().join("other"), "short").is_err());
    }

    #[test]
    fn a_key_is_read_or_said_to_be_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet-key");
        assert!(FleetKey::read(&path).unwrap().is_none());
        std::fs::write(&path, format!("{}\n", "0a".repeat(32))).unwrap();
        assert_eq!(FleetKey::read(&path).unwrap().unwrap().0, [10; 32]);
        std::fs::write(&path, "short").unwrap();
        assert!(FleetKey::read(&path).is_err());
    }
}
