//! Invitations of other machines into the fleet. They live in memory only, and of a code only what it becomes is kept.
//!
//! Invariants: an invitation is good for one machine until it expires, by either clock; that machine may ask again
//! with the secret of its first try, because an answer can be lost; it ends with the token of who made it; why one is
//! refused is told only to who has its code.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::caller::{Caller, Peer};
use super::{Auth, unauthorized};
use crate::fleet::PeerAddress;
use crate::fleet::join::{Head, InviteCode, InviteId, Psk, SealError, Session};
use crate::serve::ApiError;
use crate::util::clock;
use crate::wire::JoinHello;

/// Most invitations that are remembered; one more takes the place of the oldest.
const OPEN_MAX: usize = 16;

/// Most exchanges of one invitation that have begun and not ended.
const EXCHANGES_MAX: usize = 8;

/// How long an invitation that is over is remembered, so that it can be said that it is.
const REMEMBERED: Duration = Duration::from_hours(1);

/// Why an invitation does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Nobody knows it, or the message was not made with its code.
    #[error(
        "this invitation is not known here (a restart of the daemon ends them, too); `darkmux fleet invite` makes another"
    )]
    Unknown,
    /// It was not used in time.
    #[error("this invitation expired at {0}; `darkmux fleet invite` makes another")]
    Expired(String),
    /// The token of who made it is not valid any more.
    #[error("this invitation ended with the token that made it; `darkmux fleet invite` makes another")]
    Revoked,
    /// Another machine, or another try, used it.
    #[error("this invitation was used by {0} already; `darkmux fleet invite` makes another")]
    Used(String),
    /// The exchange has ended, or never began.
    #[error("this exchange is over; join again")]
    Over,
}

impl From<InviteError> for ApiError {
    fn from(error: InviteError) -> Self {
        let (status, code) = match &error {
            InviteError::Unknown => return unauthorized(&error.to_string()),
            InviteError::Expired(_) => (StatusCode::GONE, "invite_expired"),
            InviteError::Revoked => (StatusCode::GONE, "invite_revoked"),
            InviteError::Used(_) => (StatusCode::CONFLICT, "invite_used"),
            InviteError::Over => (StatusCode::CONFLICT, "exchange_over"),
        };
        Self::new(status, code, error.to_string())
    }
}

/// Both clocks: one that nobody sets, and one that goes on while the machine sleeps.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The one that nobody sets.
    pub steady: Instant,
    /// The time.
    pub wall: Timestamp,
}

/// What is known of an invitation.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Where its code leads.
    pub address: PeerAddress,
    /// Until when it is good.
    pub expires: Timestamp,
    /// Which machine used it.
    pub used_by: Option<String>,
}

/// A message that was made with the code.
#[derive(Debug)]
pub enum Opened {
    /// The first one.
    Hello {
        /// What answers it.
        psk: Psk,
        /// The invitation.
        invitation: Invitation,
        /// What was said.
        text: Vec<u8>,
    },
    /// The second one.
    Join {
        /// What answers it.
        session: Session,
        /// The invitation.
        invitation: Invitation,
        /// Who asks, as the first one said.
        hello: JoinHello,
        /// What was said.
        text: Vec<u8>,
    },
}

#[derive(Debug)]
struct Exchange {
    public: [u8; 32],
    session: Session,
    hello: JoinHello,
}

#[derive(Debug)]
struct Invite {
    psk: Psk,
    id: InviteId,
    known: Invitation,
    until: Instant,
    /// The key of who made it, with which it ends; `None` where a machine without any key made it by its own socket.
    maker: Option<blake3::Hash>,
    /// The try that used it.
    attempt: Option<blake3::Hash>,
    exchanges: Vec<Exchange>,
}

impl Invite {
    fn check(&self, now: Now, is_valid: Valid<'_>) -> Result<(), InviteError> {
        if now.steady >= self.until || now.wall >= self.known.expires {
            return Err(InviteError::Expired(clock::seconds(self.known.expires)));
        }
        match &self.maker {
            Some(maker) if !is_valid(maker) => Err(InviteError::Revoked),
            _ => Ok(()),
        }
    }
}

/// Whether the key of this hash is valid now.
type Valid<'a> = &'a dyn Fn(&blake3::Hash) -> bool;

/// The invitations.
#[derive(Debug, Default)]
pub struct Invites(Mutex<Vec<Invite>>);

impl Invites {
    /// Keeps what a new code becomes; until when it is good.
    fn add(&self, code: &InviteCode, maker: Option<blake3::Hash>, life: Duration, now: Now) -> Timestamp {
        let span = SignedDuration::try_from(life).unwrap_or(SignedDuration::ZERO);
        let expires = now.wall.checked_add(span).unwrap_or(now.wall);
        let psk = code.psk();
        let known = Invitation { address: code.address.clone(), expires, used_by: None };
        let mut all = self.locked();
        all.retain(|invite| now.steady < invite.until + REMEMBERED);
        if all.len() >= OPEN_MAX {
            all.remove(0);
        }
        let (id, until) = (psk.id(), now.steady + life);
        all.push(Invite { psk, id, known, until, maker, attempt: None, exchanges: Vec::new() });
        expires
    }

