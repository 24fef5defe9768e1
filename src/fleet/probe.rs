//! Asking the machines of the roster over HTTP whether they are there and who they are.
//!
//! Invariants: all probes together take [`PROBE_TIME`], names included, however many machines there are and
//! whatever they do; the address that was resolved and checked is the one that is connected to; no redirect is
//! followed and no proxy asked; an answer is read up to [`ANSWER_MAX`]; a token goes to its own machine alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::address::{AddressError, PeerAddress};
use super::hostile::bounded;
use super::{Peer, read_token};
use crate::util::{BodyError, read_body, visible_line};

/// How long all probes may take together: what a second has when darkmux has started and before it prints.
pub const PROBE_TIME: Duration = Duration::from_millis(950);

/// Largest answer that is read, in bytes, and largest head of one.
pub const ANSWER_MAX: usize = 1024 * 1024;
const HEAD_MAX: usize = 64 * 1024;

/// Probes at one time: each has a descriptor, of which a process of macOS has 256, and others need some.
const AT_ONCE: std::ops::RangeInclusive<usize> = 16..=512;
const DESCRIPTORS_LEFT: usize = 64;

/// What became of asking one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeState {
    /// It answers, and is who the roster says, as far as it says who it is.
    Answers,
    /// Another machine answers there.
    OtherMachine(String),
    /// Nothing listens there.
    Refused,
    /// No answer in time.
    Timeout(&'static str),
    /// The name is not known.
    NoName(String),
    /// The address may not be asked.
    Forbidden(String),
    /// Something answers that is no darkmux.
    NotDarkmux(String),
    /// It is a darkmux that does not answer to this name.
    WrongHost,
    /// It asks for a token, or refuses the one it got.
    Auth,
    /// The token's file can't be used.
    Token(String),
    /// The network refused.
    Failed(String),
}

impl ProbeState {
    /// Whether the machine of the roster answers.
    pub fn is_good(&self) -> bool {
        *self == Self::Answers
    }

    /// Two or three words for a table.
    pub fn words(&self) -> String {
        match self {
            Self::Answers => "answers".to_owned(),
            Self::OtherMachine(id) => id.clone(),
            Self::Refused => "refused".to_owned(),
            Self::Timeout(_) => "timeout".to_owned(),
            Self::NoName(_) => "no such name".to_owned(),
            Self::Forbidden(_) => "forbidden".to_owned(),
            Self::NotDarkmux(_) => "not darkmux".to_owned(),
            Self::WrongHost => "wrong host".to_owned(),
            Self::Auth => "auth?".to_owned(),
            Self::Token(_) => "token?".to_owned(),
            Self::Failed(_) => "unreachable".to_owned(),
        }
    }

    /// A word for programs; never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::OtherMachine(_) => "other_machine",
            Self::Refused => "refused",
            Self::Timeout(_) => "timeout",
            Self::NoName(_) => "no_such_name",
            Self::Forbidden(_) => "forbidden",
            Self::NotDarkmux(_) => "not_darkmux",
            Self::WrongHost => "wrong_host",
            Self::Auth => "auth",
            Self::Token(_) => "token",
            Self::Failed(_) => "unreachable",
        }
    }

    /// What went wrong and what to do; `None` when nothing did.
    pub fn problem(&self, peer: &Peer) -> Option<String> {
        let (id, address) = (&peer.id, &peer.address);
        Some(match self {
            Self::Answers => return None,
            Self::OtherMachine(other) => format!(
                "{address} is the machine {}, not {id}: darkmux fleet add the right address, or give it its name",
                visible_line(other)
            ),
            Self::Refused => format!("nothing listens on {address}: start `darkmux serve` on {id}"),
            Self::Timeout(what) => {
                format!("{address} {what} within 1 s: {id} may sleep, or a firewall is between")
            }
            Self::NoName(why) | Self::Forbidden(why) | Self::Token(why) => why.clone(),
            Self::NotDarkmux(why) => format!("what listens on {address} is no darkmux: {why}"),
            Self::WrongHost => format!(
                "{id} does not answer to this name: on {id}, darkmux config set serve.hosts {}",
                address.authority()
            ),
            Self::Auth if peer.token_file.is_some() => format!(
                "{id} refuses the token that is kept for it: join it again (`darkmux fleet invite` on {id}), or darkmux \
                 fleet add {id} --address {address} --token-file FILE"
            ),
            Self::Auth => {
                format!("{id} asks for a token: darkmux fleet add {id} --address {address} --token-file FILE")
            }
            Self::Failed(why) => format!("{address}: {why}"),
        })
    }
}

/// What became of asking for the specs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Specs {
    /// They were not asked for, or nobody was there to be asked.
    #[default]
    NotAsked,
    /// An object, of any content.
    Known(Value),
    /// It asks for a token.
    Auth,
    /// They did not come.
    Failed(String),
}

