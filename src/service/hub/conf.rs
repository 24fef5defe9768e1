//! The configuration of the hub's Redis.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::HubFile;

/// What the user `darkmux` may do: what darkmux needs, below its own keys. docs/OPERATIONS.md explains it.
pub const RIGHTS: &str = "resetkeys ~darkmux:* resetchannels &darkmux:* -@all +@read +@write +@stream +@hash +@string \
                          +@sortedset +@set +@pubsub +@scripting +@connection +@keyspace -@dangerous -@admin -function \
                          -script|flush -script|kill +time +info";

/// Least and most memory that it may take.
const MEMORY: (u64, u64) = (256 * 1024 * 1024, 4 * 1024 * 1024 * 1024);

/// What the configuration is made from.
pub(super) struct Conf<'a> {
    pub hub: &'a HubFile,
    pub data: &'a Path,
    pub log: &'a Path,
    /// Hash of the password of the user `default`.
    pub admin: &'a str,
    /// Hash of the password of the user `darkmux`.
    pub fleet: &'a str,
}

impl Conf<'_> {
    /// The text. An error says what can't be written into it.
    pub(super) fn text(&self) -> Result<String, String> {
        let HubFile { bind, port, .. } = self.hub;
        Ok(format!(
            "# Written by `darkmux hub up`, and written anew by it.\n\
             bind {}\nport {port}\nprotected-mode yes\ntcp-keepalive 60\ndaemonize no\n\
             dir {}\nlogfile {}\n\
             # What was accepted is on the disk within a second.\n\
             appendonly yes\nappendfsync everysec\nsave \"\"\n\
             # When memory is full new jobs are refused, and none is thrown away.\n\
             maxmemory {}\nmaxmemory-policy noeviction\n\
             # Hashes of passwords: `default` is for this machine, `darkmux` for the fleet.\n\
             user default on #{} ~* &* +@all\n\
             user darkmux on #{} {RIGHTS}\n",
            listens(*bind),
            quoted(self.data)?,
            quoted(self.log)?,
            memory(machine_memory()),
            self.admin,
            self.fleet,
        ))
    }
}

/// The machine's memory; nothing where the system does not tell.
fn machine_memory() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(memory).map_or(0, |system| system.total_memory())
}

/// Loopback always: this machine's own commands come there.
fn listens(bind: IpAddr) -> String {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    if bind == loopback || bind == IpAddr::from(Ipv4Addr::UNSPECIFIED) {
        bind.to_string()
    } else {
        format!("{loopback} {bind}")
    }
}

/// A quarter of the machine's memory, within bounds; whole MiB, so that it is the same at the next look.
fn memory(total: u64) -> u64 {
    (total / 4).clamp(MEMORY.0, MEMORY.1) / (1024 * 1024) * (1024 * 1024)
}

/// A path as a word of Redis' configuration.
fn quoted(path: &Path) -> Result<String, String> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| {
        format!("{} holds control characters or is not UTF-8; use another DARKMUX_HOME", path.display())
    })?;
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_on_loopback_always() {
        for (bind, listens) in [
            ("127.0.0.1", "127.0.0.1"),
            ("100.64.0.9", "127.0.0.1 100.64.0.9"),
            ("::1", "127.0.0.1 ::1"),
            ("0.0.0.0", "0.0.0.0"),
        ] {
            assert_eq!(super::listens(bind.parse().unwrap()), listens);
        }
    }

    #[test]
    fn memory_is_bounded_on_small_and_large_machines() {
        let gib = 1024 * 1024 * 1024;
        assert_eq!((memory(0), memory(gib * 512)), (MEMORY.0, MEMORY.1));
        assert_eq!(memory(gib * 8 + 12_345), gib * 2);
    }

    #[test]
    fn paths_are_words_or_refused() {
        assert_eq!(quoted(Path::new("/a b/\"\\")).unwrap(), "\"/a b/\\\"\\\\\"");
        assert!(quoted(Path::new("/a\nport 1")).is_err());
    }
}