    fn open(&self, head: &Head<'_>, now: Now, is_valid: Valid<'_>) -> Result<Opened, InviteError> {
        let forged = |_: SealError| InviteError::Unknown;
        let mut all = self.locked();
        let invite = all.iter_mut().find(|invite| invite.id == head.id).ok_or(InviteError::Unknown)?;
        if !head.is_join {
            let text = head.open_hello(&invite.psk).map_err(forged)?;
            invite.check(now, is_valid)?;
            let (psk, invitation) = (invite.psk.clone(), invite.known.clone());
            return Ok(Opened::Hello { psk, invitation, text });
        }
        let at = invite.exchanges.iter().position(|exchange| exchange.public == head.public);
        let at = at.ok_or(InviteError::Over)?;
        let text = head.open_join(&invite.exchanges[at].session).map_err(forged)?;
        // Its keys have sealed what they may.
        let Exchange { session, hello, .. } = invite.exchanges.remove(at);
        invite.check(now, is_valid)?;
        Ok(Opened::Join { session, invitation: invite.known.clone(), hello, text })
    }

    fn begun(&self, id: InviteId, exchange: Exchange) {
        let mut all = self.locked();
        let Some(invite) = all.iter_mut().find(|invite| invite.id == id) else { return };
        // The same message again begins it anew.
        invite.exchanges.retain(|other| other.public != exchange.public);
        if invite.exchanges.len() >= EXCHANGES_MAX {
            invite.exchanges.remove(0);
        }
        invite.exchanges.push(exchange);
    }

