//! How the shipper is doing, for `flow status`, `/flow-status` and `doctor`.

use serde::{Deserialize, Serialize};

use crate::store::{RedisClass, RedisFault};

/// Why nothing is shipped right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipError {
    /// What kind of failure, such as `unreachable`; stable.
    pub class: String,
    /// In words, with what to do.
    pub message: String,
}

impl ShipError {
    pub(super) fn of(fault: &RedisFault) -> Self {
        Self { class: word(fault.class()).to_owned(), message: fault.to_string() }
    }

    pub(super) fn new(class: &str, message: impl Into<String>) -> Self {
        Self { class: class.to_owned(), message: message.into() }
    }
}

fn word(class: RedisClass) -> &'static str {
    match class {
        RedisClass::Unreachable => "unreachable",
        RedisClass::Silent => "silent",
        RedisClass::Auth => "auth",
        RedisClass::NoPerm => "no_perm",
        RedisClass::Loading => "loading",
        RedisClass::Oom => "oom",
        RedisClass::MisConf => "misconf",
        RedisClass::ReadOnly => "read_only",
        RedisClass::Busy => "busy",
        RedisClass::NoGroup => "no_group",
        RedisClass::Foreign => "foreign",
        RedisClass::Script => "script",
        RedisClass::NoRedis => "no_redis",
        RedisClass::Config => "config",
        RedisClass::Other => "other",
    }
}

/// The shipper's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipStatus {
    /// Whether a daemon runs that ships.
    pub running: bool,
    /// Bytes of the day files that are not shipped yet.
    pub lag_bytes: u64,
    /// Records shipped since the daemon started.
    pub shipped: u64,
    /// Lines passed over because they are no record.
    pub bad: u64,
    /// RFC 3339; when a record was shipped last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_shipped_at: Option<String>,
    /// Up to where Redis has this machine's records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// What Redis lost, or never had, is being sent.
    pub backfilling: bool,
    /// Why nothing is shipped right now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ShipError>,
}
