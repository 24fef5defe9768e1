//! A typed client of a daemon's HTTP API.
//!
//! Invariants: a question takes at most two seconds; an answer is read up to 16 MiB; every
//! failure is said in words that name what to do.
//!
//! Not here: the flow's streams, which have a client of their own.

mod join;
mod v1;

use std::io;
use std::time::Duration;

pub use join::{JoinError, Visit, leave};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::de::DeserializeOwned;

use crate::config::Paths;
use crate::flow::ship::ShipStatus;
use crate::store::{FileLock, SocketKey, read_if_there};
use crate::util::{BodyError, read_body};
use crate::wire::v1::PeerStatus;
use crate::wire::{DaemonInfo, Health, InviteAsk, Invited, MachineSpecs, Said, SessionList};

pub use v1::{Output, Sent};

/// How long connecting may take.
const CONNECT_TIME: Duration = Duration::from_millis(500);

/// How long a question may take altogether.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Largest `daemon.json`, in bytes.
const INFO_MAX: u64 = 64 * 1024;

/// Why the daemon did not say what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// None runs.
    #[error("no daemon runs on this machine; start one with `darkmux serve`")]
    NoDaemon,
    /// One runs and has not said where, or not any more.
    #[error("the daemon of this machine is starting or stopping; try again in a moment")]
    Between,
    /// What it said of itself is nonsense.
    #[error("{path}: {reason}; restart the daemon")]
    NoAddress {
        /// `daemon.json`.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// It can't be reached.
    #[error("the daemon (pid {pid}) does not answer at {url}: {reason}; if it hangs, restart it")]
    Unreachable {
        /// Its process.
        pid: u32,
        /// Where.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// It answered with a failure.
    #[error("the daemon refused {path} ({status}): {message}")]
    Refused {
        /// What was asked.
        path: String,
        /// The status.
        status: u16,
        /// The word for it; empty where it gave none.
        code: String,
        /// What it said.
        message: String,
    },
    /// It answered something else.
    #[error("the daemon's answer to {path} is not understood: {reason}; is it of another version?")]
    Shape {
        /// What was asked.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer ended before it was whole.
    #[error("the answer to {path} broke off: {reason}")]
    Cut {
        /// What was asked.
        path: String,
        /// Why.
        reason: String,
    },
    /// The client could not be made.
    #[error("the HTTP client could not be made: {0}")]
    Setup(String),
}

/// A client of the daemon of one home.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    info: DaemonInfo,
    /// What paths are put behind.
    base: String,
    /// Where it is reached, for people.
    place: String,
}

/// What the running daemon of this home says of itself; `None` when none runs.
pub fn find(paths: &Paths) -> Result<Option<DaemonInfo>, ClientError> {
    let path = paths.daemon_file();
    let wrong = |reason: String| ClientError::NoAddress { path: path.display().to_string(), reason };
    let io = |error: io::Error| wrong(error.to_string());
    // A file that a killed daemon left says nothing.
    if !FileLock::is_held(&paths.daemon_lock()).map_err(io)? {
        return Ok(None);
    }
    let text = read_if_there(&path, INFO_MAX).map_err(io)?;
    let text = text.ok_or(ClientError::Between)?;
    serde_json::from_slice(&text).map(Some).map_err(|error| wrong(error.to_string()))
}

impl Client {
    /// A client of the daemon that runs for this home.
    pub fn connect(paths: &Paths) -> Result<Self, ClientError> {
        Self::new(find(paths)?.ok_or(ClientError::NoDaemon)?)
    }

    /// A client of the daemon that runs for this home, over its unix socket: it may do everything, without a token, where it
    /// may read the key of this user's sockets.
    pub fn local(paths: &Paths) -> Result<Self, ClientError> {
        let info = find(paths)?.ok_or(ClientError::NoDaemon)?;
        let socket = paths.daemon_socket();
        let mut http = Self::builder(false).unix_socket(socket.as_path());
        // Who may not have it, in a sandbox, is told so by the daemon.
        let bearer = SocketKey::new(paths.socket_key()).bearer();
        if let Some(Ok(mut bearer)) = bearer.map(|bearer| HeaderValue::from_str(bearer.expose())) {
            bearer.set_sensitive(true);
            http = http.default_headers([(AUTHORIZATION, bearer)].into_iter().collect());
        }
        let http = http.build().map_err(|error| ClientError::Setup(error.to_string()))?;
        Ok(Self { http, info, base: "http://localhost".to_owned(), place: socket.display().to_string() })
    }

    /// A client of the daemon that said this of itself. It may look, where looking is open.
    pub fn new(info: DaemonInfo) -> Result<Self, ClientError> {
        let http = Self::builder(false).build().map_err(|error| ClientError::Setup(error.to_string()))?;
        let base = format!("http://{}", info.near());
        Ok(Self { http, info, place: base.clone(), base })
    }

    /// With `tls` the system's certificates are read.
    fn builder(tls: bool) -> reqwest::ClientBuilder {
        // Needed before the first client of a process, and without effect after that.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder();
        let builder = if tls { builder } else { builder.tls_certs_only([]) };
        builder
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .timeout(ANSWER_TIME)
    }

    /// What the daemon said of itself.
    pub fn info(&self) -> &DaemonInfo {
        &self.info
    }

    /// Whether it answers, and which version it is.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get("/health").await
    }

    /// The sessions of its machine.
    pub async fn sessions(&self) -> Result<SessionList, ClientError> {
        self.get("/sessions").await
    }

    /// The peers of its machine, and how the links to them are. Only over the unix socket.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, ClientError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            data: Part,
        }
        #[derive(serde::Deserialize)]
        struct Part {
            #[serde(default)]
            peers: Vec<PeerStatus>,
        }
        Ok(self.get::<Answer>("/v1/health").await?.data.peers)
    }

    /// Facts about its machine.
    pub async fn specs(&self) -> Result<MachineSpecs, ClientError> {
        self.get("/machine/specs").await
    }

    /// How its shipper is doing; `None` where its machine works alone.
    pub async fn shipper(&self) -> Result<Option<ShipStatus>, ClientError> {
        #[derive(serde::Deserialize)]
        struct Part {
            shipper: Option<ShipStatus>,
        }
        Ok(self.get::<Part>("/flow-status").await?.shipper)
    }

    /// Makes a one-time code that signs a browser in. Only over the unix socket.
    pub async fn sign_in_code(&self, read_only: bool) -> Result<String, ClientError> {
        #[derive(serde::Deserialize)]
        struct Made {
            code: String,
        }
        let body = serde_json::json!({ "read_only": read_only });
        Ok(self.post::<Made>("/auth/codes", &body).await?.code)
    }

    /// Makes an invitation into the fleet.
    pub async fn invite(&self, ask: &InviteAsk) -> Result<Invited, ClientError> {
        let body = serde_json::to_value(ask).map_err(|error| ClientError::Setup(error.to_string()))?;
        self.post("/fleet/invites", &body).await
    }

    /// Reads what stands at a path.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(self.http.get(format!("{}{path}", self.base)), path).await
    }

    /// Sends JSON to a path and reads what is answered.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, ClientError> {
        self.ask(self.http.post(format!("{}{path}", self.base)).json(body), path).await
    }

    fn unreachable(&self, reason: String) -> ClientError {
        ClientError::Unreachable { pid: self.info.pid, url: self.place.clone(), reason }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        path: &str,
    ) -> Result<T, ClientError> {
        let unreachable = |error: reqwest::Error| self.unreachable(cause(&error));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = read_body(response, ANSWER_MAX).await.map_err(|error| match error {
            BodyError::Broken(error) => unreachable(error),
            too_large @ BodyError::TooLarge(_) => {
                ClientError::Shape { path: path.to_owned(), reason: too_large.to_string() }
            }
        })?;
        if status != StatusCode::OK {
            return Err(refused(path, status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::Shape { path: path.to_owned(), reason: error.to_string() })
    }
}

/// Why there is no answer.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    crate::util::root_cause(error)
}

