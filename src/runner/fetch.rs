//! A repository that is too large for Redis, fetched from the machine that its job was dispatched on, where that is a peer.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::Runner;
use crate::model::MachineId;
use crate::peer::{PeerError, PeerRequest, PeerStream};
use crate::work::Claim;
use crate::workspace::{Placing, WorkspaceError};

/// How long the other machine may take to begin, to say nothing, and altogether.
const HEAD: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_mins(5);
const ALL: Duration = Duration::from_hours(1);

/// How long the other machine may be away before the job is given back, and the pause between two tries.
const AWAY: Duration = Duration::from_mins(10);
const AGAIN: Duration = Duration::from_secs(2);

/// Pieces that wait for git.
const WAITING: usize = 4;

/// What came of a try.
enum Tried {
    Placed(PathBuf),
    /// It is not had this time; why.
    Broke(String),
}

/// Makes the job's folder from what the other machine has. One that is away is waited for; what came until it broke
/// off is asked for again.
pub async fn repository(
    runner: &Runner,
    claim: &Claim,
    placing: &Placing<'_>,
) -> Result<PathBuf, WorkspaceError> {
    let nowhere = || WorkspaceError::Refused("its bundle is nowhere".to_owned());
    let at = placing.workspace.bundle.at.as_ref().ok_or_else(nowhere)?;
    let until = Instant::now() + AWAY;
    loop {
        let tried = timeout(ALL, once(runner, claim, (at, placing))).await;
        let why = match tried {
            Ok(Ok(Tried::Placed(begin))) => return Ok(begin),
            Ok(Ok(Tried::Broke(why))) => why,
            Ok(Err(error)) => return Err(error),
            Err(_) => format!("it took more than {} minutes", ALL.as_secs() / 60),
        };
        if Instant::now() >= until {
            let words = format!("its repository can't be fetched from {at}: {why}");
            return Err(WorkspaceError::NoPeer(at.clone(), words));
        }
        tracing::debug!(job = %claim.id, %at, why, "its repository waits");
        tokio::time::sleep(AGAIN).await;
    }
}

async fn once(
    runner: &Runner,
    claim: &Claim,
    (at, placing): (&MachineId, &Placing<'_>),
) -> Result<Tried, WorkspaceError> {
    let mut pack = match ask(runner, claim, at).await? {
        Ok(pack) => pack,
        Err(why) => return Ok(Tried::Broke(why)),
    };
    let (send, pieces) = mpsc::channel(WAITING);
    let carry = async move {
        loop {
            let piece = match pack.next(IDLE).await {
                Ok(None) => return None,
                Ok(Some(piece)) => Ok(piece),
                Err(error) => Err(error.to_string()),
            };
            let broke = piece.as_ref().err().cloned();
            // Git may have had enough, and says why.
            if send.send(piece).await.is_err() || broke.is_some() {
                return broke;
            }
        }
    };
    let (placed, broke) = tokio::join!(placing.fetch(pieces), carry);
    match (placed, broke) {
        (Ok(begin), _) => Ok(Tried::Placed(begin)),
        (Err(_), Some(why)) => Ok(Tried::Broke(why)),
        (Err(error), None) => Err(error),
    }
}

/// The pack as it comes, or why there is none this time.
async fn ask(
    runner: &Runner,
    claim: &Claim,
    at: &MachineId,
) -> Result<Result<PeerStream, String>, WorkspaceError> {
    let Some(client) = runner.peers.client(at.as_str()) else {
        return match runner.peers.status(at.as_str()) {
            Some(status) => Ok(Err(status.last_error.unwrap_or_else(|| "it is being connected".to_owned()))),
            None => Err(WorkspaceError::NoPeer(
                at.clone(),
                format!(
                    "its repository is too large for Redis and is at {at}, which is no peer of this machine; `darkmux fleet \
                     join` makes it one"
                ),
            )),
        };
    };
    let request = PeerRequest::get(format!("/v1/jobs/{}/repository", claim.id));
    match client.stream(request, HEAD).await {
        Ok(pack) if pack.status == StatusCode::OK => Ok(Ok(pack)),
        Ok(pack) if pack.status == StatusCode::NOT_FOUND => {
            let words = format!("{at} does not have its repository any more; dispatch it again");
            Err(WorkspaceError::Refused(words))
        }
        Ok(pack) => Ok(Err(format!("it answers with status {}", pack.status.as_u16()))),
        Err(error @ PeerError::Denied) => {
            let words = format!("{at} does not give its repository to this machine: {error}");
            Err(WorkspaceError::Lacks(words))
        }
        Err(error) => Ok(Err(error.to_string())),
    }
}
