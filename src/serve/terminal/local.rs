//! The terminal of a session of this machine.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::TerminalQuery;
use super::hand;
use super::shown::{self, Alive, Ended};
use super::upgrade::{self, Connection};
use crate::serve::App;
use crate::serve::auth::Caller;
use crate::session::live::LiveSession;
use crate::session::terminal::{self, Client, Close};
use crate::session::{HostClient, OldHost, OpenHand, ScreenAttach};

/// How often a host is asked to take a socket, and the pause before it is asked again, which grows: of a crowd that comes
/// at once it lets go who has not shown its key yet.
const ASKED: (u32, Duration) = (6, Duration::from_millis(15));

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
    // The host is asked while the client is answered.
    let (opened, host) = tokio::join!(connection.open(), open_hand(&ready, client));
    let Ok(opened) = opened else { return };
    let Some(session) = &ready.session else {
        return terminal::refuse(opened.socket().await, client, Close::Gone).await;
    };
    let Some(opened) = alive(opened, host, &ready, session).await else { return };
    match shown::ended(&ready.app, session).await {
        Some(Ended { at, picture, exit_code }) => {
            terminal::last_words(opened.socket().await, client, (at, picture), exit_code).await;
        }
        None => terminal::refuse(opened.socket().await, client, Close::Gone).await,
    }
}

/// The host of a living session that takes sockets.
async fn open_hand(ready: &Ready, client: Client) -> io::Result<OpenHand> {
    let session = ready.session.as_ref().filter(|session| session.is_alive());
    let folder = ready.app.live.folder(session.ok_or(io::ErrorKind::NotFound)?.id());
    let (most, pause) = ASKED;
    let mut tries = 1;
    loop {
        let opened = async { HostClient::connect(&folder).await?.open_hand(ready.how(client), client).await };
        match opened.await {
            Err(error) if tries < most && was_let_go(&error) => {
                tokio::time::sleep(pause * tries).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

/// Whether the host ended the connection without an answer.
fn was_let_go(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, Other, UnexpectedEof};
    matches!(error.kind(), Other | ConnectionReset | BrokenPipe | UnexpectedEof)
}

/// Serves the client while the session lives; gives it back where it does not.
async fn alive(
    opened: upgrade::Client,
    host: io::Result<OpenHand>,
    ready: &Ready,
    session: &Arc<LiveSession>,
) -> Option<upgrade::Client> {
    let client = ready.client();
    let opened = match (opened, host) {
        (upgrade::Client::Tcp(stream, early), Ok(host)) => {
            return match hand::give((stream, early), host, client).await {
                Ok(given) => {
                    given.until(ready.over()).await;
                    None
                }
                Err((error, back)) => {
                    tracing::debug!(%error, session = %session.id(), "its host took no socket");
                    back.map(|(stream, early)| upgrade::Client::Tcp(stream, early))
                }
            };
        }
        (opened, Err(error)) if !OldHost::is(&error) => {
            tracing::debug!(%error, session = %session.id(), "its host does not answer");
            return Some(opened);
        }
        (opened, _) => opened,
    };
    let how = ready.how(client);
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
