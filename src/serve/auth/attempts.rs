//! Wrong tokens, counted by address.
//!
//! The same wrong token again is no further attempt, and a right one is never counted: a program with an old token, or
//! one that guesses, locks nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens in a [`WINDOW`] after which further ones are put off.
const FAILURES: usize = 10;

/// How long a wrong token counts.
const WINDOW: Duration = Duration::from_mins(1);

/// Addresses that are remembered.
const ADDRESSES: usize = 1024;

#[derive(Debug, Default)]
struct Peer {
    wrong: Vec<(Instant, blake3::Hash)>,
    is_logged: bool,
}

impl Peer {
    fn forget(&mut self, now: Instant) {
        self.wrong.retain(|(at, _)| now.saturating_duration_since(*at) < WINDOW);
    }
}

/// The wrong tokens of the last minute.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<IpAddr, Peer>>);

impl Attempts {
    /// `Err` with the seconds to wait when this address tried too often.
    pub fn check(&self, ip: IpAddr, now: Instant) -> Result<(), u32> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(peer) = peers.get_mut(&ip) else { return Ok(()) };
        peer.forget(now);
        match peer.wrong.first() {
            None => {
                peers.remove(&ip);
                Ok(())
            }
            Some(_) if peer.wrong.len() < FAILURES => Ok(()),
            Some((oldest, _)) => {
                let wait = (*oldest + WINDOW).saturating_duration_since(now);
                Err(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
            }
        }
    }

    /// This address showed a wrong secret.
    pub fn failed(&self, ip: IpAddr, secret: &str, now: Instant) {
        let hash = blake3::hash(secret.as_bytes());
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= ADDRESSES && !peers.contains_key(&ip) {
            make_room(&mut peers, now);
        }
        let peer = peers.entry(ip).or_default();
        peer.forget(now);
        if peer.wrong.iter().all(|(_, known)| *known != hash) {
            peer.wrong.push((now, hash));
        }
        if peer.wrong.len() >= FAILURES && !peer.is_logged {
            peer.is_logged = true;
            tracing::warn!(address = %ip, "wrong tokens, again and again; putting its guesses off for a minute");
        }
    }
}

/// Takes those away that count no more, or else the one that was quiet longest.
fn make_room(peers: &mut HashMap<IpAddr, Peer>, now: Instant) {
    peers.retain(|_, peer| {
        peer.forget(now);
        !peer.wrong.is_empty()
    });
    if peers.len() >= ADDRESSES {
        let last = |peer: &Peer| peer.wrong.last().map(|(at, _)| *at);
        let quiet = peers.iter().min_by_key(|(_, peer)| last(peer)).map(|(ip, _)| *ip);
        quiet.map(|ip| peers.remove(&ip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn ten_different_wrong_tokens_a_minute_are_enough() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..FAILURES {
            assert_eq!(attempts.check(ip(1), now), Ok(()));
            attempts.failed(ip(1), &n.to_string(), now);
            // The same again says nothing new.
            attempts.failed(ip(1), &n.to_string(), now);
        }
        assert_eq!(attempts.check(ip(1), now), Err(61));
        assert_eq!(attempts.check(ip(2), now), Ok(()));
        assert_eq!(attempts.check(ip(1), now + Duration::from_secs(59)), Err(2));
        assert_eq!(attempts.check(ip(1), now + WINDOW), Ok(()));
        assert!(attempts.0.lock().unwrap().is_empty());
    }

    #[test]
    fn addresses_are_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let last = u32::try_from(ADDRESSES * 3).unwrap();
        for n in 0..=last {
            attempts.failed(ip(n), "x", now + Duration::from_millis(n.into()));
        }
        let peers = attempts.0.lock().unwrap();
        assert!(peers.len() <= ADDRESSES && peers.contains_key(&ip(last)));
    }
}
