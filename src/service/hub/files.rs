//! `hub/` in the home folder.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::ServiceError;
use super::conf;
use crate::config::Paths;
use crate::store::{
    Durability, Password, RedisTarget, ensure_private_dir, read_if_there, write_atomic, write_new,
};
use crate::util::Secret;

/// Largest file of ours that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// Version of [`HubFile`].
const SCHEMA: u32 = 1;

/// Port of Redis.
const PORT: u16 = 6379;

/// What was asked for: `hub/hub.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubFile {
    schema: u32,
    /// Where it listens beside loopback.
    pub bind: IpAddr,
    /// Its port.
    pub port: u16,
}

impl Default for HubFile {
    fn default() -> Self {
        Self { schema: SCHEMA, bind: Ipv4Addr::LOCALHOST.into(), port: PORT }
    }
}

impl HubFile {
    /// The same, listening elsewhere.
    #[must_use]
    pub fn with(self, bind: Option<IpAddr>, port: Option<u16>) -> Self {
        Self { bind: bind.unwrap_or(self.bind), port: port.unwrap_or(self.port), ..self }
    }

    /// What the machines of the fleet use, without the password.
    pub fn url(&self) -> String {
        let outside = crate::serve::reach::outside(self.bind);
        format!("redis://darkmux@{}", SocketAddr::new(outside, self.port))
    }
}

/// The files of the hub.
#[derive(Debug, Clone)]
pub struct HubFiles {
    dir: PathBuf,
    log: PathBuf,
}

impl HubFiles {
    /// Those of this home; touches nothing.
    pub fn new(paths: &Paths) -> Self {
        Self { dir: paths.hub(), log: crate::service::log_file(paths, crate::service::Kind::Redis) }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The server's configuration.
    pub fn conf(&self) -> PathBuf {
        self.dir.join("redis.conf")
    }

    /// Where the server keeps its data.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The server's log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process id of a server that no service manager runs.
    pub fn pid(&self) -> PathBuf {
        self.dir.join("redis.pid")
    }

    /// The password of the fleet's user.
    pub fn password(&self) -> PathBuf {
        self.dir.join("password")
    }

    fn admin_password(&self) -> PathBuf {
        self.dir.join("admin-password")
    }

    fn asked(&self) -> PathBuf {
        self.dir.join("hub.json")
    }

    /// What was asked for; `None` where this machine is no hub.
    pub fn read(&self) -> Result<Option<HubFile>, ServiceError> {
        let path = self.asked();
        let bytes = read_if_there(&path, FILE_MAX).map_err(ServiceError::file(&path, "reading it"))?;
        let wrong = |error: serde_json::Error| ServiceError::file(&path, "reading it")(error.into());
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(wrong)).transpose()
    }

    /// What the server's configuration would be, where its passwords are there; and whether it is that already.
    pub fn is_written(&self, hub: &HubFile) -> bool {
        let hashes = [self.admin_password(), self.password()].map(|path| hash_of(&path).ok());
        let [Some(admin), Some(fleet)] = hashes else { return false };
        let have = read_if_there(&self.conf(), FILE_MAX).ok().flatten();
        self.text(hub, &admin, &fleet).is_ok_and(|text| have.as_deref() == Some(text.as_bytes()))
    }

    /// Writes what the server needs. What is there already stays, the data above all; whether the configuration is
    /// another one now.
    pub fn write(&self, hub: &HubFile) -> Result<bool, ServiceError> {
        for dir in [self.dir.clone(), self.data(), self.log.parent().unwrap_or(&self.dir).to_owned()] {
            ensure_private_dir(&dir).map_err(ServiceError::file(&dir, "making the folder"))?;
        }
        let [admin, fleet] = [self.admin_password(), self.password()].map(|path| {
            made_once(&path).map_err(ServiceError::file(&path, "making a password"))?;
            hash_of(&path)
        });
        let text = self.text(hub, &admin?, &fleet?)?;
        let same = self.is_written(hub);
        if !same {
            let path = self.conf();
            write_atomic(&path, text.as_bytes(), Durability::Synced)
                .map_err(ServiceError::file(&path, "writing it"))?;
        }
        let (path, asked) = (self.asked(), serde_json::to_vec(hub).unwrap_or_default());
        write_atomic(&path, &asked, Durability::Synced).map_err(ServiceError::file(&path, "writing it"))?;
        Ok(!same)
    }

