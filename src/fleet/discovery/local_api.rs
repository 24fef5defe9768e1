//! Tailscale's LocalAPI: what the daemon of Tailscale on this machine knows.
//!
//! It is found where Tailscale's own command line finds it: a unix socket (Linux, the open-source daemon on macOS); a
//! port of loopback with a password in a file that only this user can read (Tailscale's apps for macOS); else
//! `tailscale` itself is asked. Nothing is kept here, so an app that restarts with another port is found again.
//!
//! Not here: what follows from the answers (`tailnet`, `doorman`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::local_http::{LocalError, LocalHttp, away, json};
use super::tailnet::{Status, WhoIs};
use crate::config::Environment;
use crate::store::{read_bounded, read_if_there};
use crate::util::Secret;

/// `Host` of every question; others are refused by Tailscale.
const HOST: &str = "local-tailscaled.sock";

/// Where the daemon's socket is: on Linux, and of the open-source daemon on macOS.
const SOCKETS: [&str; 3] =
    ["/var/run/tailscale/tailscaled.sock", "/run/tailscale/tailscaled.sock", "/var/run/tailscaled.socket"];

/// Where Tailscale's standalone app for macOS tells its port.
const STANDALONE: &str = "/Library/Tailscale";

/// Where the command line is on macOS when `PATH` does not name it.
const APP: &str = "/Applications/Tailscale.app/Contents/MacOS/Tailscale";

/// What the files that tell a port and a password begin with.
const PROOF: &str = "sameuserproof-";

/// How long `tailscale` may take.
const COMMAND_TIME: Duration = Duration::from_secs(5);

/// Messages of the bus: the network map at the beginning and whenever it changes, without private keys, not too often.
const BUS: &str = "/localapi/v0/watch-ipn-bus?mask=280";

/// Where Tailscale may be found.
#[derive(Debug, Clone)]
pub struct Places {
    /// Unix sockets, in the order in which they are tried.
    pub sockets: Vec<PathBuf>,
    /// The folder of the standalone app.
    pub standalone: Option<PathBuf>,
    /// The folder that holds the App Store app's folder.
    pub containers: Option<PathBuf>,
    /// Tailscale's command line.
    pub commands: Vec<PathBuf>,
}

impl Places {
    /// The documented places.
    pub fn of(env: &Environment) -> Self {
        let on_mac = cfg!(target_os = "macos");
        let app = on_mac.then(|| PathBuf::from(APP));
        Self {
            sockets: SOCKETS.iter().map(PathBuf::from).collect(),
            standalone: on_mac.then(|| PathBuf::from(STANDALONE)),
            containers: env.home().filter(|_| on_mac).map(|home| home.join("Library/Group Containers")),
            commands: env.path_dirs().into_iter().map(|dir| dir.join("tailscale")).chain(app).collect(),
        }
    }

    /// This socket and nothing else.
    pub fn socket(socket: PathBuf) -> Self {
        Self { sockets: vec![socket], standalone: None, containers: None, commands: Vec::new() }
    }

    /// The way to ask that is there now.
    pub fn find(&self) -> Result<LocalApi, LocalError> {
        if let Some(socket) = self.sockets.iter().find(|socket| socket.exists()) {
            return LocalHttp::over_socket(socket, HOST).map(LocalApi::Http);
        }
        let proof = self.standalone.as_deref().and_then(standalone);
        if let Some((port, password)) = proof.or_else(|| self.containers.as_deref().and_then(app_store)) {
            return LocalHttp::over_port(port, HOST, password).map(LocalApi::Http);
        }
        match self.commands.iter().find(|command| command.is_file()) {
            Some(command) => Ok(LocalApi::Command(command.clone())),
            None => Err(LocalError::Away("Tailscale does not run here".to_owned())),
        }
    }
}

/// `ipnport` leads to the port, and `sameuserproof-<port>` holds the password.
fn standalone(dir: &Path) -> Option<(u16, Secret)> {
    let port = std::fs::read_link(dir.join("ipnport")).ok()?;
    let port: u16 = port.to_str()?.parse().ok()?;
    let password = read_bounded(&dir.join(format!("{PROOF}{port}")), 1024).ok()?;
    let password = std::str::from_utf8(&password).ok()?.trim();
    (!password.is_empty()).then(|| (port, Secret::new(password)))
}

/// `sameuserproof-<port>-<password>` is the name of an empty file.
fn app_store(containers: &Path) -> Option<(u16, Secret)> {
    let folders = std::fs::read_dir(containers).ok()?.flatten();
    let ours =
        folders.filter(|folder| folder.file_name().to_string_lossy().contains("io.tailscale.ipn.macos"));
    let mut files = ours.filter_map(|folder| std::fs::read_dir(folder.path()).ok()).flatten().flatten();
    files.find_map(|file| {
        let name = file.file_name();
        let (port, password) = name.to_str()?.strip_prefix(PROOF)?.split_once('-')?;
        Some((port.parse().ok()?, Secret::new(password)))
    })
}

/// A way to ask.
#[derive(Debug, Clone)]
pub enum LocalApi {
    /// The daemon.
    Http(LocalHttp),
    /// Its command line.
    Command(PathBuf),
}

