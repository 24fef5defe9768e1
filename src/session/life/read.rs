//! Saying that a person has seen what a session has to show.

use super::LifeError;
use super::end::{current, lease};
use crate::model::SessionId;
use crate::session::{HostClient, ScreenAttach, Table, files};
use crate::store::{Durability, write_atomic};

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
    let _lease = lease(table, id).await?;
    let mut status = current(table, id)?;
    if status.state.is_final() && (status.unread || status.notice.is_some()) {
        status.unread = false;
        status.notice = None;
        let path = folder.join(files::STATE);
        let text = serde_json::to_vec(&status).map_err(|error| LifeError::file(&path)(error.into()))?;
        write_atomic(&path, &text, Durability::Cached).map_err(LifeError::file(&path))?;
    }
    Ok(())
}
