//! Which Redis, and who we are there: read from the configuration, shown without secrets.

use std::fmt;
use std::path::PathBuf;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use super::RedisFault;
use crate::store::Password;
use crate::util::Secret;

/// Default port of Sentinel.
const SENTINEL_PORT: u16 = 26_379;

/// Most Sentinels a URL may name.
const SENTINELS_MAX: usize = 16;

/// Where the server is.
#[derive(Clone)]
pub(super) enum Place {
    /// One address.
    At(ConnectionAddr),
    /// The master of this name, which these Sentinels know.
    Sentinel { nodes: Vec<ConnectionAddr>, master: String },
}

/// A Redis that is not connected yet.
#[derive(Clone)]
pub struct RedisTarget {
    pub(super) place: Place,
    pub(super) login: RedisConnectionInfo,
    pub(super) password: Password,
    pub(super) ca_file: Option<PathBuf>,
    shown: String,
}

/// Why a text is no Redis URL. Never quotes the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no Redis URL: {0}; use redis://[user:password@]host:port[/db], rediss://… for TLS, unix:///path, or \
     redis+sentinel://host:port,host:port/<master>"
)]
pub struct RedisUrlError(&'static str);

impl RedisTarget {
    /// Reads a URL: `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://`, `rediss+sentinel://`.
    pub fn parse(url: &str) -> Result<Self, RedisUrlError> {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or(RedisUrlError("it has no scheme"))?;
        if rest.contains('#') {
            return Err(RedisUrlError("a `#` in it (percent-encode it in a password as %23)"));
        }
        match scheme {
            "redis" | "rediss" | "unix" | "redis+unix" => Self::single(url),
            "redis+sentinel" => Self::sentinel("redis", rest),
            "rediss+sentinel" => Self::sentinel("rediss", rest),
            _ => Err(RedisUrlError("its scheme is unknown")),
        }
    }

    fn single(url: &str) -> Result<Self, RedisUrlError> {
        let info = info(url)?;
        let shown = shown(&info, &info.addr().to_string());
        Ok(Self::of(Place::At(info.addr().clone()), info.redis_settings().clone(), shown))
    }

    fn sentinel(scheme: &str, rest: &str) -> Result<Self, RedisUrlError> {
        let (authority, path) = rest.split_once('/').ok_or(RedisUrlError("it names no master"))?;
        let (user, nodes) = match authority.rsplit_once('@') {
            Some((user, nodes)) => (format!("{user}@"), nodes),
            None => (String::new(), authority),
        };
        let (master, db) = path.split_once('/').unwrap_or((path, ""));
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if master.is_empty() || !master.chars().all(name) {
            return Err(RedisUrlError("the master's name must be letters, digits, `.`, `-` and `_`"));
        }
        let mut infos = Vec::new();
        for node in nodes.split(',').take(SENTINELS_MAX) {
            let has_port = node.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let node = if has_port { node.to_owned() } else { format!("{node}:{SENTINEL_PORT}") };
            infos.push(info(&format!("{scheme}://{user}{node}/{db}"))?);
        }
        let first = infos.first().ok_or(RedisUrlError("it names no Sentinel"))?;
        let shown = format!("sentinel {nodes} master {master}");
        let login = first.redis_settings().clone();
        let nodes = infos.iter().map(|info| info.addr().clone()).collect();
        Ok(Self::of(Place::Sentinel { nodes, master: master.to_owned() }, login, shown))
    }

    fn of(place: Place, login: RedisConnectionInfo, shown: String) -> Self {
        Self { place, login, password: Password::None, ca_file: None, shown }
    }

    /// Where the password comes from when the URL has none.
    #[must_use]
    pub fn with_password(mut self, password: Password) -> Self {
        self.password = password;
        self
    }

    /// Trusts only the certificates of this PEM file (for `rediss://`).
    #[must_use]
    pub fn with_ca_file(mut self, path: Option<PathBuf>) -> Self {
        self.ca_file = path;
        self
    }

    /// The server in words, without user's password: `redis://default:***@hub:6379/0`.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether nobody but this machine reaches it: a unix socket or a loopback address.
    pub fn is_near(&self) -> bool {
        match &self.place {
            Place::At(addr) => is_local(addr),
            Place::Sentinel { nodes, .. } => nodes.iter().all(is_local),
        }
    }

    /// The password as it is now, asked for where it comes from.
    pub async fn password(&self) -> Result<Option<Secret>, RedisFault> {
        Ok(super::dial::login(self).await?.password().map(Secret::new))
    }

    /// Whether a password is known, or where one comes from.
    pub fn has_password(&self) -> bool {
        self.login.password().is_some() || !matches!(self.password, Password::None)
    }
}

/// A URL without the password that may be in it; `None` where one may stand in another place than before an `@`.
pub fn without_password(url: &str) -> Option<String> {
    let (scheme, rest) = url.trim().split_once("://")?;
    if rest.contains('?') || scheme.contains("unix") {
        return None;
    }
    // A path has no `@`: a master's name and a number.
    let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let user = user.split(':').next().unwrap_or_default();
    let at = if user.is_empty() { "" } else { "@" };
    Some(format!("{scheme}://{user}{at}{place}"))
}

impl fmt::Debug for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisTarget").field(&self.shown).finish()
    }
}

