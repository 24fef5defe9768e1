//! Giving a session another name. Its id stays: what refers to it goes on to do so.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::LifeError;
use super::end::{LOOK, change, current};
use crate::model::SessionId;
use crate::session::{HostClient, Table, hold_name};
use crate::wire::SessionStatus;

/// How long a host may take to write the name down. Those of before do it some time after they answered.
const WRITTEN: Duration = Duration::from_secs(5);

/// Gives a session this name, which no other one that runs has, and returns once it finds the session. It keeps it in
/// its next runs.
pub async fn set_name(table: &Table, id: &SessionId, name: &str) -> Result<SessionStatus, LifeError> {
    let folder = table.folder(id);
    let now = current(table, id)?;
    let _held = hold_name(table, name, id).await?;
    if !now.state.is_final() {
        match by_host(&folder, name).await {
            Ok(()) => return written(table, id, name).await,
            Err(error) if !current(table, id)?.state.is_final() => {
                return Err(LifeError::file(&folder)(error));
            }
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    change(table, id, |status| status.name = Some(name.to_owned())).await
}

async fn by_host(folder: &Path, name: &str) -> io::Result<()> {
    HostClient::connect(folder).await?.set_name(name).await
}

/// Waits until everybody can read the name.
async fn written(table: &Table, id: &SessionId, name: &str) -> Result<SessionStatus, LifeError> {
    let read = async {
        loop {
            let now = current(table, id)?;
            if now.name.as_deref() == Some(name) {
                return Ok(now);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let late = |_| {
        let said = format!("its host did not write the name down within {} s", WRITTEN.as_secs());
        Err(LifeError::file(table.folder(id))(io::Error::new(io::ErrorKind::TimedOut, said)))
    };
    tokio::time::timeout(WRITTEN, read).await.unwrap_or_else(late)
}
