//! What the fleet's Redis says of itself, as far as our user may ask: for `doctor`.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Value as Reply;

use super::presence::time;
use crate::store::{Redis, RedisClass, RedisFault};
use crate::util::{Clock, clock};

/// What it is and how it keeps what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerReport {
    /// `Redis` or `Valkey`.
    pub product: &'static str,
    /// Such as `7.0.15`.
    pub version: String,
    /// From asking to the answer, on an open connection.
    pub latency: Duration,
    /// Whether what is written survives a restart.
    pub aof: Option<bool>,
    /// What it could not write to its disk.
    pub persistence_error: Option<String>,
    /// What it does when its memory is full.
    pub policy: Option<String>,
    /// Its memory for data, in bytes; 0 has no limit.
    pub maxmemory: u64,
    /// What of it is taken.
    pub used_memory: u64,
    /// What our user may do.
    pub access: Access,
    /// Whether it is on this machine.
    pub is_local: bool,
    /// How far our clock is ahead of the server's, in milliseconds.
    pub skew_ms: i64,
}

/// What our user may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// It may not ask, so it may not do everything.
    Restricted,
    /// It may do everything to every key.
    Everything(String),
    /// It may ask, and has limits.
    Limited(String),
    /// The server knows no such thing.
    #[default]
    Unknown,
}

impl ServerReport {
    /// Asks the server.
    pub async fn ask(redis: &Redis, clock: &Clock) -> Result<Self, RedisFault> {
        let info: String = redis.query(&redis::cmd("INFO")).await?;
        let latency = redis.ping().await?;
        let skew_ms = clock_skew(redis, clock).await?;
        let access = access(redis).await;
        let is_local = redis.server().borrow().as_ref().is_some_and(|server| server.is_local);
        Ok(Self { latency, access, is_local, skew_ms, ..Self::of_info(&info) })
    }

    fn of_info(info: &str) -> Self {
        let lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        let fields: BTreeMap<&str, &str> = lines.collect();
        let text = |name: &str| fields.get(name).map(|value| super::hostile::bounded(value));
        let number = |name: &str| fields.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        let valkey = text("valkey_version");
        let failed = |name: &str| fields.get(name).is_some_and(|state| *state != "ok");
        let errors = [
            ("aof_last_write_status", "the last write of its append-only file"),
            ("aof_last_bgrewrite_status", "the last rewrite of its append-only file"),
            ("rdb_last_bgsave_status", "its last snapshot"),
        ];
        let broken = errors.iter().find(|(name, _)| failed(name));
        Self {
            product: if valkey.is_some() { "Valkey" } else { "Redis" },
            version: valkey.or_else(|| text("redis_version")).unwrap_or_default(),
            aof: fields.get("aof_enabled").map(|on| *on == "1"),
            persistence_error: broken.map(|(_, what)| format!("{what} failed")),
            policy: text("maxmemory_policy"),
            maxmemory: number("maxmemory"),
            used_memory: number("used_memory"),
            ..Self::default()
        }
    }

    /// Whether this version is new enough: Redis 7.0, Valkey 7.2.
    pub fn is_supported(&self) -> bool {
        let mut parts = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        version >= if self.product == "Valkey" { (7, 2) } else { (7, 0) }
    }
}

/// How far our clock is ahead of the server's, in milliseconds; as exact as half the time of an answer.
pub async fn clock_skew(redis: &Redis, clock: &Clock) -> Result<i64, RedisFault> {
    let began = clock::unix_ms(clock.now());
    let now: Reply = redis.query(&redis::cmd("TIME")).await?;
    let ours = began.midpoint(clock::unix_ms(clock.now()));
    let theirs = time(&now).unwrap_or(ours);
    Ok(i64::try_from(i128::from(ours) - i128::from(theirs)).unwrap_or(i64::MAX))
}

async fn access(redis: &Redis) -> Access {
    let mut whoami = redis::cmd("ACL");
    whoami.arg("WHOAMI");
    let user: String = match redis.query(&whoami).await {
        Ok(user) => user,
        Err(fault) if fault.class() == RedisClass::NoPerm => return Access::Restricted,
        Err(_) => return Access::Unknown,
    };
    let mut getuser = redis::cmd("ACL");
    getuser.arg("GETUSER").arg(&user);
    match redis.query::<Reply>(&getuser).await {
        Ok(reply) if is_unlimited(&reply) => Access::Everything(super::hostile::bounded(&user)),
        Ok(_) => Access::Limited(super::hostile::bounded(&user)),
        Err(fault) if fault.class() == RedisClass::NoPerm => Access::Restricted,
        Err(_) => Access::Unknown,
    }
}

/// Whether the reply to `ACL GETUSER` says `+@all` and `~*`.
fn is_unlimited(reply: &Reply) -> bool {
    let field = |name: &str| match reply {
        Reply::Map(pairs) => pairs.iter().find(|(key, _)| text(key) == name).map(|(_, value)| value),
        Reply::Array(flat) => flat.chunks(2).find(|pair| text(&pair[0]) == name).and_then(|pair| pair.get(1)),
        _ => None,
    };
    let has =
        |name: &str, word: &str| field(name).is_some_and(|value| text(value).split(' ').any(|w| w == word));
    let narrowed = field("commands").is_some_and(|value| text(value).contains('-'));
    has("commands", "+@all") && !narrowed && (has("keys", "~*") || has("keys", "%RW~*"))
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::SimpleString(text) | Reply::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_of_itself_is_read() {
        let info = "# Server\r\nredis_version:7.0.15\r\n# Persistence\r\naof_enabled:1\r\nrdb_last_bgsave_status:ok\r\n\
                    aof_last_write_status:err\r\n# Memory\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\n";
        let read = ServerReport::of_info(info);
        assert_eq!((read.product, read.version.as_str(), read.aof), ("Redis", "7.0.15", Some(true)));
        assert!(read.persistence_error.as_ref().unwrap().contains("last write"), "{read:?}");
        assert_eq!((read.maxmemory, read.policy.as_deref()), (100, Some("noeviction")));
        assert_eq!(ServerReport::of_info(""), ServerReport { product: "Redis", ..ServerReport::default() });
    }

    #[test]
    fn the_oldest_supported_versions_are_known() {
        for (info, good) in [
            ("redis_version:6.2.14", false),
            ("redis_version:7.0.0", true),
            ("redis_version:8.2.1", true),
            ("redis_version:7.2.4\nvalkey_version:7.2.5", true),
            ("redis_version:7.2.4\nvalkey_version:8.1.0", true),
            ("redis_version:7.2.4\nvalkey_version:7.1.9", false),
            ("redis_version:nonsense", false),
        ] {
            assert_eq!(ServerReport::of_info(info).is_supported(), good, "{info}");
        }
    }

    #[test]
    fn a_user_without_limits_is_told_apart() {
        let bulk = |text: &str| Reply::BulkString(text.as_bytes().to_vec());
        let user = |commands: &str, keys: &str| {
            Reply::Map(vec![(bulk("commands"), bulk(commands)), (bulk("keys"), bulk(keys))])
        };
        assert!(is_unlimited(&user("+@all", "~*")));
        for limited in [
            user("+@all", "~darkmux:*"),
            user("+@all -@dangerous", "~*"),
            user("-@all +@read", "~*"),
            Reply::Nil,
        ] {
            assert!(!is_unlimited(&limited), "{limited:?}");
        }
    }
}
