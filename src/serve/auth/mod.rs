//! Who asks, and what they may.
//!
//! A request comes over the daemon's unix socket with the key of this user's sockets (may do everything), with a token
//! (`Authorization: Bearer`), with a cookie that was given for a token or a one-time code, from a device of the tailnet whose user may come
//! in, or with nothing. [`admit()`] finds out and
//! refuses before a handler runs; a handler that wants to know takes the extractor [`Caller`].
//!
//! Invariants: what is not known is refused; tokens are compared by their BLAKE3 hashes, in constant time, and no
//! text of ours holds one; every cookie and every open stream ends with the token it was given for; the files are
//! looked at whenever somebody asks, so no restart is needed for a change.
//!
//! Not here: which route asks for what (`router`), and `Host` (`guard`).

mod admit;
mod attempts;
mod body;
mod caller;
mod codes;
mod cookie;
mod invites;
mod keyring;
mod named;
mod origin;
mod tailnet;
mod token;

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, header};
use jiff::Timestamp;

pub use admit::{Gate, admit};
use attempts::Attempts;
pub use body::Accepts;
pub use caller::{Caller, Peer, Scope, Via};
use codes::Codes;
pub use codes::{CODE_LIFE, CodeError};
pub use cookie::{COOKIE_LIFE, values as cookie_values};
use invites::Invites;
pub use invites::{Invitation, InviteError, Opened};
pub use keyring::{Key, Keyring, Source};
pub use named::{NAME_MAX, NamedToken, NamedTokens};
pub use token::{TokenError, TokenFile};

use super::ApiError;
use crate::config::Paths;
use crate::fleet::discovery::Doorman;
use crate::store::{SocketKey, shown_bearer};
use crate::util::Secret;

/// What an [`Auth`] is made of.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Where the tokens lie.
    pub paths: Paths,
    /// A token from the environment.
    pub serve_token: Option<Secret>,
    /// Whether looking needs a token on loopback, too.
    pub require_all: bool,
    /// The port, by which the cookies of two daemons on one host differ.
    pub port: u16,
    /// Who says whose a device of the tailnet is; `None` where that opens nothing.
    pub door: Option<Arc<Doorman>>,
}

/// Everything that decides who somebody is.
#[derive(Debug)]
pub struct Auth {
    keyring: Arc<Keyring>,
    codes: Codes,
    invites: Invites,
    attempts: Attempts,
    socket_key: SocketKey,
    cookie_name: String,
    require_all: bool,
    door: Option<Arc<Doorman>>,
}

impl Auth {
    /// Reads nothing yet.
    pub fn new(config: &AuthConfig) -> Self {
        Self {
            keyring: Arc::new(Keyring::new(&config.paths, config.serve_token.as_ref())),
            codes: Codes::default(),
            invites: Invites::default(),
            attempts: Attempts::default(),
            socket_key: SocketKey::new(config.paths.socket_key()),
            cookie_name: format!("darkmux-{}", config.port),
            require_all: config.require_all,
            door: config.door.clone(),
        }
    }

    /// Whether looking needs a token even on loopback.
    pub(super) fn require_all(&self) -> bool {
        self.require_all
    }

    /// Who sent this head. A wrong token is an error, and a stale cookie is as good as none: a browser sends it
    /// unasked. Who comes by the socket is this user where they show its key, which nobody in a sandbox can; else they are
    /// whoever their token says, as from elsewhere on this machine.
    fn identify(&self, peer: &Peer, headers: &HeaderMap, now: Timestamp) -> Result<Caller, ApiError> {
        let shown = bearer(headers)?;
        if matches!(peer, Peer::Socket) {
            // Whoever changed a token says so here by asking anything.
            self.keyring.refresh();
            if shown.is_some_and(|shown| self.socket_key.is(shown)) {
                return Ok(Caller::socket());
            }
        }
        if let Some(token) = shown {
            let key = self.guess(peer, token, |token| self.keyring.find(token))?;
            let key = key.ok_or_else(|| unauthorized("this token is not, or no longer, valid here"))?;
            return Ok(Caller::with_key(key.scope, Via::Bearer, &key, &self.keyring));
        }
        Ok(self.of_cookie(headers, now).unwrap_or_else(Caller::nobody))
    }