fn refused(path: &str, status: StatusCode, body: &[u8]) -> ClientError {
    let Said { code, message } = Said::read(body);
    ClientError::Refused { path: path.to_owned(), status: status.as_u16(), code, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn info(port: u16) -> DaemonInfo {
        let bind = std::net::Ipv4Addr::LOCALHOST.into();
        DaemonInfo { pid: 7, port, bind, version: String::new(), started_at: String::new() }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let said = Client::new(info(free)).unwrap().health().await.unwrap_err().to_string();
        assert!(said.contains("pid 7") && said.contains("restart it"), "{said}");
    }

    #[test]
    fn a_file_without_a_daemon_is_no_daemon() {
        let home = tempfile::tempdir().unwrap();
        let env = Environment::of([("DARKMUX_HOME", home.path())]);
        let paths = Paths::from_env(&env).unwrap();
        std::fs::write(paths.daemon_file(), serde_json::to_vec(&info(1)).unwrap()).unwrap();
        assert!(find(&paths).unwrap().is_none());
        let _lock = FileLock::try_take(&paths.daemon_lock()).unwrap().unwrap();
        std::fs::remove_file(paths.daemon_file()).unwrap();
        assert!(matches!(find(&paths), Err(ClientError::Between)));
        std::fs::write(paths.daemon_file(), serde_json::to_vec(&info(1)).unwrap()).unwrap();
        assert_eq!(find(&paths).unwrap(), Some(info(1)));
        std::fs::write(paths.daemon_file(), "{").unwrap();
        assert!(find(&paths).unwrap_err().to_string().contains("restart the daemon"));
    }
}
