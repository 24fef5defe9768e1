//! A container engine (Docker, or Podman in its shape), asked over its unix socket.
//!
//! Only what finding development containers takes: which run, what they are, their events, and reading one file
//! inside. A socket of TCP is refused: it would be another machine's, or everybody's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::local_http::{LocalError, LocalHttp, away, json as parse};
use crate::config::Environment;

/// Most containers that are looked at.
const CONTAINERS_MAX: usize = 512;

/// Largest output of a command inside that is read, in bytes.
const OUTPUT_MAX: usize = 64 * 1024;

/// Starts and ends of containers, as the engine's filter wants it.
const EVENTS: &str =
    "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22die%22%5D%7D";

/// Where an engine may be found.
#[derive(Debug, Clone)]
pub struct EnginePlaces(Result<Vec<PathBuf>, String>);

impl EnginePlaces {
    /// `DOCKER_HOST`, else the usual places.
    pub fn of(env: &Environment) -> Self {
        if let Some(host) = env.get("DOCKER_HOST") {
            return Self(match host.strip_prefix("unix://") {
                Some(path) => Ok(vec![PathBuf::from(path)]),
                None => Err("DOCKER_HOST is no unix:// socket: containers of other machines are none of \
                    this one; join them as machines"
                    .to_owned()),
            });
        }
        let home = env.home().into_iter();
        let of_home = [".docker/run/docker.sock", ".orbstack/run/docker.sock", ".colima/default/docker.sock"];
        let of_home = home.flat_map(|home| of_home.map(|path| home.join(path)));
        let runtime = env.get("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("docker.sock"));
        Self(Ok(["/var/run/docker.sock".into()].into_iter().chain(runtime).chain(of_home).collect()))
    }

    /// The engine that is there now, or why there is none.
    pub fn find(&self) -> Result<Engine, LocalError> {
        let sockets = self.0.as_ref().map_err(|why| LocalError::Away(why.clone()))?;
        let socket = sockets.iter().find(|socket| socket.exists());
        let socket = socket.ok_or_else(|| LocalError::Away("no container engine runs here".to_owned()))?;
        LocalHttp::over_socket(socket, "docker").map(Engine)
    }
}

/// The engine.
#[derive(Debug, Clone)]
pub struct Engine(LocalHttp);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
}

/// A container, as far as it counts here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name, with a `/` before it.
    pub name: String,
    /// Whether it runs, and since when.
    pub state: State,
    /// How it was made.
    pub config: Made,
    /// Where it is in the network.
    pub network_settings: NetworkSettings,
}

/// Whether a container runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct State {
    /// Whether it runs.
    pub running: bool,
    /// Since when; another time is another run.
    pub started_at: String,
}

/// How a container was made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Made {
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
}

/// Where a container is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkSettings {
    /// Its networks by name.
    pub networks: Option<BTreeMap<String, Network>>,
}

/// A container's place in one network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Its address there; empty while it has none.
    #[serde(rename = "IPAddress")]
    pub ip: String,
}

impl Engine {
    /// The ids of the containers that run.
    pub async fn running(&self) -> Result<Vec<String>, LocalError> {
        let listed: Vec<Listed> = self.0.get("/containers/json").await?;
        let is_id =
            |id: &String| !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        Ok(listed.into_iter().map(|listed| listed.id).filter(is_id).take(CONTAINERS_MAX).collect())
    }

