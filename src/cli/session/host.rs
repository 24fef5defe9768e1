//! Reaching a session's host for one request, with words for everything that keeps it from answering.

use std::io;

use crate::cli::{Exit, Failure};
use crate::model::SessionId;
use crate::session::{HostClient, Table, files};

/// Connects to the host of session `id`. `None`: there is none any longer, the session has ended.
pub(super) async fn connect(table: &Table, id: &SessionId) -> Result<Option<HostClient>, Failure> {
    match HostClient::connect(&table.folder(id)).await {
        Ok(client) => Ok(Some(client)),
        Err(error) => gone_or_silent(table, id, &error).map(|()| None),
    }
}

/// What a failed request to a host means: that the session has ended, or a failure with a way out.
pub(super) fn gone_or_silent(table: &Table, id: &SessionId, error: &io::Error) -> Result<(), Failure> {
    match table.get(id)? {
        Some(status) if !status.state.is_final() => Err(silent(table, id, error)),
        _ => Ok(()),
    }
}

/// The failure of a host that should answer and does not.
pub(super) fn silent(table: &Table, id: &SessionId, error: &io::Error) -> Failure {
    let pid = table.get(id).ok().flatten().and_then(|status| status.host_pid);
    let log = table.folder(id).join(files::HOST_LOG);
    let way = match (error.kind(), pid) {
        (io::ErrorKind::PermissionDenied, _) => {
            let words =
                format!("session {id} takes nothing of this program, which runs in a sandbox: {error}");
            return Failure::new(Exit::Failed, words);
        }
        (io::ErrorKind::InvalidData, _) => {
            "it may be of another version of darkmux; attach with that one".to_owned()
        }
        (_, Some(pid)) => {
            format!("`kill -CONT {pid}` wakes it if it was stopped, `kill -KILL {pid}` gives the session up")
        }
        (_, None) => "it may still be starting; try again".to_owned(),
    };
    Failure::new(
        Exit::Internal,
        format!("the host of session {id} does not answer ({error}); {way}; its log is {}", log.display()),
    )
}
