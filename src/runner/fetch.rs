//! A repository that is too large for Redis, fetched from the machine that its job was dispatched on, where that is a peer.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Runner;
use crate::model::MachineId;
use crate::peer::{PeerRequest, PeerStream};
use crate::work::Claim;
use crate::workspace::{Placing, WorkspaceError};

/// How long the other machine may take to begin, and to say nothing.
const HEAD: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_mins(5);

/// How long the other machine may be away before the job is given back, counted from the last try in which something
/// came; and how long all tries may take together.
const AWAY: Duration = Duration::from_mins(10);
const ALL: Duration = Duration::from_hours(2);

/// The pause between two tries.
const AGAIN: Duration = Duration::from_secs(2);

/// Pieces that wait for git.
const WAITING: usize = 4;

/// What came of a try.
enum Tried {
    Placed(PathBuf),
    /// It is not had this time.
    Broke {
        why: String,
        /// Whether a part of it came.
        came: bool,
    },
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
    let fetched = patiently(
        || once(runner, claim, (at, placing)),
        |why| {
            tracing::debug!(job = %claim.id, %at, why, "its repository waits");
        },
    );
    fetched.await?.map_err(|why| {
        WorkspaceError::NoPeer(at.clone(), format!("its repository can't be fetched from {at}: {why}"))
    })
}

/// Tries until it is had, the other machine was away for [`AWAY`], or [`ALL`] is over; the inner error says why it was
/// not had at last.
async fn patiently<F>(
    mut once: impl FnMut() -> F,
    waits: impl Fn(&str),
) -> Result<Result<PathBuf, String>, WorkspaceError>
where
    F: Future<Output = Result<Tried, WorkspaceError>>,
{
    let end = Instant::now() + ALL;
    let mut until = Instant::now() + AWAY;
    loop {
        let why = match timeout_at(end, once()).await {
            Ok(tried) => match tried? {
                Tried::Placed(begin) => return Ok(Ok(begin)),
                Tried::Broke { why, came } => {
                    if came {
                        until = Instant::now() + AWAY;
                    }
                    why
                }
            },
            Err(_) => format!("it took more than {} hours", ALL.as_secs() / 3600),
        };
        if Instant::now() >= until.min(end) {
            return Ok(Err(why));
        }
        waits(&why);
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
        Err(why) => return Ok(Tried::Broke { why, came: false }),
    };
    let (send, pieces) = mpsc::channel(WAITING);
    let carry = async move {
        let mut came = false;
        loop {
            let piece = match pack.next(IDLE).await {
                Ok(None) => return (came, None),
                Ok(Some(piece)) => Ok(piece),
                Err(error) => Err(error.to_string()),
            };
            came |= piece.is_ok();
            let broke = piece.as_ref().err().cloned();
            // Git may have had enough, and says why.
            if send.send(piece).await.is_err() || broke.is_some() {
                return (came, broke);
            }
        }
    };
    let (placed, (came, broke)) = tokio::join!(placing.fetch(pieces), carry);
    match (placed, broke) {
        (Ok(begin), _) => Ok(Tried::Placed(begin)),
        (Err(_), Some(why)) => Ok(Tried::Broke { why, came }),
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
        Err(error) if error.is_denial() => {
            let words = format!("{at} does not give its repository to this machine: {error}");
            Err(WorkspaceError::Lacks(words))
        }
        Err(error) => Ok(Err(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// Minutes until it is given up, where a part comes with each of the first so many tries, a minute apart.
    async fn minutes(parts: u32) -> u64 {
        let began = Instant::now();
        let mut tries = 0;
        let once = || {
            tries += 1;
            let came = tries <= parts;
            async move {
                tokio::time::sleep(MINUTE.saturating_sub(AGAIN)).await;
                Ok(Tried::Broke { why: "away".to_owned(), came })
            }
        };
        assert_eq!(patiently(once, |_| ()).await.unwrap().unwrap_err(), "away");
        (began.elapsed() + AGAIN).as_secs() / 60
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_a_part_again_and_again_is_waited_for() {
        assert_eq!(minutes(0).await, 11);
        assert_eq!(minutes(30).await, 40);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_waited_for_without_end() {
        let began = Instant::now();
        let never = || std::future::pending::<Result<Tried, WorkspaceError>>();
        assert_eq!(patiently(never, |_| ()).await.unwrap().unwrap_err(), "it took more than 2 hours");
        assert_eq!(began.elapsed(), ALL);
        let again = || async { Ok(Tried::Broke { why: "away".to_owned(), came: true }) };
        patiently(again, |_| ()).await.unwrap().unwrap_err();
        assert!(began.elapsed() <= 2 * ALL + AGAIN);
    }
}
