//! Making one connection: finding the master, the password, TLS, time limits, and who answered.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, TlsCertificates,
};

use super::target::{Place, is_local};
use super::{RedisClass, RedisFault, RedisTarget};
use crate::store::read_bounded;

/// How long a connection with its login may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a Sentinel may take to answer.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(700);

const CA_MAX: u64 = 1024 * 1024;

/// When a dead peer shows: first probe, then the time between probes.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// How long sent data may stay without an answer of the peer's system.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Server {
    /// Made anew at each start of the server.
    pub run_id: String,
    /// Such as `7.0.15`.
    pub version: String,
    /// `master` or `slave`.
    pub role: String,
    /// What it does when its memory is full; `noeviction` is the one policy that forgets no job.
    pub maxmemory_policy: String,
    /// Whether it is on this machine: a unix socket or a loopback address.
    pub is_local: bool,
}

/// A connection, and whose it is.
pub(super) struct Dialled {
    pub connection: MultiplexedConnection,
    pub server: Server,
    pub addr: ConnectionAddr,
}

/// A new connection to the server of `target`, which answers within `answer`.
pub(super) async fn dial(target: &RedisTarget, answer: Duration) -> Result<Dialled, RedisFault> {
    // One TLS provider for the process; whoever came first set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let login = login(target).await?;
    let addr = match &target.place {
        Place::At(addr) => addr.clone(),
        Place::Sentinel { .. } => master(target, &login).await?,
    };
    let mut connection = connect(target, addr.clone(), login, (CONNECT_TIMEOUT, answer)).await?;
    let server = Server { is_local: is_local(&addr), ..ask_who(target, &mut connection).await? };
    if matches!(target.place, Place::Sentinel { .. }) && server.role != "master" {
        // The Sentinels are behind the server; the next dial asks them again.
        return Err(RedisFault::new(RedisClass::ReadOnly, target.shown(), "the named master is a replica"));
    }
    Ok(Dialled { connection, server, addr })
}

/// The address of the master. All Sentinels are asked at once, and the one that knows of the newest election is
/// right: one that was cut off goes on naming the master of before.
pub(super) async fn master(
    target: &RedisTarget,
    login: &RedisConnectionInfo,
) -> Result<ConnectionAddr, RedisFault> {
    let Place::Sentinel { nodes, master } = &target.place else {
        return Err(RedisFault::new(RedisClass::Config, target.shown(), "it has no Sentinel"));
    };
    let asked = nodes.iter().map(|node| ask_sentinel(target, node, master, login));
    let mut newest: Option<(u64, ConnectionAddr)> = None;
    let mut last = RedisFault::new(RedisClass::Unreachable, target.shown(), "no Sentinel answers");
    for (node, answer) in nodes.iter().zip(join_all(asked).await) {
        match answer.and_then(|fields| named(target, node, &fields)) {
            Ok((epoch, addr)) if newest.as_ref().is_none_or(|(newest, _)| epoch > *newest) => {
                newest = Some((epoch, addr));
            }
            Ok(_) => {}
            Err(fault) => last = fault,
        }
    }
    newest.map(|(_, addr)| addr).ok_or(last)
}