    /// Looks whether a secret that somebody presents opens something. A right one always does, so that who guesses locks
    /// nobody out who shares their address; wrong ones are counted, and beyond the bound they are not even told that they
    /// are wrong. How long looking takes does not depend on the secret.
    fn guess<T>(
        &self,
        peer: &Peer,
        secret: &str,
        look: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Peer::Tcp { remote, .. } = peer else { return Ok(look(secret)) };
        let (ip, found) = (remote.ip().to_canonical(), look(secret));
        if found.is_none() {
            self.attempts.check(ip, Instant::now()).map_err(too_many)?;
            self.attempts.failed(ip, secret, Instant::now());
        }
        Ok(found)
    }

    fn of_cookie(&self, headers: &HeaderMap, now: Timestamp) -> Option<Caller> {
        let values = cookie::values(headers, &self.cookie_name);
        let (scope, key) = values.into_iter().find_map(|value| cookie::check(value, &self.keyring, now))?;
        Some(Caller::with_key(scope, Via::Cookie, &key, &self.keyring))
    }

    /// Makes a one-time code that signs a browser in with `scope`.
    pub(super) fn new_code(&self, caller: &Caller, scope: Scope) -> Result<String, CodeError> {
        let key = match caller.key() {
            Some(key) => key,
            None => self.keyring.primary().ok_or(CodeError::NoToken)?.id,
        };
        self.codes.make(key, scope.min(caller.scope()), Instant::now())
    }

    /// The value of `Set-Cookie` for a one-time code.
    pub(super) fn trade_code(
        &self,
        peer: &Peer,
        code: &str,
        door: Door,
    ) -> Result<(Scope, String), ApiError> {
        let traded = self.guess(peer, code, |code| {
            let (id, scope) = self.codes.take(code, Instant::now())?;
            Some((self.keyring.of_id(&id)?, scope))
        })?;
        let (key, scope) = traded.ok_or_else(|| {
            unauthorized("this link was used already or is older than a minute; `darkmux open` makes another")
        })?;
        Ok(self.cookie_for(&key, scope, door))
    }

    /// The value of `Set-Cookie` for a token.
    pub(super) fn trade_token(
        &self,
        peer: &Peer,
        token: &str,
        door: Door,
    ) -> Result<(Scope, String), ApiError> {
        let key = self.guess(peer, token.trim(), |token| self.keyring.find(token))?;
        let key = key.ok_or_else(|| {
            unauthorized("this is no token of this daemon; `darkmux auth show --print` shows it there")
        })?;
        Ok(self.cookie_for(&key, key.scope, door))
    }

    fn cookie_for(&self, key: &Key, scope: Scope, door: Door) -> (Scope, String) {
        let scope = scope.min(key.scope);
        (scope, cookie::set(&self.cookie_name, key, scope, door.now, door.is_tls))
    }

    /// The name of the cookie of a browser that signed in.
    pub(super) fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    /// The value of `Set-Cookie` that takes the cookie away.
    pub(super) fn no_cookie(&self) -> String {
        cookie::unset(&self.cookie_name)
    }
}

/// What a new cookie depends on beside its key.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// The time.
    pub now: Timestamp,
    /// Whether the page was asked for by `https`.
    pub is_tls: bool,
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    };
    let value = value.ok_or_else(|| unauthorized("`Authorization` can't be read"))?;
    // Other schemes are those of a proxy before us.
    Ok(shown_bearer(value))
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::unauthorized(message)
}

fn too_many(seconds: u32) -> ApiError {
    let message = "too many wrong tokens from your address; wait before the next try";
    ApiError::too_many(message, seconds)
}
