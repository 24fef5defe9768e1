//! The exchange under the code: X25519 with keys that live for one exchange, bound by the code (the pattern of Noise's
//! `NNpsk0`), ChaCha20-Poly1305 over each message.
//!
//! | message | bytes |
//! |---|---|
//! | hello | `1`, id of the invitation (16), the joiner's public key (32), sealed text |
//! | its answer | the daemon's public key (32), sealed text |
//! | join | `2`, id, the same public key, sealed text |
//! | its answer | sealed text |
//!
//! Invariants: each key seals one message, so its nonce is fixed; the hello is sealed by the code alone and holds nothing secret; all
//! else needs the code *and* a private key that is gone after the exchange. What stands before a sealed text is authenticated with it.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::SystemRandom;

use crate::util::Secret;

/// Largest message, in bytes.
pub const MESSAGE_MAX: usize = 16 * 1024;

/// Length of keys, private, public and shared.
const KEY: usize = 32;

/// Length of the id of an invitation.
const ID: usize = 16;

/// Length of what stands before the sealed text of a request.
const HEAD: usize = 1 + ID + KEY;

/// Why a message can't be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was made with another code, or changed on its way.
    #[error("the message was not made with this code, or was changed on its way")]
    Forged,
    /// It is too short, too long, or of another kind.
    #[error("this is no message of a join")]
    Shape,
    /// The system gave no random bits.
    #[error("the system gave no random bits")]
    Random,
}

/// The public name of an invitation: tells nothing of its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InviteId([u8; ID]);

impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a code becomes on both sides.
#[derive(Clone)]
pub struct Psk([u8; KEY]);

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(***)")
    }
}

impl Psk {
    /// Of the code's secret part.
    pub(super) fn of(secret: &Secret) -> Self {
        Self(blake3::derive_key("darkmux join v1 code", secret.expose().as_bytes()))
    }

    /// The name of the invitation.
    pub fn id(&self) -> InviteId {
        let mut id = [0; ID];
        id.copy_from_slice(&blake3::derive_key("darkmux join v1 id", &self.0)[..ID]);
        InviteId(id)
    }

    fn hello(&self, public: &[u8; KEY]) -> [u8; KEY] {
        blake3::derive_key("darkmux join v1 hello", &[self.0, *public].concat())
    }

    fn session(&self, shared: &[u8], joiner: &[u8; KEY], inviter: &[u8; KEY]) -> Session {
        let all = [&self.0[..], shared, joiner, inviter].concat();
        let key = |context| blake3::derive_key(context, &all);
        Session {
            greeting: key("darkmux join v1 greeting"),
            join: key("darkmux join v1 join"),
            answer: key("darkmux join v1 answer"),
        }
    }
}

/// The keys of one exchange.
#[derive(Clone)]
pub struct Session {
    greeting: [u8; KEY],
    join: [u8; KEY],
    answer: [u8; KEY],
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(***)")
    }
}

/// A request of either kind, not opened yet.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Whether it is a join, and no hello.
    pub is_join: bool,
    /// Whose code it was made with.
    pub id: InviteId,
    /// The joiner's public key, which names the exchange.
    pub public: [u8; KEY],
    before: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads what is not sealed.
    pub fn read(message: &'a [u8]) -> Result<Self, SealError> {
        if message.len() > MESSAGE_MAX {
            return Err(SealError::Shape);
        }
        let (head, sealed) = message.split_at_checked(HEAD).ok_or(SealError::Shape)?;
        let is_join = match head[0] {
            1 => false,
            2 => true,
            _ => return Err(SealError::Shape),
        };
        let (mut id, mut public) = ([0; ID], [0; KEY]);
        id.copy_from_slice(&head[1..=ID]);
        public.copy_from_slice(&head[1 + ID..]);
        Ok(Self { is_join, id: InviteId(id), public, before: head, sealed })
    }

    /// The text of a hello.
    pub fn open_hello(&self, psk: &Psk) -> Result<Vec<u8>, SealError> {
        open(&psk.hello(&self.public), self.before, self.sealed)
    }

    /// The text of a join.
    pub fn open_join(&self, session: &Session) -> Result<Vec<u8>, SealError> {
        open(&session.join, self.before, self.sealed)
    }
}