/// Whether what is sent there stays on this machine: a unix socket or a loopback address.
pub(super) fn is_local(addr: &ConnectionAddr) -> bool {
    match addr {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        _ => true,
    }
}

fn info(url: &str) -> Result<ConnectionInfo, RedisUrlError> {
    // The library's own error may quote the URL.
    url.into_connection_info().map_err(|_| RedisUrlError("its host, port, path or database is wrong"))
}

fn shown(info: &ConnectionInfo, place: &str) -> String {
    let login = info.redis_settings();
    let scheme = match info.addr() {
        ConnectionAddr::TcpTls { .. } => "rediss",
        ConnectionAddr::Unix(_) => "unix",
        _ => "redis",
    };
    let user = login.username().unwrap_or_default();
    let who = match (user, login.password()) {
        ("", None) => String::new(),
        (user, None) => format!("{user}@"),
        (user, Some(_)) => format!("{user}:***@"),
    };
    let db = if login.db() == 0 { String::new() } else { format!("/{}", login.db()) };
    crate::util::visible_line(&format!("{scheme}://{who}{place}{db}")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_the_password() {
        for (url, text) in [
            ("redis://hub:6380", "redis://hub:6380"),
            ("redis://default:s3cret@hub:6379/2", "redis://default:***@hub:6379/2"),
            ("rediss://:s3cret@hub", "rediss://:***@hub:6379"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            ("redis+sentinel://:s3cret@a:1,b/main", "sentinel a:1,b master main"),
        ] {
            let target = RedisTarget::parse(url).unwrap();
            assert_eq!(target.shown(), text);
            assert!(!format!("{target:?}").contains("s3cret"));
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_quoted() {
        for bad in
            ["", "hub:6379", "http://u:s3cret@h", "redis+sentinel://a:1", "redis://u:s3cret@h:x/#insecure"]
        {
            let text = RedisTarget::parse(bad).unwrap_err().to_string();
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_url_and_its_password_part() {
        for (url, plain, password) in [
            ("redis://hub:6380/2", "redis://hub:6380/2", None),
            ("redis://default:s3%40cret@hub:6379/2", "redis://default@hub:6379/2", Some("s3@cret")),
            ("rediss://:s3cret@hub", "rediss://hub", Some("s3cret")),
            ("redis+sentinel://:s3cret@a:1,b/main/2", "redis+sentinel://a:1,b/main/2", Some("s3cret")),
        ] {
            assert_eq!(without_password(url).as_deref(), Some(plain));
            let target = RedisTarget::parse(url).unwrap();
            let said = target.password().await.unwrap();
            assert_eq!(said.as_ref().map(Secret::expose), password);
            assert!(!RedisTarget::parse(plain).unwrap().has_password());
        }
        assert_eq!(without_password("unix:///x?pass=s3cret"), None);
        assert_eq!(without_password("redis://h?x=s3cret"), None);
    }

    #[test]
    fn loopback_is_local() {
        let local = |url: &str| is_local(info(url).unwrap().addr());
        assert!(local("redis://127.0.0.1") && local("redis://[::1]:1") && local("unix:///x"));
        assert!(local("redis://localhost:1") && !local("redis://10.0.0.1"));
    }
}
