//! What a job changed, where that is too large for Redis: it comes piece by piece, from a folder of this machine or through
//! the daemons.

use tokio::sync::mpsc;

use crate::cli::{Cx, Exit, Failure};
use crate::client::{Client, Output};
use crate::model::{MachineId, SessionId};
use crate::workspace::{Printed, Source};

/// Pieces that wait for git.
const WAITING: usize = 4;

/// A pack on its way.
pub enum Pack {
    /// Git of this machine writes it.
    Git(Printed),
    /// It comes through the daemon.
    Daemon(Output),
}

/// Asks this machine's daemon for what the job changed on `machine`.
pub async fn from_machine(cx: &Cx, id: &SessionId, machine: &MachineId) -> Result<Pack, Failure> {
    let lies = |why: &dyn std::fmt::Display| {
        let words = format!(
            "what it changed is too large for Redis and waits on {machine}, which can't be asked: {why}; \
             `darkmux job apply {id}` asks again"
        );
        Failure::new(Exit::Unreachable, words)
    };
    cx.printer.note(&format!("what it changed is large and comes from {machine} itself"));
    let client = Client::local(&cx.config()?.paths).map_err(|error| lies(&error))?;
    let path = format!("/v1/jobs/{id}/changes?machine={machine}");
    client.output(&path).await.map(Pack::Daemon).map_err(|error| lies(&error))
}

/// Takes a result into the repository as it comes. What breaks off leaves nothing.
pub async fn take_in(source: &Source, (state, commit): (&str, &str), mut pack: Pack) -> Result<(), Failure> {
    let (send, pieces) = mpsc::channel(WAITING);
    let carry = async move {
        loop {
            let piece = match &mut pack {
                Pack::Git(pack) => pack.next().await.map_err(|error| error.to_string()),
                Pack::Daemon(pack) => pack.next().await.map_err(|error| error.to_string()),
            };
            let Some(piece) = piece.transpose() else { return };
            let broke = piece.is_err();
            // Git may have had enough, and says why.
            if send.send(piece).await.is_err() || broke {
                return;
            }
        }
    };
    let (taken, ()) = tokio::join!(source.fetch(state, commit, pieces), carry);
    taken.map_err(|error| Failure::new(Exit::Failed, error))
}
