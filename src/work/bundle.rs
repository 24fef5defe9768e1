//! Bundles of repositories in Redis: a key of its own for each, named by a job's signed spec or its result, written and
//! read in pieces so that nobody's heartbeat waits for them.
//!
//! What is larger than [`BUNDLE_MAX`] is never put here: runners that are peers of the caller's machine get it from there
//! (`runner`).

use std::time::Duration;

use super::{Queue, WorkError};
use crate::model::SessionId;
use crate::store::{RedisClass, RedisFault};
use crate::wire::{BUNDLE_MAX, BUNDLE_PREFIX, Bundle, WorkspaceResult};

/// Bytes sent or asked for at once.
const PIECE: usize = 256 * 1024;

/// How long a bundle may be on its way, all of it: over half a megabit a second it takes minutes.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long a bundle stays after its job ended well, or was cancelled.
const AFTER_END: Duration = Duration::from_hours(1);

/// Digits of the hash in a key: two bundles of a job have two keys.
const KEY_DIGITS: usize = 16;

impl Queue {
    /// Puts a bundle of this job into Redis for `kept`; what it builds upon is told by `needs` and `shallow`.
    pub async fn put_bundle(
        &self,
        id: &SessionId,
        bytes: &[u8],
        (needs, shallow): (Vec<String>, Vec<String>),
        kept: Duration,
    ) -> Result<Bundle, WorkError> {
        if bytes.len() > BUNDLE_MAX {
            return Err(WorkError::Invalid(format!("the bundle has more than {BUNDLE_MAX} bytes")));
        }
        let blake3 = blake3::hash(bytes).to_hex().to_string();
        let key = format!("{BUNDLE_PREFIX}{id}:{}", &blake3[..KEY_DIGITS]);
        let send = async {
            for (number, piece) in bytes.chunks(PIECE).enumerate() {
                let mut commands = redis::pipe();
                if number == 0 {
                    commands.cmd("DEL").arg(&key).ignore();
                }
                commands.cmd("SETRANGE").arg(&key).arg(number * PIECE).arg(piece).ignore();
                commands.cmd("EXPIRE").arg(&key).arg(kept.as_secs().max(1)).ignore();
                self.redis.pipeline::<()>(&commands).await?;
            }
            Ok(())
        };
        self.in_time(send).await?;
        Ok(Bundle { key, bytes: bytes.len() as u64, blake3, needs, shallow, at: None })
    }

    /// The bytes of a bundle, which are as long as it says and have the hash that it says.
    pub async fn bundle(&self, bundle: &Bundle) -> Result<Vec<u8>, WorkError> {
        bundle.check().map_err(WorkError::Invalid)?;
        let gone = || {
            WorkError::Invalid(
                "its bundle is not in Redis any more, or is another one; dispatch it again".to_owned(),
            )
        };
        let wanted = usize::try_from(bundle.bytes).ok().filter(|_| bundle.is_in_redis()).ok_or_else(gone)?;
        let ask = async {
            let there: usize = self.redis.query(redis::cmd("STRLEN").arg(&bundle.key)).await?;
            if there != wanted {
                return Err(gone());
            }
            let mut bytes = Vec::with_capacity(wanted);
            while bytes.len() < wanted {
                let mut range = redis::cmd("GETRANGE");
                range.arg(&bundle.key).arg(bytes.len()).arg(bytes.len() + PIECE - 1);
                let piece: Vec<u8> = self.redis.query(&range).await?;
                if piece.is_empty() || piece.len() > PIECE {
                    return Err(gone());
                }
                bytes.extend(piece);
            }
            Ok(bytes)
        };
        let bytes = self.in_time(ask).await?;
        let good = bytes.len() == wanted && blake3::hash(&bytes).to_hex().as_str() == bundle.blake3;
        if good { Ok(bytes) } else { Err(gone()) }
    }

    /// Lets a bundle go that no job needs.
    pub async fn drop_bundle(&self, bundle: &Bundle) -> Result<(), WorkError> {
        bundle.check().map_err(WorkError::Invalid)?;
        if !bundle.is_in_redis() {
            return Ok(());
        }
        Ok(self.redis.query(redis::cmd("UNLINK").arg(&bundle.key)).await?)
    }

    /// Shortens the life of a bundle whose job has ended; a job that is tried again at once still finds it.
    pub async fn age_bundle(&self, bundle: &Bundle) -> Result<(), WorkError> {
        bundle.check().map_err(WorkError::Invalid)?;
        if !bundle.is_in_redis() {
            return Ok(());
        }
        Ok(self.redis.query(redis::cmd("EXPIRE").arg(&bundle.key).arg(AFTER_END.as_secs())).await?)
    }

    /// Signs what a job made of its workspace, where the fleet has a key.
    pub fn sign_workspace(&self, id: &SessionId, result: &mut WorkspaceResult) -> Result<(), WorkError> {
        result.mac = None;
        let text = super::claim::json(result)?;
        result.mac = self.key.as_ref().map(|key| key.mac(&subject(id), &text).to_hex().to_string());
        Ok(())
    }

    /// Whether a machine of the fleet wrote this result for this job; always, in a fleet without a key.
    pub fn check_workspace(&self, id: &SessionId, result: &WorkspaceResult) -> Result<(), WorkError> {
        let Some(key) = &self.key else { return Ok(()) };
        let text = super::claim::json(&WorkspaceResult { mac: None, ..result.clone() })?;
        let given = result.mac.as_deref().and_then(|mac| blake3::Hash::from_hex(mac).ok());
        if given == Some(key.mac(&subject(id), &text)) {
            return Ok(());
        }
        let words = "what came back is not signed by a machine that has the fleet key; it is not taken in";
        Err(WorkError::Invalid(words.to_owned()))
    }
}

impl Queue {
    /// What takes longer counts as a Redis that does not answer.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, WorkError>>) -> Result<T, WorkError> {
        let late = || {
            let words = format!("the bundle was on its way for {} s", PATIENCE.as_secs());
            RedisFault::new(RedisClass::Silent, self.redis.shown(), words)
        };
        tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late().into()))
    }
}

/// Keeps these signatures apart from those of jobs, whose record is JSON.
fn subject(id: &SessionId) -> String {
    format!("workspace of {id}")
}