    /// One container; `None` when it is gone.
    pub async fn inspect(&self, id: &str) -> Result<Option<Container>, LocalError> {
        match self.0.get(&format!("/containers/{id}/json")).await {
            Ok(container) => Ok(Some(container)),
            Err(LocalError::Status(404, _)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Starts and ends from now on.
    pub async fn events(&self) -> Result<Events, LocalError> {
        Ok(Events { answer: self.0.stream(EVENTS).await?, happened: false })
    }

    /// What a shell command inside prints; it must end well.
    pub async fn output(&self, id: &str, command: &str) -> Result<Vec<u8>, LocalError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Ended {
            exit_code: Option<i64>,
        }
        let made = json!({ "AttachStdout": true, "AttachStderr": false, "Cmd": ["sh", "-c", command] });
        let exec: Listed = parse(&self.0.post(&format!("/containers/{id}/exec"), &made).await?)?;
        let started = json!({ "Detach": false, "Tty": false });
        let raw = self.0.post(&format!("/exec/{}/start", exec.id), &started).await?;
        let output = stdout(&raw)?;
        let ended: Ended = self.0.get(&format!("/exec/{}/json", exec.id)).await?;
        match ended.exit_code {
            Some(0) => Ok(output),
            code => Err(LocalError::Away(format!("reading it inside ended with {}", code.unwrap_or(-1)))),
        }
    }
}

/// Takes standard output out of the engine's frames: stream, three zeros, a length of four bytes, and so many bytes.
fn stdout(mut raw: &[u8]) -> Result<Vec<u8>, LocalError> {
    let cut = || LocalError::Shape("the output is cut".to_owned());
    let mut output = Vec::new();
    while !raw.is_empty() {
        let (head, rest) = raw.split_first_chunk::<8>().ok_or_else(cut)?;
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (part, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        if head[0] == 1 {
            output.extend_from_slice(part);
        }
        if output.len() > OUTPUT_MAX {
            return Err(LocalError::Shape(format!("the output is larger than {OUTPUT_MAX} bytes")));
        }
        raw = rest;
    }
    Ok(output)
}

/// The engine's events. What they say is not read: they are the sign to look.
#[derive(Debug)]
pub struct Events {
    answer: reqwest::Response,
    /// Something happened, and nobody was told yet.
    happened: bool,
}

impl Events {
    /// Resolves when something happened, and what follows at once; an error is the end of the events. Nothing is lost
    /// when it is dropped before.
    pub async fn next(&mut self, together: Duration) -> Result<(), LocalError> {
        if !self.happened {
            self.one().await?;
            self.happened = true;
        }
        let end = tokio::time::Instant::now() + together;
        while let Ok(more) =
            timeout(end.saturating_duration_since(tokio::time::Instant::now()), self.one()).await
        {
            more?;
        }
        self.happened = false;
        Ok(())
    }

    async fn one(&mut self) -> Result<(), LocalError> {
        match self.answer.chunk().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(LocalError::Away("the container engine closed its events".to_owned())),
            Err(error) => Err(away(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_s_engine_is_none_of_ours() {
        let places = |vars: &[(&str, &str)]| EnginePlaces::of(&Environment::of(vars.iter().copied())).0;
        assert_eq!(places(&[("DOCKER_HOST", "unix:///x/y.sock")]), Ok(vec![PathBuf::from("/x/y.sock")]));
        for other in ["tcp://10.0.0.1:2375", "ssh://box", "npipe://x"] {
            let refused = EnginePlaces::of(&Environment::of([("DOCKER_HOST", other)])).find().unwrap_err();
            assert!(refused.to_string().contains("unix://"), "{other}: {refused}");
        }
        let usual = places(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]).unwrap();
        assert_eq!(usual[..2], [PathBuf::from("/var/run/docker.sock"), PathBuf::from("/r/docker.sock")]);
        assert!(usual.contains(&PathBuf::from("/h/.docker/run/docker.sock")));
    }

    #[test]
    fn frames_are_joined_and_damage_is_an_error() {
        let frame = |stream: u8, text: &str| {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            [&[stream, 0, 0, 0][..], &length, text.as_bytes()].concat()
        };
        let raw = [frame(1, "ab"), frame(2, "noise"), frame(1, "c")].concat();
        assert_eq!(stdout(&raw).unwrap(), b"abc");
        assert_eq!(stdout(b"").unwrap(), b"");
        assert!(stdout(&raw[..raw.len() - 1]).is_err() && stdout(b"abc").is_err());
        assert!(stdout(&frame(1, &"x".repeat(OUTPUT_MAX + 1))).is_err());
    }
}