/// The daemon's answer to a hello, and the keys for the rest of the exchange.
pub fn reply(psk: &Psk, joiner: &[u8; KEY], text: &[u8]) -> Result<(Session, Vec<u8>), SealError> {
    let (private, public) = pair()?;
    let session = agree(psk, private, joiner, (joiner, &public))?;
    let mut answer = public.to_vec();
    answer.extend(seal(&session.greeting, &public, text)?);
    Ok((session, answer))
}

impl Session {
    /// The daemon's answer to a join.
    pub fn seal_answer(&self, text: &[u8]) -> Result<Vec<u8>, SealError> {
        seal(&self.answer, &[], text)
    }

    /// What the daemon answered to a join.
    pub fn open_answer(&self, answer: &[u8]) -> Result<Vec<u8>, SealError> {
        open(&self.answer, &[], answer)
    }
}

/// The joiner's side before the daemon has answered.
pub struct Joining {
    psk: Psk,
    private: EphemeralPrivateKey,
    public: [u8; KEY],
}

impl Joining {
    /// A new exchange, with a key of its own.
    pub fn begin(psk: Psk) -> Result<Self, SealError> {
        let (private, public) = pair()?;
        Ok(Self { psk, private, public })
    }

    fn head(psk: &Psk, kind: u8, public: &[u8; KEY]) -> Vec<u8> {
        [&[kind][..], &psk.id().0, public].concat()
    }

    /// The first message.
    pub fn hello(&self, text: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut message = Self::head(&self.psk, 1, &self.public);
        let sealed = seal(&self.psk.hello(&self.public), &message, text)?;
        message.extend(sealed);
        Ok(message)
    }

    /// Reads the daemon's answer; what it gives seals the second message.
    pub fn greeted(self, answer: &[u8]) -> Result<(Greeted, Vec<u8>), SealError> {
        let (head, sealed) = answer.split_at_checked(KEY).ok_or(SealError::Shape)?;
        let mut inviter = [0; KEY];
        inviter.copy_from_slice(head);
        let session = agree(&self.psk, self.private, &inviter, (&self.public, &inviter))?;
        let text = open(&session.greeting, &inviter, sealed)?;
        Ok((Greeted { head: Self::head(&self.psk, 2, &self.public), session }, text))
    }
}

/// The joiner's side after the daemon has answered.
#[derive(Debug)]
pub struct Greeted {
    head: Vec<u8>,
    session: Session,
}

impl Greeted {
    /// The second message.
    pub fn join(&self, text: &[u8]) -> Result<Vec<u8>, SealError> {
        let sealed = seal(&self.session.join, &self.head, text)?;
        Ok([self.head.clone(), sealed].concat())
    }

    /// What the daemon answered to it.
    pub fn open_answer(&self, answer: &[u8]) -> Result<Vec<u8>, SealError> {
        self.session.open_answer(answer)
    }
}

fn pair() -> Result<(EphemeralPrivateKey, [u8; KEY]), SealError> {
    let private =
        EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| SealError::Random)?;
    let public = private.compute_public_key().map_err(|_| SealError::Random)?;
    let public = public.as_ref().try_into().map_err(|_| SealError::Random)?;
    Ok((private, public))
}

/// `other` is the other side's public key; ring refuses those that give a shared key of zeros.
fn agree(
    psk: &Psk,
    private: EphemeralPrivateKey,
    other: &[u8; KEY],
    (joiner, inviter): (&[u8; KEY], &[u8; KEY]),
) -> Result<Session, SealError> {
    let other = UnparsedPublicKey::new(&X25519, other);
    agree_ephemeral(private, &other, |shared| psk.session(shared, joiner, inviter))
        .map_err(|_| SealError::Forged)
}

fn key(key: &[u8; KEY]) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).map_err(|_| SealError::Shape)
}

