//! Asking one peer: requests, streams and terminals, over the one HTTP client that all peers share.
//!
//! Invariants: the token goes to its own origin alone; no redirect is followed and no proxy asked; the address that
//! was resolved and checked is the one that is connected to; what is read has a bound, and what is waited for a deadline;
//! not more than [`CALLS_MAX`] requests are on their way to one peer, over however many connections, so that a mute one takes
//! no more than that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::socket::{self, PeerSocket, refusal};
use super::{PeerError, PeerUrl};
use crate::fleet::resolve_name;
use crate::util::{BodyError, Secret, read_body};

/// How long connecting may take, TLS and names included.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Requests to one peer at one time, streams included and terminals not.
pub const CALLS_MAX: usize = 128;

/// The places for requests to one peer. Clones are the same places.
#[derive(Debug, Clone)]
pub struct Calls(Arc<Semaphore>);

impl Default for Calls {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CALLS_MAX)))
    }
}

/// How long an unused connection is kept; less than any daemon keeps it.
const IDLE_TIME: Duration = Duration::from_secs(20);

/// Unused connections to one peer.
const IDLE_MAX: usize = 4;

/// A connection on which nothing was said for so long is asked whether its other end is there.
const QUIET_TIME: Duration = Duration::from_secs(30);

/// The HTTP client of all peers.
#[derive(Debug, Clone)]
pub struct PeerHttp(reqwest::Client);

impl PeerHttp {
    /// A client that trusts the certificates that the system trusts.
    pub fn new() -> Result<Self, PeerError> {
        // Needed before the first client of a process, and without effect after that.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = match Self::builder().build() {
            Ok(http) => http,
            Err(error) => {
                let error = PeerError::of(&error);
                tracing::warn!(%error, "the system's certificates can't be read; peers by https can't be reached");
                let without = Self::builder().tls_certs_only([]).build();
                without.map_err(|error| PeerError::of(&error))?
            }
        };
        Ok(Self(http))
    }

    fn builder() -> reqwest::ClientBuilder {
        // A connection whose other end confirms nothing is ended by the library's own limits, within a minute more.
        reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .dns_resolver(Arc::new(Checked))
            .connect_timeout(CONNECT_TIME)
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_MAX)
            .tcp_keepalive(QUIET_TIME)
    }
}

/// Resolves names, and leaves out addresses at which no machine of a fleet can be.
struct Checked;

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port of the URL takes the place of 0.
            let addresses = resolve_name(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// What is asked of a peer.
#[derive(Debug, Clone)]
pub struct PeerRequest {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl PeerRequest {
    /// A request for a path, which begins with `/` and may end with a query.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: HeaderMap::new(), body: None }
    }

    /// Reads a path.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Does something, without a body.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }

    /// The same with a body of JSON.
    #[must_use]
    pub fn with_json(self, body: &serde_json::Value) -> Self {
        let json = HeaderValue::from_static("application/json");
        self.with_header(header::CONTENT_TYPE, json).with_body(body.to_string().into())
    }
}

/// How long an answer may take, and how large it may be.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// From the first try to connect to the last byte of the answer.
    pub deadline: Duration,
    /// Bytes of the answer's body.
    pub max_bytes: usize,
}

/// What a peer answered. Every status but a refused token, a wrong name and a redirect is an answer.
#[derive(Debug, Clone)]
pub struct PeerAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, from others.
    pub headers: HeaderMap,
    /// Its body, from others.
    pub body: Bytes,
}

/// An answer whose body comes piece by piece.
#[derive(Debug)]
pub struct PeerStream {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, from others.
    pub headers: HeaderMap,
    response: reqwest::Response,
    _call: OwnedSemaphorePermit,
}

