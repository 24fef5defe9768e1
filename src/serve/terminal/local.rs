//! The terminal of a session of this machine.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::TerminalQuery;
use super::hand;
use super::shown::{self, Alive, Ended};
use super::upgrade::{self, Connection};
use crate::serve::App;
use crate::serve::auth::Caller;
use crate::session::live::LiveSession;
use crate::session::terminal::{self, Client, Close};
use crate::session::{OldHost, ScreenAttach};

/// What a socket needs.
#[derive(Debug)]
pub struct Ready {
    /// The daemon.
    pub app: Arc<App>,
    /// Whose terminal; `None` where there is none of this id.
    pub session: Option<Arc<LiveSession>>,
    /// Who looks.
    pub caller: Caller,
    /// What they asked for.
    pub asked: TerminalQuery,
}

impl Ready {
    fn client(&self) -> Client {
        let limits = &self.app.limits;
        Client {
            ours: self.asked.is_ours(),
            read_only: self.asked.is_read_only() || !self.caller.may_act(),
            stall: limits.write_stall,
            ping: limits.ping,
            pong: limits.pong,
        }
    }

    fn how(&self, client: Client) -> ScreenAttach {
        ScreenAttach { from: self.asked.from, size: self.asked.size(), read_only: client.read_only }
    }

    /// Resolves when the client may no longer look.
    async fn over(&self) -> Close {
        tokio::select! {
            () = self.caller.revoked() => Close::SignedOut,
            () = self.app.shutdown.stopped() => Close::ShuttingDown,
        }
    }
}

/// Serves the client of this connection to its end. It has a place among the sockets so long.
pub async fn serve(connection: Connection, ready: Ready, _place: OwnedSemaphorePermit) {
    let client = ready.client();
    let Ok(opened) = connection.open().await else { return };
    let Some(session) = &ready.session else {
        return terminal::refuse(opened.socket().await, client, Close::Gone).await;
    };
    let Some(opened) = alive(opened, &ready, session).await else { return };
    match shown::ended(&ready.app, session, ready.asked.from).await {
        Some(Ended { last, exit_code }) => {
            terminal::last_words(opened.socket().await, client, last, exit_code).await;
        }
        None => terminal::refuse(opened.socket().await, client, Close::Gone).await,
    }
}

/// Serves the client while the session lives; gives it back where it does not.
async fn alive(
    opened: upgrade::Client,
    ready: &Ready,
    session: &Arc<LiveSession>,
) -> Option<upgrade::Client> {
    if !session.is_alive() {
        return Some(opened);
    }
    let client = ready.client();
    let how = ready.how(client);
    let opened = match opened {
        upgrade::Client::Tcp(stream, early) => {
            let folder = ready.app.live.folder(session.id());
            let served = hand::serve((stream, early), &folder, (how, client), ready.over()).await;
            let (error, stream, early) = served.err()?;
            let opened = upgrade::Client::Tcp(stream, early);
            if !OldHost::is(&error) {
                tracing::debug!(%error, session = %session.id(), "its host took no socket");
                return Some(opened);
            }
            opened
        }
        opened @ upgrade::Client::Other(_) => opened,
    };
    match shown::living(&ready.app, session, how).await {
        Ok(Alive::Screen(living)) => {
            terminal::relay(opened.socket().await, client, living, ready.over()).await;
            None
        }
        Ok(Alive::Older(living)) => {
            terminal::relay(opened.socket().await, client, living, ready.over()).await;
            None
        }
        Err(error) => {
            tracing::debug!(%error, session = %session.id(), "its host does not answer");
            Some(opened)
        }
    }
}