/// Each key is used for one message.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn seal(with: &[u8; KEY], head: &[u8], text: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut sealed = text.to_vec();
    let done = key(with)?.seal_in_place_append_tag(nonce(), Aad::from(head), &mut sealed);
    done.map_err(|_| SealError::Shape)?;
    if HEAD + sealed.len() > MESSAGE_MAX { Err(SealError::Shape) } else { Ok(sealed) }
}

fn open(with: &[u8; KEY], head: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut text = sealed.to_vec();
    let opened = key(with)?.open_in_place(nonce(), Aad::from(head), &mut text);
    let length = opened.map_err(|_| SealError::Forged)?.len();
    text.truncate(length);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn psk(text: &str) -> Psk {
        Psk::of(&Secret::new(text))
    }

    #[test]
    fn what_one_side_seals_the_other_opens() {
        let (here, there) = (psk("code"), psk("code"));
        let joining = Joining::begin(here.clone()).unwrap();
        let hello = joining.hello(b"who").unwrap();
        let head = Head::read(&hello).unwrap();
        assert!(!head.is_join && head.id == there.id());
        assert_eq!(head.open_hello(&there).unwrap(), b"who");
        let (session, answer) = reply(&there, &head.public, b"me").unwrap();
        let (greeted, text) = joining.greeted(&answer).unwrap();
        assert_eq!(text, b"me");
        let join = greeted.join(b"token").unwrap();
        let second = Head::read(&join).unwrap();
        assert!(second.is_join && second.public == head.public);
        assert_eq!(second.open_join(&session).unwrap(), b"token");
        let answer = session.seal_answer(b"key").unwrap();
        assert_eq!(greeted.open_answer(&answer).unwrap(), b"key");
        for message in [&hello, &join, &answer] {
            for secret in [&b"who"[..], b"token", b"key"] {
                assert!(!message.windows(secret.len()).any(|window| window == secret));
            }
        }
    }

    #[test]
    fn without_the_code_or_with_a_changed_bit_nothing_opens() {
        let joining = Joining::begin(psk("code")).unwrap();
        let hello = joining.hello(b"who").unwrap();
        assert_eq!(Head::read(&hello).unwrap().open_hello(&psk("other")), Err(SealError::Forged));
        for at in 1..hello.len() {
            let mut changed = hello.clone();
            changed[at] ^= 1;
            let head = Head::read(&changed).unwrap();
            assert_eq!(head.open_hello(&psk("code")), Err(SealError::Forged), "byte {at}");
        }
        // Somebody between the two answers with a key of their own.
        let public = Head::read(&hello).unwrap().public;
        let (_, answer) = reply(&psk("other"), &public, b"me").unwrap();
        assert_eq!(joining.greeted(&answer).unwrap_err(), SealError::Forged);
    }

    #[test]
    fn what_was_recorded_does_not_open_with_the_code_alone() {
        let code = psk("code");
        let joining = Joining::begin(code.clone()).unwrap();
        let hello = joining.hello(b"who").unwrap();
        let public = Head::read(&hello).unwrap().public;
        let (session, answer) = reply(&code, &public, b"me").unwrap();
        let (greeted, _) = joining.greeted(&answer).unwrap();
        let join = greeted.join(b"token").unwrap();
        // With the code, the public keys and all messages, but neither private key.
        let (guess, _) = reply(&code, &public, b"me").unwrap();
        let join = Head::read(&join).unwrap();
        assert_eq!(join.open_join(&guess), Err(SealError::Forged));
        assert!(join.open_join(&session).is_ok());
    }

    #[test]
    fn messages_of_no_shape_are_refused() {
        for bad in [vec![], vec![1; HEAD - 1], vec![3; HEAD + 16], vec![1; MESSAGE_MAX + 1]] {
            assert_eq!(Head::read(&bad).unwrap_err(), SealError::Shape);
        }
        let joining = Joining::begin(psk("code")).unwrap();
        assert_eq!(joining.hello(&vec![0; MESSAGE_MAX]), Err(SealError::Shape));
        // A public key of zeros would make the shared key known.
        assert!(reply(&psk("code"), &[0; KEY], b"").is_err());
    }
}
