//! One-time codes: what `darkmux open` gives a browser to sign in with. They live in memory only.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::caller::Scope;
use crate::util::Secret;

/// How long a code can be used.
pub const CODE_LIFE: Duration = Duration::from_mins(1);

/// Most codes that wait to be used; one more takes the place of the oldest.
const OPEN_MAX: usize = 16;

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The daemon has no token a browser could be signed in with.
    #[error("the daemon has no valid token; `darkmux auth rotate` makes one")]
    NoToken,
    /// The system gave no random bits.
    #[error("the system gave no random bits: {0}")]
    Random(#[from] std::io::Error),
}

#[derive(Debug)]
struct Open {
    code: blake3::Hash,
    key: blake3::Hash,
    scope: Scope,
    until: Instant,
}

/// The codes that wait to be used.
#[derive(Debug, Default)]
pub struct Codes(Mutex<Vec<Open>>);

impl Codes {
    /// Makes a code that stands for this key.
    pub fn make(&self, key: blake3::Hash, scope: Scope, now: Instant) -> Result<String, CodeError> {
        let code = Secret::generate()?.expose().to_owned();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|one| one.until > now);
        if open.len() >= OPEN_MAX {
            open.remove(0);
        }
        open.push(Open { code: blake3::hash(code.as_bytes()), key, scope, until: now + CODE_LIFE });
        Ok(code)
    }

    /// Uses a code up.
    pub fn take(&self, code: &str, now: Instant) -> Option<(blake3::Hash, Scope)> {
        let given = blake3::hash(code.as_bytes());
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|one| one.until > now);
        let at = open.iter().position(|one| one.code == given)?;
        let one = open.remove(at);
        Some((one.key, one.scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_used_once_within_a_minute_and_few_wait() {
        let (codes, now, key) = (Codes::default(), Instant::now(), blake3::hash(b"k"));
        let code = codes.make(key, Scope::Watch, now).unwrap();
        assert_eq!(code.len(), 64);
        assert_eq!(codes.take("other", now), None);
        assert_eq!(codes.take(&code, now), Some((key, Scope::Watch)));
        assert_eq!(codes.take(&code, now), None);
        let code = codes.make(key, Scope::Act, now).unwrap();
        assert_eq!(codes.take(&code, now + CODE_LIFE), None);
        let many: Vec<_> = (0..=OPEN_MAX).map(|_| codes.make(key, Scope::Act, now).unwrap()).collect();
        assert_eq!(codes.take(&many[0], now), None, "it made room");
        assert!(many[1..].iter().all(|code| codes.take(code, now).is_some()));
    }
}
