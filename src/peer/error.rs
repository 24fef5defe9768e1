//! Why a peer did not do what was asked, in the few words that lists and answers show.

use std::error::Error as StdError;
use std::io;

use tungstenite::error::ProtocolError;

use crate::fleet::AddressError;
use crate::util::visible_line;

/// Longest text of another machine in an error, in characters.
const TEXT_MAX: usize = 300;

/// Why a peer did not answer as asked. The words are gmux' where it has some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// The name means nothing.
    #[error("host not found")]
    UnknownHost,
    /// No machine of a fleet can be there.
    #[error("{0}")]
    Forbidden(String),
    /// Nothing came in time.
    #[error("connection timed out")]
    TimedOut,
    /// Its certificate is not valid, or it speaks no TLS.
    #[error("TLS certificate error: {0}")]
    Tls(String),
    /// It does not take the token.
    #[error("authentication failed")]
    Denied,
    /// It knows who asks, and does not let them: why, in its own words.
    #[error("it refuses: {0}")]
    Refuses(String),
    /// It said nothing for too long.
    #[error("no data received")]
    NoData,
    /// The connection ended before the answer did.
    #[error("connection lost")]
    Lost,
    /// The network refused.
    #[error("connection failed: {0}")]
    Failed(String),
    /// It answered with another status.
    #[error("it answered {0}: {1}")]
    Status(u16, String),
    /// What it answered is not understood.
    #[error("its answer is not understood: {0}")]
    Shape(String),
    /// It answers more than is read.
    #[error("its answer is larger than {0} bytes")]
    TooLarge(usize),
    /// Too much is being asked of it already.
    #[error("too much is asked of it at this moment")]
    Busy,
}

impl PeerError {
    /// What it answered instead, in its own words.
    pub fn status(status: u16, message: &str) -> Self {
        Self::Status(status, bounded(message))
    }

    /// It does not let this machine do that, in its own words.
    pub(super) fn refuses(message: &str) -> Self {
        Self::Refuses(bounded(message))
    }

    /// Whether it was reached, and does not let this machine in.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Denied | Self::Refuses(_))
    }

    /// What the HTTP client says.
    pub fn of(error: &reqwest::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        let mut last = String::new();
        while let Some(error) = cause {
            if let Some(known) = known(error) {
                return known;
            }
            last = error.to_string();
            cause = error.source();
        }
        if error.is_timeout() {
            return Self::TimedOut;
        }
        Self::Failed(bounded(&last))
    }

    /// What the WebSocket says.
    pub fn of_socket(error: &tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Capacity(_) => Self::Shape("a frame is too large".to_owned()),
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Lost,
            tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => {
                Self::Shape("what it sends are no frames".to_owned())
            }
            _ => Self::Lost,
        }
    }
}

/// What one error of a chain means by itself.
fn known(error: &(dyn StdError + 'static)) -> Option<PeerError> {
    if let Some(error) = error.downcast_ref::<AddressError>() {
        return Some(match error {
            AddressError::Unknown(..) => PeerError::UnknownHost,
            other => PeerError::Forbidden(bounded(&other.to_string())),
        });
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(PeerError::Tls(bounded(&error.to_string())));
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return match () {
            () if error.is_incomplete_message() => Some(PeerError::Lost),
            () if error.is_parse() => Some(PeerError::Shape("it is no HTTP".to_owned())),
            () => None,
        };
    }
    let error = error.downcast_ref::<io::Error>()?;
    // An error inside an I/O error is no source of it.
    if let Some(inner) = error.get_ref().and_then(|inner| known(inner)) {
        return Some(inner);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(PeerError::Refused),
        io::ErrorKind::TimedOut => Some(PeerError::TimedOut),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(PeerError::Lost),
        _ => None,
    }
}

/// At most this much of a text of others, and nothing in it that a terminal would act upon.
fn bounded(text: &str) -> String {
    visible_line(text).chars().take(TEXT_MAX).collect()
}
