//! What can go wrong with Redis, as classes that callers act on and people can mend.

use std::fmt;

use redis::{ErrorKind, RedisError};

use crate::util::visible_line;

/// Longest text of a server's own words in an error, in characters.
const DETAIL_MAX: usize = 200;

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisClass {
    /// Nothing answers at the address, or the connection broke.
    Unreachable,
    /// It took the connection and did not answer in time.
    Silent,
    /// `NOAUTH`, `WRONGPASS`: the password is missing or wrong.
    Auth,
    /// `NOPERM`: the user may not do this.
    NoPerm,
    /// `LOADING`: it reads its data after a start.
    Loading,
    /// `OOM`: it is at its `maxmemory`.
    Oom,
    /// `MISCONF`: it cannot write its data to its disk.
    MisConf,
    /// `READONLY`, `MASTERDOWN`: it is a replica.
    ReadOnly,
    /// `BUSY`: a script runs for too long.
    Busy,
    /// `NOGROUP`: the consumer group is gone.
    NoGroup,
    /// A key holds another type, or a reply has another shape: something else uses our keys.
    Foreign,
    /// A script of ours failed at what it found in the keys.
    Script,
    /// What answers there does not speak Redis' protocol.
    NoRedis,
    /// The password's file or command, the CA file, or the URL cannot be used.
    Config,
    /// Anything else.
    Other,
}

impl RedisClass {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "start it on its machine (where that is the hub: darkmux hub up), or mend redis.url"
            }
            Self::Silent => "its machine may sleep or the network may be cut; it is tried again",
            Self::Auth => {
                "darkmux config set redis.password_file FILE, with a file of mode 0600 that holds the password"
            }
            Self::NoPerm => "give its user the rights of docs/OPERATIONS.md, \"Redis\"",
            Self::Loading => "it reads its data after a start; wait for it",
            Self::Oom => "raise its maxmemory, or make room",
            Self::MisConf => "its disk is full or not writable; make room there",
            Self::ReadOnly => "it is a replica; name its master, or its Sentinels",
            Self::Busy => "a script of somebody blocks it: SCRIPT KILL ends that",
            Self::NoGroup => "the group is made again by itself; try again",
            Self::Foreign => "something else uses the keys `darkmux:*`; give darkmux a database of its own",
            Self::Script => "somebody changed a key of `darkmux:*`; mend or delete it",
            Self::NoRedis => "mend host and port of redis.url, or stop what has taken the port",
            Self::Config => "mend the setting; `darkmux config list --origin` shows where it comes from",
            Self::Other => "see `darkmux doctor`",
        }
    }

    /// Whether the same request may work later without anybody's doing.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Silent | Self::Loading | Self::ReadOnly | Self::Busy | Self::NoGroup
        )
    }

    /// Whether the connection must be replaced before the next request.
    pub(super) fn breaks_connection(self) -> bool {
        matches!(self, Self::Unreachable | Self::Silent | Self::ReadOnly | Self::Auth)
    }
}

/// A failed request to Redis. Its text names the server without a password, and ends with what to do.
#[derive(Debug, Clone)]
pub struct RedisFault {
    class: RedisClass,
    server: String,
    detail: String,
}

impl RedisFault {
    pub(crate) fn new(class: RedisClass, server: &str, detail: impl fmt::Display) -> Self {
        let detail: String = visible_line(&detail.to_string()).chars().take(DETAIL_MAX).collect();
        Self { class, server: server.to_owned(), detail }
    }

    pub(super) fn of(error: &RedisError, server: &str) -> Self {
        // Of several commands the first that failed.
        let server_said = error.clone().into_server_errors().and_then(|said| said.first().cloned());
        let first = server_said.map(|(_, said)| RedisError::from(said));
        let error = first.as_ref().unwrap_or(error);
        let class = classify(error);
        let detail = match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => format!("{code} {detail}"),
            (Some(code), None) => code.to_owned(),
            _ => error.to_string(),
        };
        Self::new(class, server, detail)
    }

    /// What kind of failure it was.
    pub fn class(&self) -> RedisClass {
        self.class
    }

    /// Whether no password was given at all.
    pub fn lacks_password(&self) -> bool {
        self.detail.starts_with("NOAUTH")
    }

    /// What the server or the system said.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for RedisFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, server, detail } = self;
        match class {
            RedisClass::Unreachable => write!(f, "Redis at {server} can't be reached ({detail})")?,
            RedisClass::Silent => write!(f, "Redis at {server} does not answer")?,
            RedisClass::NoRedis => write!(f, "what answers at {server} is no Redis")?,
            RedisClass::Auth if self.lacks_password() => write!(f, "Redis at {server} asks for a password")?,
            _ => write!(f, "Redis at {server} refused: {detail}")?,
        }
        write!(f, "; {}", class.remedy())
    }
}

impl std::error::Error for RedisFault {}

fn classify(error: &RedisError) -> RedisClass {
    if error.is_timeout() {
        return RedisClass::Silent;
    }
    match error.code() {
        Some("NOAUTH" | "WRONGPASS") => return RedisClass::Auth,
        Some("NOPERM") => return RedisClass::NoPerm,
        Some("LOADING") => return RedisClass::Loading,
        Some("OOM") => return RedisClass::Oom,
        Some("MISCONF") => return RedisClass::MisConf,
        Some("READONLY" | "MASTERDOWN" | "UNBLOCKED" | "NOREPLICAS") => return RedisClass::ReadOnly,
        Some("BUSY") => return RedisClass::Busy,
        Some("NOGROUP") => return RedisClass::NoGroup,
        Some("WRONGTYPE") => return RedisClass::Foreign,
        _ => {}
    }
    // A script's error carries the cause in its words.
    let words = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::Io | ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::EmptySentinelList => {
            RedisClass::Unreachable
        }
        // The same kind is an answer of another shape; its own parser says so.
        ErrorKind::Parse if error.to_string().contains("Parse error at") => RedisClass::NoRedis,
        ErrorKind::AuthenticationFailed => RedisClass::Auth,
        ErrorKind::InvalidClientConfig => RedisClass::Config,
        ErrorKind::UnexpectedReturnType => RedisClass::Foreign,
        _ if words.contains("OOM") => RedisClass::Oom,
        _ if words.contains("WRONGTYPE") => RedisClass::Foreign,
        _ if words.contains("NOGROUP") => RedisClass::NoGroup,
        _ if words.contains("MISCONF") => RedisClass::MisConf,
        _ if words.contains("ACL failure") => RedisClass::NoPerm,
        _ if words.contains("Script killed") => RedisClass::Busy,
        _ if error.is_connection_dropped() => RedisClass::Unreachable,
        _ if words.contains("user_script") || words.contains("script:") => RedisClass::Script,
        _ => RedisClass::Other,
    }
}
