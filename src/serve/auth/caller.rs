//! Who asks.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;

use super::{Key, Keyring};
use crate::fleet::discovery::{Doorman, Guest};
use crate::serve::ApiError;
use crate::util::Shutdown;

/// What somebody may do, less first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// What everybody may who reaches the daemon.
    None,
    /// See terminals, too.
    Watch,
    /// Everything.
    Act,
}

/// How somebody said who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// Not at all.
    Nothing,
    /// By the daemon's unix socket, with its key.
    Socket,
    /// By a token.
    Bearer,
    /// By the cookie of a browser that signed in.
    Cookie,
    /// By the device of the tailnet that they use.
    Tailnet,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The unix socket, whose other end is this user.
    Socket,
    /// TCP.
    Tcp {
        /// Its address.
        remote: SocketAddr,
        /// The address of ours that it connected to.
        local: SocketAddr,
    },
}

impl Peer {
    /// Whether the connection stays on this machine.
    pub fn is_near(&self) -> bool {
        match self {
            Self::Socket => true,
            Self::Tcp { remote, .. } => remote.ip().to_canonical().is_loopback(),
        }
    }
}

/// Who asks: an extractor for handlers.
#[derive(Debug, Clone)]
pub struct Caller {
    scope: Scope,
    via: Via,
    hold: Option<Hold>,
}

/// What ends a caller's rights.
#[derive(Debug, Clone)]
enum Hold {
    /// The end of their token.
    Key { key: blake3::Hash, keyring: Arc<Keyring> },
    /// That they are not let in any more.
    Guest { door: Arc<Doorman>, address: SocketAddr },
}

/// How often it is asked anew whether somebody of the tailnet who stays is still let in.
const ASK_AGAIN: Duration = Duration::from_mins(1);

impl Caller {
    /// Somebody who reached the daemon and said nothing more.
    pub(super) fn nobody() -> Self {
        Self { scope: Scope::None, via: Via::Nothing, hold: None }
    }

    /// This user.
    pub(super) fn socket() -> Self {
        Self { scope: Scope::Act, via: Via::Socket, hold: None }
    }

    /// Somebody with a token.
    pub(super) fn with_key(scope: Scope, via: Via, key: &Key, keyring: &Arc<Keyring>) -> Self {
        Self { scope, via, hold: Some(Hold::Key { key: key.id, keyring: Arc::clone(keyring) }) }
    }

    /// Somebody whom Tailscale vouches for.
    pub(super) fn guest(door: &Arc<Doorman>, address: SocketAddr) -> Self {
        let hold = Some(Hold::Guest { door: Arc::clone(door), address });
        Self { scope: Scope::Act, via: Via::Tailnet, hold }
    }

    /// What they may do.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// How they said who they are.
    pub fn via(&self) -> Via {
        self.via
    }

    /// Whether they may change something, or only look.
    pub fn may_act(&self) -> bool {
        self.scope >= Scope::Act
    }

    /// The hash of their token.
    pub(in crate::serve) fn key(&self) -> Option<blake3::Hash> {
        match &self.hold {
            Some(Hold::Key { key, .. }) => Some(*key),
            _ => None,
        }
    }

    /// Refuses a secret to who comes from the tailnet: it would outlive what lets them in, and count from elsewhere.
    pub fn may_have_secrets(&self) -> Result<(), ApiError> {
        if self.via == Via::Tailnet {
            let message = "who is let in by the tailnet gets no code, which would count from elsewhere, too; use a token";
            return Err(ApiError::forbidden("needs_token", message));
        }
        Ok(())
    }

    /// Resolves when their token is not valid any more, or the tailnet's user not let in, and never for callers without
    /// either. Whatever stays open for
    /// longer than an answer ends then.
    pub fn revoked(&self) -> impl Future<Output = ()> + Send + use<> {
        let hold = self.hold.clone();
        async move {
            match hold {
                Some(Hold::Key { key, keyring }) => keyring.gone(key).await,
                Some(Hold::Guest { door, address }) => loop {
                    tokio::time::sleep(ASK_AGAIN).await;
                    // While nobody can say, nothing comes over the tailnet either. In a box of its own: who holds a token,
                    // and most do, has no use for its seven kilobytes.
                    if matches!(Box::pin(door.ask(address)).await, Guest::Unwelcome(_)) {
                        return;
                    }
                },
                None => std::future::pending().await,
            }
        }
    }
}

impl Caller {
    /// A body that is broken off when the caller's token is not valid any more, or the daemon stops. Broken off and not
    /// ended: nobody takes what came for all there is.
    pub fn until_revoked_body<E>(
        self,
        pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
        shutdown: &Shutdown,
    ) -> Body
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let stopped = shutdown.stopped();
        let over = Box::pin(async move {
            tokio::select! {
                () = self.revoked() => "the token is not valid any more",
                () = stopped => "the daemon stops",
            }
        });
        let state = (Box::pin(pieces), over);
        Body::from_stream(stream::try_unfold(state, async |(mut pieces, mut over)| {
            let piece = tokio::select! {
                biased;
                why = &mut over => return Err(io::Error::other(why)),
                piece = pieces.next() => piece.transpose().map_err(io::Error::other)?,
            };
            Ok(piece.map(|piece| (piece, (pieces, over))))
        }))
    }

    /// An answer that is written by hand, cut when the caller's token is not valid any more.
    pub async fn until_revoked(self, writing: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        tokio::select! {
            biased;
            () = self.revoked() => Ok(()),
            written = writing => written,
        }
    }
}

/// Fails closed: a route that was not admitted has no caller.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::internal("asking who asks", &"the route is not behind the gate"))
    }
}

/// Fails closed, as [`Caller`].
impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<Self>().copied();
        peer.ok_or_else(|| ApiError::internal("asking who asks", &"the connection has no other end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_open_stream_holds_little_to_learn_that_its_token_is_gone() {
        let size = size_of_val(&Caller::nobody().revoked());
        assert!(size <= 1024, "{size} bytes a client");
    }
}