impl PeerStream {
    /// The next piece, which must come within `idle`; `None` at the end. Can be dropped while it waits.
    pub async fn next(&mut self, idle: Duration) -> Result<Option<Bytes>, PeerError> {
        let chunk = timeout(idle, self.response.chunk()).await;
        chunk.map_err(|_| PeerError::NoData)?.map_err(|error| match PeerError::of(&error) {
            // The kernel gave up on a connection that was open; nobody was connected to.
            PeerError::TimedOut => PeerError::NoData,
            error => error,
        })
    }
}

/// One peer. Clones are the same peer.
#[derive(Clone)]
pub struct PeerClient {
    http: PeerHttp,
    url: PeerUrl,
    bearer: Option<HeaderValue>,
    calls: Calls,
}

impl PeerClient {
    /// A client of the daemon at `url`, which takes this token. Fails when no header can hold the token.
    pub fn new(http: &PeerHttp, url: PeerUrl, token: Option<&Secret>) -> Result<Self, PeerError> {
        let bearer = token.map(|token| {
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| PeerError::Failed("the token is no line of plain characters".to_owned()))?;
            bearer.set_sensitive(true);
            Ok(bearer)
        });
        let bearer = bearer.transpose()?;
        Ok(Self { http: http.clone(), url, bearer, calls: Calls::default() })
    }

    /// The same, in the places that another client of this peer has: what was asked over an earlier connection may still be
    /// on its way.
    #[must_use]
    pub fn in_places(self, calls: &Calls) -> Self {
        Self { calls: calls.clone(), ..self }
    }

    /// Where it is.
    pub fn url(&self) -> &PeerUrl {
        &self.url
    }

    /// Asks, and reads the whole answer.
    pub async fn ask(&self, request: PeerRequest, limit: Limit) -> Result<PeerAnswer, PeerError> {
        let _call = self.call()?;
        let asked = async {
            let mut response = self.send(request).await?;
            let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
            let body = read_body(response, limit.max_bytes).await.map_err(|error| match error {
                BodyError::TooLarge(most) => PeerError::TooLarge(most),
                BodyError::Broken(error) => PeerError::of(&error),
            })?;
            Ok(PeerAnswer { status, headers, body: body.freeze() })
        };
        timeout(limit.deadline, asked).await.unwrap_or(Err(PeerError::TimedOut))
    }

    /// Asks, and reads the answer up to its body, which must begin within `head`.
    pub async fn stream(&self, request: PeerRequest, head: Duration) -> Result<PeerStream, PeerError> {
        let call = self.call()?;
        let response = timeout(head, self.send(request)).await.unwrap_or(Err(PeerError::TimedOut))?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(PeerStream { status, headers, response, _call: call })
    }

    /// Opens a terminal: the WebSocket at this path, which may end with a query.
    pub async fn terminal(&self, path: &str) -> Result<PeerSocket, PeerError> {
        let opened = socket::open(self.request(&PeerRequest::get(path)));
        timeout(CONNECT_TIME, opened).await.unwrap_or(Err(PeerError::TimedOut))
    }

    fn call(&self) -> Result<OwnedSemaphorePermit, PeerError> {
        Arc::clone(&self.calls.0).try_acquire_owned().map_err(|_| PeerError::Busy)
    }

    fn request(&self, asked: &PeerRequest) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.url, asked.path);
        let mut request = self.http.0.request(asked.method.clone(), url).headers(asked.headers.clone());
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, bearer.clone());
        }
        match &asked.body {
            Some(body) => request.body(body.clone()),
            None => request,
        }
    }

    async fn send(&self, asked: PeerRequest) -> Result<reqwest::Response, PeerError> {
        let sent = self.request(&asked).send().await;
        let response = sent.map_err(|error| PeerError::of(&error))?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => {
                Err(refusal(response).await)
            }
            status if status.is_redirection() || status.is_informational() => {
                Err(PeerError::Shape(format!("it sends elsewhere ({})", status.as_u16())))
            }
            _ => Ok(response),
        }
    }
}