impl LocalApi {
    /// This device, and, with `peers`, the others.
    pub async fn status(&self, peers: bool) -> Result<Status, LocalError> {
        match self {
            Self::Http(http) => http.get(&format!("/localapi/v0/status?peers={peers}")).await,
            Self::Command(command) => {
                let peers = format!("--peers={peers}");
                json(&run(command, &["status", "--json", &peers]).await?)
            }
        }
    }

    /// Whose device has this address; `None` when none of the tailnet has.
    pub async fn whois(&self, address: SocketAddr) -> Result<Option<WhoIs>, LocalError> {
        match self {
            Self::Http(http) => match http.get(&format!("/localapi/v0/whois?addr={address}")).await {
                Ok(who) => Ok(Some(who)),
                Err(LocalError::Status(404, _)) => Ok(None),
                Err(error) => Err(error),
            },
            Self::Command(command) => {
                json(&run(command, &["whois", "--json", &address.to_string()]).await?).map(Some)
            }
        }
    }

    /// The bus that tells changes; `None` where there is none, and one has to look from time to time.
    pub async fn bus(&self) -> Result<Option<Bus>, LocalError> {
        match self {
            Self::Http(http) => Ok(Some(Bus(http.stream(BUS).await?))),
            Self::Command(_) => Ok(None),
        }
    }
}

/// The messages of the bus. What they hold is thrown away: what counts is read from the status, whose shape is kept
/// from version to version.
#[derive(Debug)]
pub struct Bus(reqwest::Response);

impl Bus {
    /// Resolves when something came; an error is the bus's end. Nothing is lost when it is dropped.
    pub async fn changed(&mut self) -> Result<(), LocalError> {
        match self.0.chunk().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(LocalError::Away("Tailscale closed its bus".to_owned())),
            Err(error) => Err(away(&error)),
        }
    }
}

async fn run(command: &Path, args: &[&str]) -> Result<Vec<u8>, LocalError> {
    const OUTPUT_MAX: u64 = 16 * 1024 * 1024;
    let failed = |error: std::io::Error| LocalError::Away(format!("{}: {error}", command.display()));
    // Into a file: it can be read with a bound, and never fills up.
    let output = tempfile::NamedTempFile::new().map_err(failed)?;
    let mut child = Command::new(command)
        .args(args)
        .stdin(Stdio::null())
        .stdout(output.reopen().map_err(failed)?)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let status = timeout(COMMAND_TIME, child.wait()).await.map_err(|_| LocalError::Late)?.map_err(failed)?;
    if !status.success() {
        let what = args.first().copied().unwrap_or_default();
        return Err(LocalError::Away(format!("`tailscale {what}` ended with {status}")));
    }
    Ok(read_if_there(output.path(), OUTPUT_MAX).map_err(failed)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn nowhere() -> Places {
        Places { sockets: Vec::new(), standalone: None, containers: None, commands: Vec::new() }
    }

    #[test]
    fn both_apps_for_macos_tell_their_port() {
        let dir = tempfile::tempdir().unwrap();
        assert!(standalone(dir.path()).is_none() && app_store(dir.path()).is_none());
        std::os::unix::fs::symlink("61577", dir.path().join("ipnport")).unwrap();
        std::fs::write(dir.path().join("sameuserproof-61577"), "2ae2\n").unwrap();
        let (port, password) = standalone(dir.path()).unwrap();
        assert_eq!((port, password.expose()), (61577, "2ae2"));
        let group = dir.path().join("W5364U7YZB.group.io.tailscale.ipn.macos");
        std::fs::create_dir(&group).unwrap();
        std::fs::write(group.join("sameuserproof-61578-2ae2-9e"), "").unwrap();
        let (port, password) = app_store(dir.path()).unwrap();
        assert_eq!((port, password.expose()), (61578, "2ae2-9e"));
        let found = Places { containers: Some(dir.path().to_owned()), ..nowhere() }.find();
        assert!(matches!(found, Ok(LocalApi::Http(_))));
    }

    #[tokio::test]
    async fn without_a_socket_the_command_line_is_asked_and_its_failure_said() {
        assert!(nowhere().find().unwrap_err().to_string().contains("does not run"));
        let dir = tempfile::tempdir().unwrap();
        let command = dir.path().join("tailscale");
        let script = "#!/bin/sh\n[ \"$1 $2\" = 'status --json' ] || exit 3\n\
            echo '{\"BackendState\":\"Running\",\"Self\":{\"ID\":\"n1\",\"DNSName\":\"box.tail.ts.net.\"}}'\n";
        std::fs::write(&command, script).unwrap();
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
        let api = Places { commands: vec![command], ..nowhere() }.find().unwrap();
        let tailnet = api.status(true).await.unwrap().read();
        assert!(tailnet.is_running && tailnet.own.id == "n1", "{tailnet:?}");
        let said = api.whois("100.64.0.1:1".parse().unwrap()).await.unwrap_err().to_string();
        assert!(said.contains("whois"), "{said}");
        assert!(api.bus().await.unwrap().is_none());
    }
}