/// The election and the address in a Sentinel's answer.
fn named(
    target: &RedisTarget,
    node: &ConnectionAddr,
    fields: &HashMap<String, String>,
) -> Result<(u64, ConnectionAddr), RedisFault> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let (host, port) = (field("ip").to_owned(), field("port").parse());
    let Some(port) = port.ok().filter(|_| !host.is_empty()) else {
        return Err(RedisFault::new(RedisClass::Foreign, target.shown(), format!("{node} is no Sentinel")));
    };
    let addr = match node {
        ConnectionAddr::TcpTls { .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    Ok((field("config-epoch").parse().unwrap_or(0), addr))
}

/// What a Sentinel knows of the master.
async fn ask_sentinel(
    target: &RedisTarget,
    node: &ConnectionAddr,
    master: &str,
    login: &RedisConnectionInfo,
) -> Result<HashMap<String, String>, RedisFault> {
    let ask = async |login: RedisConnectionInfo| {
        let mut connection =
            connect(target, node.clone(), login, (SENTINEL_TIMEOUT, SENTINEL_TIMEOUT)).await?;
        redis::cmd("SENTINEL").arg("MASTER").arg(master).query_async(&mut connection).await.map_err(|error| {
            if error.detail().is_some_and(|detail| detail.contains("No such master")) {
                let what = format!("{node} knows no master `{master}`");
                return RedisFault::new(RedisClass::Config, target.shown(), what);
            }
            RedisFault::of(&error, target.shown())
        })
    };
    // Sentinels often have no password, and refuse one then.
    match ask(RedisConnectionInfo::default()).await {
        Err(fault) if fault.class() == RedisClass::Auth => ask(login.clone().set_db(0)).await,
        answer => answer,
    }
}

async fn connect(
    target: &RedisTarget,
    addr: ConnectionAddr,
    login: RedisConnectionInfo,
    (limit, answer): (Duration, Duration),
) -> Result<MultiplexedConnection, RedisFault> {
    let fault = |error: &redis::RedisError| RedisFault::of(error, target.shown());
    let is_tls = matches!(addr, ConnectionAddr::TcpTls { .. });
    let info = addr.into_connection_info().map_err(|error| fault(&error))?;
    let info = info.set_redis_settings(login).set_tcp_settings(tcp_settings());
    let client = client(target, info, is_tls)?;
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(Some(answer));
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    match tokio::time::timeout(limit, connecting).await {
        Ok(connected) => connected.map_err(|error| fault(&error)),
        Err(_) => Err(RedisFault::new(RedisClass::Silent, target.shown(), "no answer while connecting")),
    }
}

fn client(target: &RedisTarget, info: ConnectionInfo, is_tls: bool) -> Result<Client, RedisFault> {
    let refused = |error: &redis::RedisError| RedisFault::of(error, target.shown());
    let Some(path) = target.ca_file.as_ref().filter(|_| is_tls) else {
        return Client::open(info).map_err(|error| refused(&error));
    };
    let pem = read_bounded(path, CA_MAX).map_err(|error| {
        RedisFault::new(RedisClass::Config, target.shown(), format!("{}: {error}", path.display()))
    })?;
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    Client::build_with_tls(info, certificates).map_err(|error| refused(&error))
}

fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE.0).with_interval(KEEPALIVE.1);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(USER_TIMEOUT);
    settings
}

async fn ask_who(target: &RedisTarget, connection: &mut MultiplexedConnection) -> Result<Server, RedisFault> {
    let info: Result<String, _> = redis::cmd("INFO").query_async(connection).await;
    let info = info.map_err(|error| RedisFault::of(&error, target.shown()))?;
    let field = |name: &str| {
        let of_line = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned());
        info.lines().find_map(of_line).unwrap_or_default()
    };
    if field("loading") == "1" {
        return Err(RedisFault::new(RedisClass::Loading, target.shown(), "LOADING"));
    }
    Ok(Server {
        run_id: field("run_id"),
        version: field("redis_version"),
        role: field("role"),
        maxmemory_policy: field("maxmemory_policy"),
        is_local: false,
    })
}

/// Name and password, read now, so that a changed password is found at the next connection.
pub(super) async fn login(target: &RedisTarget) -> Result<RedisConnectionInfo, RedisFault> {
    let login = target.login.clone().set_protocol(ProtocolVersion::RESP3);
    if login.password().is_some() {
        return Ok(login);
    }
    let read = target.password.read().await;
    let read = read.map_err(|what| {
        RedisFault::new(RedisClass::Config, target.shown(), format!("the password's {what}"))
    })?;
    Ok(match read {
        Some(password) => login.set_password(password.expose()),
        None => login,
    })
}
