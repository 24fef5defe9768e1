//! What an attempt is remembered by while it runs, so that the next one goes on from there on any machine: one key a
//! job, gone when the job ends or an attempt fails.
//!
//! Invariants: only the attempt that runs writes it; it is bounded before it is sent and before it is inflated. In a
//! fleet with a key it is sealed by that: an agent acts on what it says, so it must not come from whoever writes to
//! Redis; that nobody there can read it is for nothing besides.
//!
//! Not here: what it says (`agent`) and when it is written (`runner`).

use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::queue::strange;
use super::sign::FleetKey;
use super::{Claim, Queue, WorkError};
use crate::model::SessionId;
use crate::wire::CHANGES_MAX;

/// Largest conversation as Redis has it, in bytes; and with what was changed so far.
const TALK_MAX: usize = 512 * 1024;
const SENT_MAX: usize = TALK_MAX + CHANGES_MAX;

/// Largest one as it is, in bytes.
pub const CHECKPOINT_MAX: u64 = 16 * 1024 * 1024;

/// How long it stays when nobody ends its job.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// What begins one that anybody can read, and one that is sealed.
const PLAIN: u8 = b'3';
const SEALED: u8 = b'4';

/// Bytes before what is compressed: the kind and the attempt.
const HEAD: usize = 5;

/// Bytes of the conversation's length, which begins what is compressed.
const LENGTH: usize = 4;

/// Most that one is inflated to.
const INFLATED_MAX: u64 = CHECKPOINT_MAX + 2 * CHANGES_MAX as u64;

/// What became of a checkpoint that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// It is kept.
    Kept,
    /// It is kept without what was changed so far, which is too large.
    WithoutChanges,
    /// The attempt does not hold the job any longer.
    Fenced,
    /// It is too large; the one before it stays.
    TooLarge,
}

/// A checkpoint that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// The attempt that it is of.
    pub attempt: u32,
    /// The conversation, as it was given.
    pub bytes: Vec<u8>,
    /// What had been changed by then, as it was given; `None` where that is not known.
    pub changes: Option<Vec<u8>>,
}

impl Queue {
    /// Keeps the checkpoint of a claimed job in the place of an earlier one: the conversation, and what was changed so far
    /// where that is known.
    pub async fn keep_checkpoint(
        &self,
        claim: &Claim,
        bytes: Vec<u8>,
        changes: Option<Vec<u8>>,
    ) -> Result<Keeping, WorkError> {
        let (key, id, attempt) = (self.key.clone(), claim.id.clone(), claim.attempt);
        let close = move || {
            let whole = close(key.as_ref(), (&id, attempt), (&bytes, changes.as_deref()))?;
            if whole.len() <= if changes.is_some() { SENT_MAX } else { TALK_MAX } {
                return Ok((Keeping::Kept, whole));
            }
            let talk = close(key.as_ref(), (&id, attempt), (&bytes, None))?;
            let fits = talk.len() <= TALK_MAX;
            Ok((if fits { Keeping::WithoutChanges } else { Keeping::TooLarge }, talk))
        };
        let closed = tokio::task::spawn_blocking(close).await;
        let closed = closed.unwrap_or_else(|error| Err(error.to_string()));
        let (kept, closed) = closed.map_err(WorkError::Invalid)?;
        if kept == Keeping::TooLarge {
            return Ok(kept);
        }
        let mut call = self.scripts.checkpoint.prepare_invoke();
        call.arg(claim.id.as_str()).arg(&claim.token).arg(closed).arg(KEPT.as_secs());
        let answer = self.send(&call).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ok"] => Ok(kept),
            ["fenced"] => Ok(Keeping::Fenced),
            _ => Err(strange(&answer)),
        }
    }

    /// The newest checkpoint of a job. One that was not made by a machine of this fleet is an error.
    pub async fn checkpoint(&self, id: &SessionId) -> Result<Option<KeptCheckpoint>, WorkError> {
        let key = format!("darkmux:checkpoint:{id}");
        let length: usize = self.redis.query(redis::cmd("STRLEN").arg(&key)).await?;
        if length > SENT_MAX {
            return Err(WorkError::Invalid("its checkpoint is larger than any that is sent".to_owned()));
        }
        let closed: Option<Vec<u8>> = self.redis.query(redis::cmd("GET").arg(&key)).await?;
        let Some(closed) = closed else { return Ok(None) };
        let (key, id) = (self.key.clone(), id.clone());
        let opened = tokio::task::spawn_blocking(move || open(key.as_ref(), &id, &closed)).await;
        opened.unwrap_or_else(|error| Err(error.to_string())).map(Some).map_err(WorkError::Invalid)
    }
}

/// Compresses a checkpoint and seals it, where the fleet has a key.
fn close(
    key: Option<&FleetKey>,
    (id, attempt): (&SessionId, u32),
    (talk, changes): (&[u8], Option<&[u8]>),
) -> Result<Vec<u8>, String> {
    let length = u32::try_from(talk.len()).map_err(|_| "it is too large".to_owned())?;
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
    let parts = [&length.to_le_bytes()[..], talk, changes.unwrap_or_default()];
    let written = parts.iter().try_for_each(|part| deflate.write_all(part));
    let mut small = written.and_then(|()| deflate.finish()).map_err(|e| e.to_string())?;
    let mut closed = vec![if key.is_some() { SEALED } else { PLAIN }];
    closed.extend(attempt.to_le_bytes());
    if let Some(key) = key {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        let about = about(id, &closed);
        cipher(key)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut small)
            .map_err(|_| "it cannot be sealed".to_owned())?;
        closed.extend(nonce);
    }
    closed.extend(small);
    Ok(closed)
}

