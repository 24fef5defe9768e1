//! Coming back to a session of another machine after the way there broke: when, how often, and what is said of it.
//!
//! Invariant: what is wrong for good is said at once; what may pass is tried again, ever more slowly, for [`PATIENCE`].

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::failure;
use crate::cli::{Cx, Exit, Failure};
use crate::client::ClientError;
use crate::util::{Backoff, visible_line};

/// Between two tries: the first pause, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// How long it is tried: a machine may have to start again.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long it may take before the user is told.
const TOLD_AFTER: Duration = Duration::from_millis(300);

/// How long a daemon that was started anew may not know a session that it knew before.
const NOT_KNOWN_YET: Duration = Duration::from_secs(5);

/// Longest reason that is quoted, in characters.
const WHY_MAX: usize = 200;

/// What is wrong.
#[derive(Debug)]
pub enum Trouble {
    /// A daemon on the way, or the way itself, is gone: it may come back.
    Way(String),
    /// There is no such session; or not yet, where a daemon has just been started.
    Unknown(Failure),
    /// It will not pass.
    Final(Failure),
}

impl Trouble {
    /// For who does not try again.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Way(why) => Failure::new(Exit::Unreachable, why),
            Self::Unknown(failure) | Self::Final(failure) => failure,
        }
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        let way = match &error {
            ClientError::Refused { status: 404, .. } => return Self::Unknown(failure(error)),
            ClientError::Refused { code, message, .. }
                if ["peer_unavailable", "stopping"].contains(&code.as_str()) =>
            {
                message.clone()
            }
            ClientError::Refused { status: 502..=504, message, .. } => message.clone(),
            ClientError::Refused { .. } | ClientError::Setup(_) | ClientError::Shape { .. } => {
                return Self::Final(failure(error));
            }
            error => error.to_string(),
        };
        Self::Way(way)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Final(error.into())
    }
}

/// How the way has been since it was whole last.
#[derive(Debug)]
pub struct Heal {
    broke: Option<Instant>,
    unknown: Option<Instant>,
    backoff: Backoff,
    told: bool,
}

impl Default for Heal {
    fn default() -> Self {
        let backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        Self { broke: None, unknown: None, backoff, told: false }
    }
}

impl Heal {
    /// Something came: the way is whole. Whether that is worth telling.
    pub fn is_whole(&mut self) -> bool {
        std::mem::take(self).told
    }

    /// How long to wait before the next try for a session, and why there has to be one. Fails where there is to be none.
    pub fn after(&mut self, id: &str, trouble: Trouble) -> Result<(Duration, String), Failure> {
        let why = match trouble {
            Trouble::Way(why) => {
                self.unknown = None;
                why
            }
            // Before anything broke it was a wrong name.
            Trouble::Unknown(failure) => {
                let since = *self.unknown.get_or_insert_with(Instant::now);
                if self.broke.is_none() || since.elapsed() >= NOT_KNOWN_YET {
                    return Err(failure);
                }
                failure.words().to_owned()
            }
            Trouble::Final(failure) => return Err(failure),
        };
        let why: String = visible_line(&why).chars().take(WHY_MAX).collect();
        if self.broke.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
            let words = format!("session {id} can't be reached for {} min: {why}", PATIENCE.as_secs() / 60);
            return Err(Failure::new(Exit::Unreachable, words));
        }
        Ok((self.backoff.pause(), why))
    }

    /// As [`after`](Self::after), and waits. What is longer than a blip is told, once.
    pub async fn wait(&mut self, cx: &Cx, id: &str, trouble: Trouble) -> Result<(), Failure> {
        let (pause, why) = self.after(id, trouble)?;
        let is_long = self.broke.is_some_and(|broke| broke.elapsed() >= TOLD_AFTER);
        if is_long && !std::mem::replace(&mut self.told, true) {
            cx.printer.note(&format!("session {id} can't be reached: {why}; trying again"));
        }
        sleep(pause).await;
        Ok(())
    }

    /// As [`is_whole`](Self::is_whole), and tells.
    pub fn tell_whole(&mut self, cx: &Cx, id: &str) {
        if self.is_whole() {
            cx.printer.note(&format!("session {id} is reached again"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Trouble {
        let (path, message) = ("/v1/x".to_owned(), "words".to_owned());
        ClientError::Refused { path, status, code: code.to_owned(), message }.into()
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        assert!(matches!(refused(502, "peer_unavailable"), Trouble::Way(why) if why == "words"));
        assert!(matches!(refused(503, "stopping"), Trouble::Way(_)));
        assert!(matches!(refused(504, ""), Trouble::Way(_)));
        assert!(matches!(Trouble::from(ClientError::Between), Trouble::Way(_)));
        assert!(matches!(refused(404, "not_found"), Trouble::Unknown(_)));
        assert!(matches!(refused(400, "bad_request"), Trouble::Final(_)));
        assert!(matches!(refused(401, "unauthorized"), Trouble::Final(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_tried_for_a_while_and_what_is_not_known_for_a_moment() {
        let way = || Trouble::Way("gone".to_owned());
        let mut heal = Heal::default();
        assert!(heal.after("x@m", refused(404, "")).is_err(), "nothing broke before");
        let mut heal = Heal::default();
        let pauses: Vec<Duration> = (0..8).map(|_| heal.after("x@m", way()).unwrap().0).collect();
        assert!(pauses[0] <= FIRST_PAUSE && pauses[7] >= LAST_PAUSE / 2, "{pauses:?}");
        assert!(heal.after("x@m", refused(404, "")).is_ok(), "it may not be known yet");
        tokio::time::advance(NOT_KNOWN_YET).await;
        assert_eq!(heal.after("x@m", refused(404, "")).unwrap_err().exit(), Exit::Failed);
        assert!(!heal.is_whole(), "nothing was told");
        assert!(heal.after("x@m", way()).unwrap().0 <= FIRST_PAUSE, "it begins anew");
        tokio::time::advance(PATIENCE).await;
        assert_eq!(heal.after("x@m", way()).unwrap_err().exit(), Exit::Unreachable);
    }
}