/// What was found out about one machine.
#[derive(Debug, Clone)]
pub struct Probed {
    /// Whether it is there.
    pub state: ProbeState,
    /// How long that took.
    pub took: Duration,
    /// The address that was connected to.
    pub resolved: Option<SocketAddr>,
    /// The version it says.
    pub version: Option<String>,
    /// The identity it says.
    pub uid: Option<String>,
    /// Its specs.
    pub specs: Specs,
}

/// Asks all of them, at most [`PROBE_TIME`] altogether; the answers stand in the order of the machines. `deep` asks for
/// their specs, too.
pub async fn probe_all(peers: &[Peer], deep: bool) -> Vec<Probed> {
    let at_once = at_once();
    let rounds = u32::try_from(peers.len().div_ceil(at_once).max(1)).unwrap_or(u32::MAX);
    let patience = PROBE_TIME / rounds;
    let end = Instant::now() + PROBE_TIME;
    let gate = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    for (index, peer) in peers.iter().enumerate() {
        let (peer, gate) = (peer.clone(), Arc::clone(&gate));
        running.spawn(async move {
            let Ok(_permit) = gate.acquire().await else { return (index, nobody()) };
            let deadline = end.min(Instant::now() + patience);
            (index, probe(&peer, deep, deadline).await)
        });
    }
    let mut all: Vec<Probed> = peers.iter().map(|_| nobody()).collect();
    while let Some(done) = running.join_next().await {
        if let Ok((index, probed)) = done {
            all[index] = probed;
        }
    }
    all
}

/// How many probes this process can have at one time.
fn at_once() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    limit.saturating_sub(DESCRIPTORS_LEFT).clamp(*AT_ONCE.start(), *AT_ONCE.end())
}

/// Nobody was asked in time.
fn nobody() -> Probed {
    let state = ProbeState::Timeout("was not asked");
    Probed { state, took: PROBE_TIME, resolved: None, version: None, uid: None, specs: Specs::NotAsked }
}

/// Asks one machine, until `deadline`.
pub async fn probe(peer: &Peer, deep: bool, deadline: Instant) -> Probed {
    let began = Instant::now();
    let mut probed = Probed { took: Duration::ZERO, ..nobody() };
    let mut asked = match open(peer, deadline).await {
        Ok((asker, address)) => {
            probed.resolved = Some(address);
            asker
        }
        Err(state) => return Probed { state, took: began.elapsed(), ..probed },
    };
    let health = asked.get("/health", deadline).await;
    probed.took = began.elapsed();
    match health {
        Ok(Answer { status: StatusCode::OK, body }) => judge(&mut probed, peer, &body),
        Ok(Answer { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. }) => {
            probed.state = ProbeState::Auth;
        }
        Ok(Answer { status: StatusCode::MISDIRECTED_REQUEST, body }) if is_ours(&body) => {
            probed.state = ProbeState::WrongHost;
        }
        Ok(Answer { status, .. }) => {
            probed.state = ProbeState::NotDarkmux(format!("/health answers {}", status.as_u16()));
        }
        Err(Broken::Late) => probed.state = ProbeState::Timeout("took the connection and did not answer"),
        Err(Broken::Foreign(why)) => probed.state = ProbeState::NotDarkmux(why),
    }
    let is_there = matches!(probed.state, ProbeState::Answers | ProbeState::OtherMachine(_));
    if deep && is_there {
        probed.specs = specs(&mut asked, deadline).await;
        if let (ProbeState::Answers, Specs::Known(specs)) = (&probed.state, &probed.specs)
            && let Some(id) = specs["machine_id"].as_str()
            && id != peer.id.as_str()
        {
            // 1.9 says who it is only here.
            probed.state = ProbeState::OtherMachine(bounded(id));
        }
    }
    probed
}

fn judge(probed: &mut Probed, peer: &Peer, body: &[u8]) {
    let health: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(version) = health["darkmux_version"].as_str() else {
        probed.state = ProbeState::NotDarkmux("/health names no version of darkmux".to_owned());
        return;
    };
    probed.version = Some(bounded(version));
    probed.uid = health["machine_uid"].as_str().map(bounded);
    probed.state = match health["machine_id"].as_str() {
        Some(id) if id != peer.id.as_str() => ProbeState::OtherMachine(bounded(id)),
        _ => ProbeState::Answers,
    };
}

/// Whether a refusal has the shape of a darkmux.
fn is_ours(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["error"]["code"] == "wrong_host"
}

async fn specs(asker: &mut Asker, deadline: Instant) -> Specs {
    match asker.get("/machine/specs", deadline).await {
        Ok(Answer { status: StatusCode::OK, body }) => match serde_json::from_slice(&body) {
            Ok(specs @ Value::Object(_)) => Specs::Known(specs),
            _ => Specs::Failed("they are no object".to_owned()),
        },
        Ok(Answer { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. }) => Specs::Auth,
        Ok(Answer { status, .. }) => Specs::Failed(format!("/machine/specs answers {}", status.as_u16())),
        Err(Broken::Late) => Specs::Failed("no answer within 1 s".to_owned()),
        Err(Broken::Foreign(why)) => Specs::Failed(why),
    }
}

/// A connection to one daemon.
struct Asker {
    way: Way,
    bearer: Option<String>,
}

