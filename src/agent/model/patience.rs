//! Asking again when that may help.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ask::{Answer, Ask, Piece};
use super::client::ModelClient;
use super::error::AskError;
use crate::util::jitter;

/// Longest pause of our own.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Longest pause that a server may ask for.
const AFTER_MAX: Duration = Duration::from_mins(5);

/// How often a question is asked again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Times beside the first.
    pub retries: u32,
    /// First pause; it doubles each time.
    pub pause: Duration,
}

impl Patience {
    /// The pause after this failure, the `tried`-th in a row; `None` when asking again is of no use.
    fn pause(&self, error: &AskError, tried: u32) -> Option<Duration> {
        if !error.may_pass() || tried > self.retries {
            return None;
        }
        let own = self.pause.saturating_mul(1 << (tried - 1).min(10)).min(PAUSE_MAX);
        match error.after() {
            Some(after) if after > AFTER_MAX => None,
            Some(after) => Some(after.max(self.pause)),
            None => Some(jitter(own, 20)),
        }
    }
}

/// Hears an answer as it comes.
pub trait Listener {
    /// A piece of it. `false` means that enough was heard.
    fn hear(&mut self, piece: Piece<'_>) -> bool;
    /// What was heard of this answer counts no longer: the question is asked again after the pause.
    fn again(&mut self, why: &AskError, pause: Duration);
}

/// Asks until there is an answer, or asking again is of no use.
pub async fn ask_patiently(
    client: &mut ModelClient,
    ask: &Ask<'_>,
    patience: &Patience,
    listener: &mut dyn Listener,
    cancel: &CancellationToken,
) -> Result<Answer, AskError> {
    let mut tried = 0;
    loop {
        let error = match client.ask(ask, &mut |piece| listener.hear(piece), cancel).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        tried += 1;
        let Some(pause) = patience.pause(&error, tried) else { return Err(error) };
        listener.again(&error, pause);
        tokio::select! {
            () = cancel.cancelled() => return Err(AskError::TakenBack),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_end_and_heed_the_server() {
        let patience = Patience { retries: 3, pause: Duration::from_secs(1) };
        let down = AskError::Unreachable("refused".into());
        let pauses: Vec<u128> =
            (1..=4).map_while(|tried| patience.pause(&down, tried)).map(|pause| pause.as_millis()).collect();
        assert!(pauses.len() == 3 && pauses[0] <= 1200 && (3200..=4800).contains(&pauses[2]), "{pauses:?}");
        let long = Patience { retries: 20, ..patience }.pause(&down, 15).unwrap();
        assert!(long <= PAUSE_MAX * 6 / 5, "{long:?}");
        let busy = |after| AskError::Busy {
            status: 429,
            after: Some(Duration::from_secs(after)),
            said: String::new(),
        };
        assert_eq!(patience.pause(&busy(7), 1), Some(Duration::from_secs(7)));
        assert_eq!(patience.pause(&busy(3600), 1), None);
        assert_eq!(patience.pause(&AskError::Refused { status: 400, said: String::new() }, 1), None);
    }
}
