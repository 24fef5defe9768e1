//! The fleet's flow: one Redis stream that every machine ships its records to.
//!
//! An entry is `schema`, `record`, `log`, `pos`: the record's line, and where it stands in whose files. Those of
//! darkmux 1.9 have no `log` and no `pos`. Within one log positions grow along the stream, and each stands in it
//! once, because shipping compares with the mark (`<stream>:hwm`) in the same script.
//!
//! What this machine wrote is read from its files and never from here, so that the two have nothing in common
//! and their union needs no comparing. Everything that comes from Redis is bounded and checked: an entry is a
//! JSON object of at most 1 MiB, or it is passed over.
//!
//! Not here: sending (`flow::ship`), and who is served (`serve::stream`).

mod day;
mod days;
mod entry;
mod range;
mod seen;
mod status;
mod stream;
mod tail;
mod twins;
mod union;

pub use day::{DayError, Foreign, RECORDS_MAX, Timed};
pub use entry::{Entry, Origin};
pub use range::{Catch, Page};
pub use seen::Seen;
pub use status::{RedisStatus, probe};
pub use stream::StreamInfo;
pub use tail::{Batch, Missed, SharedTail};
pub use twins::{Twins, Way};
pub use union::{Survey, Union, survey};

use crate::config::{Config, ConfigError};
use crate::store::Redis;

/// The fleet's flow, as seen by one machine. Clones share its connection.
#[derive(Debug, Clone)]
pub struct SharedFlow {
    /// The connection.
    pub redis: Redis,
    /// Name of the stream.
    pub stream: String,
    /// Entries kept in it, about; `None` keeps all.
    pub maxlen: Option<u64>,
    /// The id of this machine's own records there.
    pub log: String,
}

impl SharedFlow {
    /// The flow that the configuration names; `None` for a machine that works alone. Connects to nothing yet.
    pub fn of(config: &Config) -> Result<Option<Self>, ConfigError> {
        let Some(redis) = config.redis()? else { return Ok(None) };
        Self::over(config, Redis::new(redis.target))
    }

    /// As [`of`](Self::of), over a connection that is there already.
    pub fn over(config: &Config, connection: Redis) -> Result<Option<Self>, ConfigError> {
        let Some(redis) = config.redis()? else { return Ok(None) };
        Ok(Some(Self {
            redis: connection,
            stream: redis.stream,
            maxlen: redis.maxlen,
            log: config.identity()?.uid.to_string(),
        }))
    }

    /// The hash that says how far each machine's records are shipped.
    pub fn marks(&self) -> String {
        format!("{}:hwm", self.stream)
    }
}