    fn take(
        &self,
        id: InviteId,
        (attempt, by): (&str, &str),
        now: Now,
        is_valid: Valid<'_>,
    ) -> Result<(), InviteError> {
        let attempt = blake3::hash(attempt.as_bytes());
        let mut all = self.locked();
        let invite = all.iter_mut().find(|invite| invite.id == id).ok_or(InviteError::Unknown)?;
        invite.check(now, is_valid)?;
        match (&invite.attempt, &invite.known.used_by) {
            (Some(first), Some(used)) if *first != attempt || used != by => {
                return Err(InviteError::Used(used.clone()));
            }
            (Some(_), _) => {}
            (None, _) => {
                invite.attempt = Some(attempt);
                invite.known.used_by = Some(by.to_owned());
            }
        }
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Invite>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Auth {
    /// Keeps what a new code of this caller's becomes; until when it is good. What this user makes without a token ends
    /// with the daemon's own one, as the cookies of their browser do.
    pub(in crate::serve) fn invite(
        &self,
        caller: &Caller,
        code: &InviteCode,
        life: Duration,
        now: Timestamp,
    ) -> Timestamp {
        let maker = caller.key().or_else(|| self.keyring.primary().map(|key| key.id));
        self.invites.add(code, maker, life, at(now))
    }

    fn is_valid(&self, key: &blake3::Hash) -> bool {
        self.keyring.of_id(key).is_some()
    }

    /// Opens a message of a machine that joins; wrong ones are counted as wrong tokens are.
    pub(in crate::serve) fn open_invite(
        &self,
        peer: &Peer,
        head: &Head<'_>,
        now: Timestamp,
    ) -> Result<Opened, ApiError> {
        let mut refused = InviteError::Unknown;
        let opened = self.guess(peer, &head.id.to_string(), |_| {
            match self.invites.open(head, at(now), &|key| self.is_valid(key)) {
                Err(InviteError::Unknown) => None,
                Err(other) => {
                    refused = other;
                    Some(None)
                }
                Ok(opened) => Some(Some(opened)),
            }
        })?;
        opened.flatten().ok_or_else(|| refused.into())
    }

    /// Remembers an exchange whose first message was answered.
    pub(in crate::serve) fn begun(&self, head: &Head<'_>, session: Session, hello: JoinHello) {
        self.invites.begun(head.id, Exchange { public: head.public, session, hello });
    }

    /// Uses an invitation up, for this try of this machine.
    pub(in crate::serve) fn take_invite(
        &self,
        head: &Head<'_>,
        attempt: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<(), InviteError> {
        self.invites.take(head.id, (attempt, by), at(now), &|key| self.is_valid(key))
    }
}

fn at(wall: Timestamp) -> Now {
    Now { steady: Instant::now(), wall }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::join::{Joining, reply};

    const LIFE: Duration = Duration::from_mins(10);

    /// Nothing was revoked.
    fn good(_: &blake3::Hash) -> bool {
        true
    }

    fn hello() -> JoinHello {
        JoinHello { machine_id: "m".to_owned(), machine_uid: "u".to_owned(), version: String::new() }
    }

    /// The first message of a joiner, opened, answered, and its second one.
    fn exchange(invites: &Invites, code: &InviteCode, now: Now) -> Result<Vec<u8>, InviteError> {
        let joining = Joining::begin(code.psk()).unwrap();
        let first = joining.hello(b"x").unwrap();
        let head = Head::read(&first).unwrap();
        let Opened::Hello { psk, .. } = invites.open(&head, now, &good)? else { panic!("a join") };
        let (session, answer) = reply(&psk, &head.public, b"y").unwrap();
        invites.begun(head.id, Exchange { public: head.public, session, hello: hello() });
        let (greeted, _) = joining.greeted(&answer).unwrap();
        Ok(greeted.join(b"z").unwrap())
    }

    #[test]
    fn an_invitation_is_for_one_try_of_one_machine() {
        let (invites, now) = (Invites::default(), at(Timestamp::UNIX_EPOCH));
        let code = InviteCode::generate("studio".parse().unwrap()).unwrap();
        invites.add(&code, None, LIFE, now);
        let join = exchange(&invites, &code, now).unwrap();
        let head = Head::read(&join).unwrap();
        let opened = invites.open(&head, now, &good).unwrap();
        assert!(matches!(opened, Opened::Join { text, .. } if text == b"z"));
        assert_eq!(invites.open(&head, now, &good).unwrap_err(), InviteError::Over, "a replay");
        let id = code.psk().id();
        assert_eq!(invites.take(id, ("first", "laptop"), now, &good), Ok(()));
        assert_eq!(invites.take(id, ("first", "laptop"), now, &good), Ok(()), "its answer was lost");
        for (attempt, by) in [("other", "thief"), ("first", "second")] {
            let taken = invites.take(id, (attempt, by), now, &good);
            assert_eq!(taken, Err(InviteError::Used("laptop".to_owned())), "{by}");
        }
        let other = InviteCode::generate("studio".parse().unwrap()).unwrap();
        assert_eq!(exchange(&invites, &other, now).unwrap_err(), InviteError::Unknown);
    }

    #[test]
    fn it_is_over_by_either_clock_and_few_are_kept() {
        let (invites, now) = (Invites::default(), at(Timestamp::UNIX_EPOCH));
        let code = InviteCode::generate("studio".parse().unwrap()).unwrap();
        invites.add(&code, None, LIFE, now);
        let slept = Now { wall: now.wall + LIFE, ..now };
        let set_back = Now { steady: now.steady + LIFE, ..now };
        for late in [slept, set_back] {
            let refused = exchange(&invites, &code, late).unwrap_err();
            assert!(matches!(refused, InviteError::Expired(at) if at.starts_with("1970-01-01T00:10:00")));
        }
        assert!(exchange(&invites, &code, now).is_ok());
        for _ in 0..EXCHANGES_MAX * 2 {
            exchange(&invites, &code, now).unwrap();
        }
        assert_eq!(invites.locked()[0].exchanges.len(), EXCHANGES_MAX);
        for _ in 0..OPEN_MAX {
            invites.add(&InviteCode::generate("x".parse().unwrap()).unwrap(), None, LIFE, now);
        }
        assert_eq!(exchange(&invites, &code, now).unwrap_err(), InviteError::Unknown, "it made room");
    }

    #[test]
    fn it_ends_with_its_maker_s_key_at_every_step() {
        let (invites, now) = (Invites::default(), at(Timestamp::UNIX_EPOCH));
        let code = InviteCode::generate("studio".parse().unwrap()).unwrap();
        let maker = blake3::hash(b"token");
        invites.add(&code, Some(maker), LIFE, now);
        let (first, second) =
            (exchange(&invites, &code, now).unwrap(), exchange(&invites, &code, now).unwrap());
        let gone = |key: &blake3::Hash| *key != maker;
        let head = Head::read(&first).unwrap();
        assert_eq!(
            invites.open(&head, now, &gone).unwrap_err(),
            InviteError::Revoked,
            "before the second message"
        );
        let head = Head::read(&second).unwrap();
        assert!(invites.open(&head, now, &good).is_ok());
        assert_eq!(
            invites.take(head.id, ("first", "laptop"), now, &gone),
            Err(InviteError::Revoked),
            "after it"
        );
        let hello = Joining::begin(code.psk()).unwrap().hello(b"x").unwrap();
        let refused = invites.open(&Head::read(&hello).unwrap(), now, &gone);
        assert_eq!(refused.unwrap_err(), InviteError::Revoked, "before the first");
        // Who has no code learns nothing of it.
        let mut forged = hello.clone();
        *forged.last_mut().unwrap() ^= 1;
        let refused = invites.open(&Head::read(&forged).unwrap(), now, &gone);
        assert_eq!(refused.unwrap_err(), InviteError::Unknown);
    }
}
