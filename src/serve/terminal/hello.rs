//! Which end of a session a socket is connected with: its host, or what is left of it.

use std::sync::Arc;

use axum::body::Bytes;

use crate::serve::App;
use crate::session::live::LiveSession;
use crate::session::{Attachment, HostClient, OldHost, ScreenAttach, last_screen};
use crate::wire::SessionStatus;

use super::TerminalQuery;

/// What a socket shows.
#[derive(Debug)]
pub enum Shown {
    /// A living session.
    Living {
        /// The connection with its host.
        attached: Box<Attachment>,
        /// After the newest byte when it was made.
        end: u64,
    },
    /// The last picture of an ended session.
    Ended {
        /// Offset after its last byte.
        at: u64,
        /// The picture.
        picture: Bytes,
        /// The code a shell would report.
        exit_code: Option<i32>,
    },
    /// Nobody answers for it.
    Nothing,
}

/// Connects with the session; it may have ended since it was looked up.
pub async fn open(app: &App, session: &Arc<LiveSession>, asked: &TerminalQuery, read_only: bool) -> Shown {
    if session.is_alive() {
        match living(app, session, asked, read_only).await {
            Ok(shown) => return shown,
            Err(error) => tracing::debug!(%error, session = %session.id(), "its host does not answer"),
        }
    }
    let table = app.live.table().clone();
    let id = session.id().clone();
    let folder = app.live.folder(&id);
    let read =
        app.shutdown.spawn_blocking(move || -> std::io::Result<Option<(SessionStatus, u64, Vec<u8>)>> {
            let Some(status) = table.get(&id)?.filter(|status| status.state.is_final()) else {
                return Ok(None);
            };
            let (at, picture) = last_screen(&folder, &status)?;
            Ok(Some((status, at, picture)))
        });
    match read.await {
        Ok(Ok(Some((status, at, picture)))) => {
            Shown::Ended { at, picture: picture.into(), exit_code: status.exit_code }
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, session = %session.id(), "its output cannot be read");
            Shown::Nothing
        }
        Ok(Ok(None)) | Err(_) => Shown::Nothing,
    }
}

async fn living(
    app: &App,
    session: &Arc<LiveSession>,
    asked: &TerminalQuery,
    read_only: bool,
) -> std::io::Result<Shown> {
    let folder = app.live.folder(session.id());
    let host = HostClient::connect(&folder).await?;
    let how = ScreenAttach { from: asked.from, size: asked.size(), read_only };
    let attached = match host.attach_screen(how).await {
        // A host of an older program has no picture: its output from the oldest byte on draws one.
        Err(error) if OldHost::is(&error) => {
            let mut host = HostClient::connect(&folder).await?;
            let end = host.status().await?.output.end;
            Attachment { end: Some(end), ..host.attach(Some(asked.from.unwrap_or(0)), false).await? }
        }
        attached => attached?,
    };
    let end = attached.end.unwrap_or(0);
    Ok(Shown::Living { attached: Box::new(attached), end })
}
