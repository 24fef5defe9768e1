//! Saying that a person has seen what a session has to show.

use super::LifeError;
use super::end::{change, current};
use crate::model::SessionId;
use crate::session::{HostClient, ScreenAttach, Table};

/// Takes the mark off a session whose agent ended a turn that nobody had looked at.
pub async fn mark_read(table: &Table, id: &SessionId) -> Result<(), LifeError> {
    let folder = table.folder(id);
    if !current(table, id)?.state.is_final() {
        // Who attaches sees it; the host notes that by itself.
        let host = HostClient::connect(&folder).await.map_err(LifeError::file(&folder))?;
        let screen = ScreenAttach { from: None, size: None, read_only: false };
        drop(host.attach_screen(screen).await.map_err(LifeError::file(&folder))?);
        return Ok(());
    }
    let read = change(table, id, |status| {
        status.unread = false;
        status.notice = None;
    });
    match read.await {
        // It runs again, and will say when it is to be looked at.
        Ok(_) | Err(LifeError::Alive(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