/// The checkpoint in what [`close`] made of it.
fn open(key: Option<&FleetKey>, id: &SessionId, closed: &[u8]) -> Result<KeptCheckpoint, String> {
    let garbage = || "its checkpoint is none of this version".to_owned();
    let (head, rest) = closed.split_at_checked(HEAD).ok_or_else(garbage)?;
    let attempt = u32::from_le_bytes(head[1..].try_into().map_err(|_| garbage())?);
    let small = match (head[0], key) {
        (PLAIN, None) => rest.to_vec(),
        (PLAIN, Some(_)) => {
            return Err("its checkpoint is not sealed, and this machine has a fleet key".into());
        }
        (SEALED, None) => return Err("its checkpoint is sealed, and this machine has no fleet key".into()),
        (SEALED, Some(key)) => {
            let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or_else(garbage)?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| garbage())?;
            let mut small = sealed.to_vec();
            let opened = cipher(key)?.open_in_place(nonce, Aad::from(about(id, head)), &mut small);
            let length = opened
                .map_err(|_| "its checkpoint was not sealed with this machine's fleet key".to_owned())?
                .len();
            small.truncate(length);
            small
        }
        _ => return Err(garbage()),
    };
    let mut bytes = Vec::new();
    let inflate = DeflateDecoder::new(small.as_slice()).take(INFLATED_MAX + 1).read_to_end(&mut bytes);
    inflate.map_err(|_| garbage())?;
    if bytes.len() as u64 > INFLATED_MAX {
        return Err(format!("its checkpoint has more than {INFLATED_MAX} bytes"));
    }
    let (length, parts) = bytes.split_at_checked(LENGTH).ok_or_else(garbage)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| garbage())?);
    let length = usize::try_from(length).map_err(|_| garbage())?;
    let (talk, changes) = parts.split_at_checked(length).ok_or_else(garbage)?;
    let changes = (!changes.is_empty()).then(|| changes.to_vec());
    Ok(KeptCheckpoint { attempt, bytes: talk.to_vec(), changes })
}

/// What is sealed along: a checkpoint counts for its job and its attempt alone.
fn about(id: &SessionId, head: &[u8]) -> Vec<u8> {
    [id.as_str().as_bytes(), &[0], head].concat()
}

fn cipher(key: &FleetKey) -> Result<LessSafeKey, String> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key.derived("darkmux checkpoint v1"));
    key.map(LessSafeKey::new).map_err(|_| "the fleet key is none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SessionId {
        SessionId::new(text).unwrap()
    }

    fn key(digit: &str) -> FleetKey {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        FleetKey::keep(&path, &digit.repeat(64)).unwrap();
        FleetKey::read(&path).unwrap().unwrap()
    }

    #[test]
    fn a_checkpoint_opens_for_its_job_with_the_same_key_alone() {
        let text = "a conversation, a conversation".repeat(50).into_bytes();
        let (ours, other) = (key("a"), key("b"));
        let changes = Some(&b"what was changed"[..]);
        let plain = close(None, (&id("job"), 7), (&text, None)).unwrap();
        let opened = open(None, &id("job"), &plain).unwrap();
        assert_eq!((opened.attempt, &opened.bytes, &opened.changes), (7, &text, &None));
        assert!(plain.len() < text.len() / 4);
        let sealed = close(Some(&ours), (&id("job"), 7), (&text, changes)).unwrap();
        let opened = open(Some(&ours), &id("job"), &sealed).unwrap();
        assert_eq!((opened.attempt, &opened.bytes, opened.changes.as_deref()), (7, &text, changes));
        let again = close(Some(&ours), (&id("job"), 7), (&text, changes)).unwrap();
        assert_ne!(sealed, again, "each has a nonce of its own");
        let refused =
            |key: Option<&FleetKey>, job: &str, bytes: &[u8]| open(key, &id(job), bytes).unwrap_err();
        assert!(refused(Some(&ours), "job", &plain).contains("not sealed"));
        assert!(refused(None, "job", &sealed).contains("no fleet key"));
        assert!(refused(Some(&other), "job", &sealed).contains("not sealed with"));
        assert!(refused(Some(&ours), "other", &sealed).contains("not sealed with"));
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert!(open(Some(&ours), &id("job"), &other).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_is_no_checkpoint_or_would_fill_memory_is_refused() {
        let deflated = |bytes: &[u8]| {
            let mut deflate = DeflateEncoder::new(b"3\0\0\0\0".to_vec(), Compression::fast());
            deflate.write_all(bytes).unwrap();
            deflate.finish().unwrap()
        };
        assert!(open(None, &id("job"), &deflated(b"\x02\0\0\0{}")).is_ok());
        let (short, cut) = (deflated(b"\x02\0"), deflated(b"\xff\xff\xff\xff{}"));
        for bytes in [&b""[..], b"3", b"1\0\0\0\0x", b"3\0\0\0\0\xff\xff\xff", &short, &cut] {
            assert!(open(None, &id("job"), bytes).is_err(), "{bytes:?}");
        }
        let zeros = vec![0; usize::try_from(INFLATED_MAX).unwrap() + 1];
        let bomb = close(None, (&id("job"), 1), (&zeros, None)).unwrap();
        assert!(bomb.len() < SENT_MAX);
        assert!(open(None, &id("job"), &bomb).unwrap_err().contains("more than"));
    }
}
