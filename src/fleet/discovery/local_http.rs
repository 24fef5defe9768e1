//! HTTP to a program on this machine, over its unix socket or a port of loopback.
//!
//! Invariants: no proxy, no redirect; an answer is read up to a bound and within a time; what it says in an error is
//! shown through the sanitiser.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::util::{BodyError, Secret, read_body, visible_line};

/// How long connecting, and how long a whole answer may take.
const CONNECT_TIME: Duration = Duration::from_secs(2);
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Largest answer that is read, in bytes: the state of a tailnet of some thousand devices.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Longest reason that is kept of a refusal, in characters.
const REASON_MAX: usize = 200;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// Nobody is there, or it went away.
    #[error("{0}")]
    Away(String),
    /// It took too long.
    #[error("no answer within {} s", ANSWER_TIME.as_secs())]
    Late,
    /// It refused.
    #[error("it answers {0}: {1}")]
    Status(u16, String),
    /// It said something else than was expected.
    #[error("its answer is not understood: {0}")]
    Shape(String),
}

/// A client of one program on this machine.
#[derive(Debug, Clone)]
pub struct LocalHttp {
    client: Client,
    base: String,
    /// `Host` and the password, where the program wants them.
    host: Option<&'static str>,
    password: Option<Secret>,
}

impl LocalHttp {
    /// Over a unix socket; `host` is what `Host` says.
    pub fn over_socket(socket: &Path, host: &str) -> Result<Self, LocalError> {
        let client = build(builder().unix_socket(socket))?;
        Ok(Self { client, base: format!("http://{host}"), host: None, password: None })
    }

    /// Over a port of loopback, with a password that goes nowhere else.
    pub fn over_port(port: u16, host: &'static str, password: Secret) -> Result<Self, LocalError> {
        let base = format!("http://127.0.0.1:{port}");
        Ok(Self { client: build(builder())?, base, host: Some(host), password: Some(password) })
    }

    /// Reads JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, LocalError> {
        json(&self.bytes(Method::GET, path, None).await?)
    }

    /// Sends JSON and gives the answer as it is.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Vec<u8>, LocalError> {
        self.bytes(Method::POST, path, Some(body)).await
    }

    /// An answer without an end; its head has come.
    pub async fn stream(&self, path: &str) -> Result<Response, LocalError> {
        timeout(ANSWER_TIME, self.send(Method::GET, path, None)).await.unwrap_or(Err(LocalError::Late))
    }

    async fn bytes(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>, LocalError> {
        let answer = async {
            let response = self.send(method, path, body).await?;
            read(response, ANSWER_MAX).await
        };
        timeout(ANSWER_TIME, answer).await.unwrap_or(Err(LocalError::Late))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, LocalError> {
        let request = self.request(method, path);
        let request = body.into_iter().fold(request, RequestBuilder::json);
        let response = request.send().await.map_err(|error| away(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let said = read(response, 64 * 1024).await.unwrap_or_default();
        let said = visible_line(String::from_utf8_lossy(&said).trim()).chars().take(REASON_MAX).collect();
        Err(LocalError::Status(status, said))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = self.host.into_iter().fold(request, |request, host| request.header(header::HOST, host));
        self.password
            .iter()
            .fold(request, |request, password| request.basic_auth("", Some(password.expose())))
    }
}

/// Reads JSON of a program on this machine.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LocalError> {
    serde_json::from_slice(bytes).map_err(|error| LocalError::Shape(visible_line(&error.to_string()).into()))
}

async fn read(response: Response, most: usize) -> Result<Vec<u8>, LocalError> {
    let body = read_body(response, most).await.map_err(|error| match error {
        BodyError::Broken(error) => away(&error),
        too_large @ BodyError::TooLarge(_) => LocalError::Shape(too_large.to_string()),
    })?;
    Ok(body.into())
}

/// Clients that ask nobody else: no proxy, no redirect, no certificates.
fn builder() -> reqwest::ClientBuilder {
    // Needed before the first client of a process, and without effect after that.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        .connect_timeout(CONNECT_TIME)
        .pool_max_idle_per_host(0)
}

fn build(builder: reqwest::ClientBuilder) -> Result<Client, LocalError> {
    builder.build().map_err(|error| LocalError::Away(format!("the HTTP client could not be made: {error}")))
}

/// The innermost reason: what stands above it says where, not why.
pub fn away(error: &reqwest::Error) -> LocalError {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    LocalError::Away(visible_line(&inner.to_string()).chars().take(REASON_MAX).collect())
}
