//! What can go wrong with the queue.

use crate::model::SessionId;
use crate::store::{RedisClass, RedisFault};

/// Why the queue did not do it. Each message says what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WorkError {
    /// Redis refused, or is not there.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// It holds as many jobs as it may.
    #[error("the queue is full ({0} jobs); wait, cancel some (`darkmux job ls`), or raise queue.max")]
    Full(u64),
    /// There is no such job.
    #[error("there is no job `{0}`; `darkmux job ls --all` lists them")]
    Unknown(SessionId),
    /// A value does not fit.
    #[error("{0}")]
    Invalid(String),
    /// Redis answered what no version of ours answers.
    #[error("the queue answered `{0}`, which this version does not know; are all machines of one version?")]
    Strange(String),
}

impl WorkError {
    /// Whether it stays so until somebody mends the data: a key of this one job, say, has another
    /// type, or a field of it is no number.
    pub fn is_of_the_data(&self) -> bool {
        match self {
            Self::Redis(fault) => matches!(fault.class(), RedisClass::Foreign | RedisClass::Script),
            Self::Invalid(_) => true,
            Self::Full(_) | Self::Unknown(_) | Self::Strange(_) => false,
        }
    }
}