impl fmt::Debug for PeerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerClient").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LIMIT: Limit = Limit { deadline: Duration::from_secs(20), max_bytes: 8 };

    /// A peer that answers every request with these bytes, and what it was asked.
    async fn peer(answer: &'static [u8]) -> (PeerClient, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        #[allow(clippy::disallowed_methods)] // It ends with the test.
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 64 * 1024];
            let count = stream.read(&mut head).await.unwrap();
            stream.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&head[..count]).into_owned()
        });
        (client(&url, Some("s3cret")), asked)
    }

    fn client(url: &str, token: Option<&str>) -> PeerClient {
        let token = token.map(Secret::new);
        PeerClient::new(&PeerHttp::new().unwrap(), url.parse().unwrap(), token.as_ref()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_comes_with_its_status_and_the_token_goes_with_the_question() {
        let (client, asked) = peer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone").await;
        let request = PeerRequest::post("/v1/x?a=b").with_json(&serde_json::json!({}));
        let answer = client.ask(request, LIMIT).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (404, b"none".as_ref()));
        let head = asked.await.unwrap();
        assert!(head.starts_with("POST /v1/x?a=b HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("authorization: Bearer s3cret\r\n"), "{head}");
        assert!(!format!("{client:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn what_is_no_answer_has_a_word() {
        for (bytes, words) in [
            (&b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"[..], "authentication failed"),
            (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "it refuses: it did not say why"),
            (
                b"HTTP/1.1 403 No\r\nContent-Length: 13\r\n\r\nnot \x1b[2Jhere\n",
                "it refuses: not \\u{1b}[2Jhere",
            ),
            (
                b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
                "elsewhere",
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", "larger than 8"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1", "connection lost"),
            (b"SSH-2.0-x\r\n", "no HTTP"),
            (b"", "connection lost"),
        ] {
            let (client, asked) = peer(bytes).await;
            let said = client.ask(PeerRequest::get("/"), LIMIT).await.unwrap_err().to_string();
            assert!(said.contains(words), "{words}: {said}");
            asked.await.unwrap();
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = client(&format!("http://{free}"), None).ask(PeerRequest::get("/"), LIMIT).await;
        assert_eq!(refused.unwrap_err(), PeerError::Refused);
        let nowhere = client("http://no-such-name.invalid", None).ask(PeerRequest::get("/"), LIMIT).await;
        assert_eq!(nowhere.unwrap_err(), PeerError::UnknownHost);
    }

    #[tokio::test]
    async fn a_mute_peer_takes_its_deadline_and_no_more_than_its_places() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(&format!("http://{}", listener.local_addr().unwrap()), None);
        let soon = Limit { deadline: Duration::from_millis(50), ..LIMIT };
        assert_eq!(client.ask(PeerRequest::get("/"), soon).await.unwrap_err(), PeerError::TimedOut);
        let places: Vec<_> = (0..CALLS_MAX).map(|_| client.call().unwrap()).collect();
        assert_eq!(client.ask(PeerRequest::get("/"), soon).await.unwrap_err(), PeerError::Busy);
        // A link that connects anew gives what is asked no further places.
        let link = |calls: &Calls| client.clone().in_places(calls);
        assert_eq!(link(&client.calls).ask(PeerRequest::get("/"), soon).await.unwrap_err(), PeerError::Busy);
        assert_eq!(
            link(&Calls::default()).ask(PeerRequest::get("/"), soon).await.unwrap_err(),
            PeerError::TimedOut
        );
        drop(places);
        assert_eq!(client.ask(PeerRequest::get("/"), soon).await.unwrap_err(), PeerError::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_without_tls_is_told_apart() {
        let (plain, asked) = peer(b"HTTP/1.1 400 Bad\r\n\r\n").await;
        let url = plain.url().to_string().replace("http://", "https://");
        let said = client(&url, None).ask(PeerRequest::get("/"), LIMIT).await.unwrap_err().to_string();
        assert!(said.contains("TLS"), "{said}");
        asked.await.unwrap();
    }
}