    fn text(&self, hub: &HubFile, admin: &str, fleet: &str) -> Result<String, ServiceError> {
        let conf = conf::Conf { hub, data: &self.data(), log: &self.log, admin, fleet };
        conf.text().map_err(ServiceError::Refused)
    }

    /// The server for this machine's own commands to it.
    pub fn admin(&self, hub: &HubFile) -> Result<RedisTarget, ServiceError> {
        target(&format!("redis://default@127.0.0.1:{}", hub.port), self.admin_password())
    }

    /// The server as the machines of the fleet see it.
    pub fn fleet(&self, hub: &HubFile) -> Result<RedisTarget, ServiceError> {
        target(&hub.url(), self.password())
    }

    /// Deletes all of it: the jobs, the shared flow and the passwords.
    pub fn purge(&self) -> Result<(), ServiceError> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ServiceError::file(&self.dir, "deleting it")(error))
            }
            _ => Ok(()),
        }
    }
}

fn target(url: &str, password: PathBuf) -> Result<RedisTarget, ServiceError> {
    let target = RedisTarget::parse(url).map_err(|error| ServiceError::Refused(error.to_string()))?;
    Ok(target.with_password(Password::File(password)))
}

/// The hash under which the server knows a password.
fn hash_of(path: &Path) -> Result<String, ServiceError> {
    let bytes = read_if_there(path, FILE_MAX).map_err(ServiceError::file(path, "reading it"))?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    match text.lines().next().map(str::trim_end).filter(|line| !line.is_empty()) {
        Some(password) => Ok(hex(ring::digest::digest(&ring::digest::SHA256, password.as_bytes()).as_ref())),
        None => Err(ServiceError::Refused(format!(
            "{}: there is no password in it; remove it, then `darkmux hub up` makes another",
            path.display()
        ))),
    }
}

/// A password of 256 random bits, where there is none.
fn made_once(path: &Path) -> std::io::Result<bool> {
    write_new(path, format!("{}\n", Secret::generate()?.expose()).as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_is_made_is_made_once_and_holds_no_password_but_in_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_env(&Environment::of([("DARKMUX_HOME", dir.path())])).unwrap();
        let files = HubFiles::new(&paths);
        assert_eq!(files.read().unwrap(), None);
        let hub = HubFile::default();
        assert!(files.write(&hub).unwrap() && !files.write(&hub).unwrap());
        assert_eq!(files.read().unwrap(), Some(hub.clone()));
        let passwords = [files.password(), files.admin_password()].map(|path| {
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            std::fs::read_to_string(path).unwrap()
        });
        let conf = std::fs::read_to_string(files.conf()).unwrap();
        for password in &passwords {
            assert_eq!(password.trim().len(), 64);
            assert!(!conf.contains(password.trim()));
        }
        assert_eq!(std::fs::metadata(files.conf()).unwrap().mode() & 0o777, 0o600);
        let moved = hub.with(Some("100.64.0.9".parse().unwrap()), Some(6400));
        assert!(!files.is_written(&moved) && files.write(&moved).unwrap());
        assert_eq!(moved.url(), "redis://darkmux@100.64.0.9:6400");
        assert_eq!(std::fs::read_to_string(files.password()).unwrap(), passwords[0]);
        std::fs::write(files.password(), "\n").unwrap();
        assert!(files.write(&moved).unwrap_err().to_string().contains("makes another"));
        files.purge().unwrap();
        files.purge().unwrap();
    }
}