/// How it is asked.
enum Way {
    /// Over this connection.
    Plain {
        sender: SendRequest<Empty<Bytes>>,
        host: String,
        /// Drives the connection; ends with the asker.
        _driver: JoinSet<()>,
    },
    /// By a client that checks certificates, at this origin.
    Tls(reqwest::Client, String),
}

struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// Why there is no answer.
enum Broken {
    /// None came in time.
    Late,
    /// What came is no HTTP, or too much.
    Foreign(String),
}

async fn open(peer: &Peer, deadline: Instant) -> Result<(Asker, SocketAddr), ProbeState> {
    let bearer = match peer.token_file.as_deref().map(read_token).transpose() {
        Ok(token) => token.map(|token| format!("Bearer {}", token.expose())),
        Err(error) => return Err(ProbeState::Token(error.to_string())),
    };
    let addresses = match timeout_at(deadline, peer.address.resolve()).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error @ AddressError::Refused(..))) => return Err(ProbeState::Forbidden(error.to_string())),
        Ok(Err(error)) => return Err(ProbeState::NoName(error.to_string())),
        Err(_) => return Err(ProbeState::Timeout("is a name that nobody told the address of")),
    };
    // A name may have an address that swallows everything beside one that answers.
    let tries = addresses.into_iter().map(|address| {
        Box::pin(async move { Ok::<_, io::Error>((TcpStream::connect(address).await?, address)) })
    });
    let (stream, address): (TcpStream, SocketAddr) =
        match timeout_at(deadline, futures_util::future::select_ok(tries)).await {
            Ok(Ok((connected, _))) => connected,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(ProbeState::Refused);
            }
            Ok(Err(error)) => return Err(ProbeState::Failed(error.to_string())),
            Err(_) => return Err(ProbeState::Timeout("did not take a connection")),
        };
    if peer.address.is_tls() {
        let client = tls(&peer.address, address).map_err(ProbeState::Failed)?;
        return Ok((Asker { way: Way::Tls(client, peer.address.origin()), bearer }, address));
    }
    let foreign = |error: hyper::Error| ProbeState::NotDarkmux(error.to_string());
    let mut builder = Builder::new();
    let (sender, connection) =
        builder.max_buf_size(HEAD_MAX).handshake(TokioIo::new(stream)).await.map_err(foreign)?;
    let mut driver = JoinSet::new();
    driver.spawn(async {
        // Its end shows at the requests.
        let _ = connection.await;
    });
    let way = Way::Plain { sender, host: peer.address.authority(), _driver: driver };
    Ok((Asker { way, bearer }, address))
}

/// A client that connects to this address alone.
fn tls(to: &PeerAddress, address: SocketAddr) -> Result<reqwest::Client, String> {
    // Needed before the first client of a process, and without effect after that.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let builder = match to.name() {
        Some(name) => builder.resolve(name, address),
        None => builder,
    };
    builder.build().map_err(|error| error.to_string())
}

/// What is at the bottom of an error.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    bounded(&visible_line(&last.to_string()))
}

async fn plain(
    sender: &mut SendRequest<Empty<Bytes>>,
    host: &str,
    bearer: Option<&str>,
    path: &str,
) -> Result<Answer, Broken> {
    let foreign = |error: &dyn std::fmt::Display| Broken::Foreign(bounded(&visible_line(&error.to_string())));
    let mut request = Request::get(path).header(header::HOST, host);
    if let Some(bearer) = bearer {
        request = request.header(header::AUTHORIZATION, bearer);
    }
    let request = request.body(Empty::new()).map_err(|error| foreign(&error))?;
    sender.ready().await.map_err(|error| foreign(&error))?;
    let response = sender.send_request(request).await.map_err(|error| foreign(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|error| foreign(&error))?.to_bytes();
    Ok(Answer { status, body })
}

async fn encrypted(request: reqwest::RequestBuilder) -> Result<Answer, Broken> {
    let foreign = |error: &dyn std::error::Error| Broken::Foreign(cause(error));
    let response = request.send().await.map_err(|error| foreign(&error))?;
    let status = response.status();
    let body = read_body(response, ANSWER_MAX).await.map_err(|error| match error {
        BodyError::Broken(error) => foreign(&error),
        too_large @ BodyError::TooLarge(_) => foreign(&too_large),
    })?;
    Ok(Answer { status, body: body.freeze() })
}

impl Asker {
    async fn get(&mut self, path: &str, deadline: Instant) -> Result<Answer, Broken> {
        let bearer = self.bearer.as_deref();
        let answer = async {
            match &mut self.way {
                Way::Plain { sender, host, .. } => plain(sender, host, bearer, path).await,
                Way::Tls(client, origin) => {
                    let request = client.get(format!("{origin}{path}"));
                    encrypted(match bearer {
                        Some(bearer) => request.header(header::AUTHORIZATION, bearer),
                        None => request,
                    })
                    .await
                }
            }
        };
        timeout_at(deadline, answer).await.unwrap_or(Err(Broken::Late))
    }
}
