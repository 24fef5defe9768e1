//! What was found in the tailnet, kept in a file (0600), so that it is back at once after a start.
//!
//! It is a hint: what is in it is asked again, and a file that is damaged is as good as none.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::model::is_peer_name;
use crate::store::{Durability, read_if_there, write_atomic};

/// Largest file, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// The version of its shape.
const VERSION: u32 = 1;

/// A device that was one, when it was asked last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its name in the tailnet.
    pub host: String,
    /// Its name here.
    pub name: String,
    /// Where it answered.
    pub url: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it lets this machine in without a token.
    pub lets_in: bool,
    /// Who it is, where it says so.
    pub node_id: Option<String>,
    /// Whether it has tags; who did not say it may have.
    #[serde(default = "unknown")]
    pub tagged: bool,
}

fn unknown() -> bool {
    true
}

/// The devices by their ids.
pub type Devices = BTreeMap<String, Kept>;

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    devices: Devices,
}

/// The file.
#[derive(Debug, Clone)]
pub struct Cache(PathBuf);

impl Cache {
    /// The cache at this path.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// What was kept; nothing where there is no such file or it is not understood.
    pub fn read(&self) -> Devices {
        let read = read_if_there(&self.0, FILE_MAX).and_then(|bytes| {
            let Some(bytes) = bytes else { return Ok(Devices::new()) };
            let content: Content = serde_json::from_slice(&bytes)?;
            Ok(if content.version == VERSION { content.devices } else { Devices::new() })
        });
        let mut devices = read.unwrap_or_else(|error| {
            tracing::warn!(%error, path = %self.0.display(), "what was found before can't be read; looking anew");
            Devices::new()
        });
        let is_url = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        devices.retain(|_, kept| is_peer_name(&kept.name) && is_url(&kept.url));
        devices
    }

    /// Keeps them instead.
    pub fn write(&self, devices: Devices) -> io::Result<()> {
        let bytes = serde_json::to_vec(&Content { version: VERSION, devices })?;
        write_atomic(&self.0, &bytes, Durability::Ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn it_is_for_its_owner_alone_and_damage_is_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("discovery.json"));
        assert!(cache.read().is_empty());
        let kept = Kept {
            host: "studio.tail.ts.net".to_owned(),
            name: "studio".to_owned(),
            url: "http://100.64.0.2:8765".to_owned(),
            kind: Kind::Darkmux,
            lets_in: true,
            node_id: None,
            tagged: false,
        };
        let evil = Kept { name: "a@b".to_owned(), ..kept.clone() };
        let both = [("n1".to_owned(), kept.clone()), ("n2".to_owned(), evil)];
        cache.write(both.into_iter().collect()).unwrap();
        assert_eq!(std::fs::metadata(&cache.0).unwrap().mode() & 0o777, 0o600);
        assert_eq!(cache.read(), [("n1".to_owned(), kept)].into_iter().collect());
        for damaged in ["", "{", "[]", r#"{"version":2,"devices":{}}"#, r#"{"version":1,"devices":{"n":7}}"#]
        {
            std::fs::write(&cache.0, damaged).unwrap();
            assert!(cache.read().is_empty(), "{damaged}");
        }
    }
}
