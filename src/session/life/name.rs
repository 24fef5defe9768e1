//! Giving a session another name. Its id stays: what refers to it goes on to do so.

use super::LifeError;
use super::end::{current, lease};
use crate::model::SessionId;
use crate::session::{HostClient, Table, files, name_taken};
use crate::store::{Durability, write_atomic};
use crate::wire::SessionStatus;

/// Gives a session this name, which no other one that runs has. It keeps it in its next runs.
pub async fn set_name(table: &Table, id: &SessionId, name: &str) -> Result<SessionStatus, LifeError> {
    let folder = table.folder(id);
    let now = current(table, id)?;
    if let Some(other) = name_taken(table, name, Some(id)).map_err(LifeError::file(table.dir()))? {
        return Err(LifeError::NameTaken { name: name.to_owned(), other });
    }
    if !now.state.is_final() {
        let mut host = HostClient::connect(&folder).await.map_err(LifeError::file(&folder))?;
        host.set_name(name).await.map_err(LifeError::file(&folder))?;
        // The host writes it down a moment later.
        return Ok(SessionStatus { name: Some(name.to_owned()), ..now });
    }
    let _lease = lease(table, id).await?;
    let mut status = current(table, id)?;
    if !status.state.is_final() {
        return Err(LifeError::Alive(id.clone()));
    }
    status.name = Some(name.to_owned());
    let path = folder.join(files::STATE);
    let text = serde_json::to_vec(&status).map_err(|error| LifeError::file(&path)(error.into()))?;
    write_atomic(&path, &text, Durability::Cached).map_err(LifeError::file(&path))?;
    Ok(status)
}
