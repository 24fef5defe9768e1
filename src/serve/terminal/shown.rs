//! Which end of a session a socket is connected with: its host, or what is left of it.

use std::io;
use std::sync::Arc;

use axum::body::Bytes;

use crate::serve::App;
use crate::session::live::LiveSession;
use crate::session::{Attachment, HostClient, OldHost, ScreenAttach, last_screen};
use crate::wire::SessionStatus;

/// The last picture of an ended session.
#[derive(Debug)]
pub struct Ended {
    /// Offset after its last byte.
    pub at: u64,
    /// The picture.
    pub picture: Bytes,
    /// The code a shell would report.
    pub exit_code: Option<i32>,
}

/// Connects with the host of a living session.
pub async fn living(app: &App, session: &Arc<LiveSession>, how: ScreenAttach) -> io::Result<Attachment> {
    let folder = app.live.folder(session.id());
    match HostClient::connect(&folder).await?.attach_screen(how).await {
        // A host of an older program has no picture: its output from the oldest byte on draws one.
        Err(error) if OldHost::is(&error) => {
            let mut host = HostClient::connect(&folder).await?;
            let end = host.status().await?.output.end;
            Ok(Attachment { end: Some(end), ..host.attach(Some(how.from.unwrap_or(0)), false).await? })
        }
        attached => attached,
    }
}

/// What is left of a session that has ended; it may have since it was looked up. `None`: nobody answers for it.
pub async fn ended(app: &App, session: &Arc<LiveSession>) -> Option<Ended> {
    let table = app.live.table().clone();
    let id = session.id().clone();
    let folder = app.live.folder(&id);
    let read = app.shutdown.spawn_blocking(move || -> io::Result<Option<(SessionStatus, u64, Vec<u8>)>> {
        let Some(status) = table.get(&id)?.filter(|status| status.state.is_final()) else {
            return Ok(None);
        };
        let (at, picture) = last_screen(&folder, &status)?;
        Ok(Some((status, at, picture)))
    });
    match read.await {
        Ok(Ok(Some((status, at, picture)))) => {
            Some(Ended { at, picture: picture.into(), exit_code: status.exit_code })
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, session = %session.id(), "its output cannot be read");
            None
        }
        Ok(Ok(None)) | Err(_) => None,
    }
}
