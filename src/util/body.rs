//! The body of an HTTP answer, read within a bound. How long it may take is the caller's: the request's own time limit, or
//! one around all of it.

use bytes::BytesMut;
use reqwest::Response;

use super::root_cause;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// There is more of it.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection broke, or it took too long.
    #[error("{}", root_cause(.0))]
    Broken(#[from] reqwest::Error),
}

/// The whole body, of at most so many bytes.
pub async fn read_body(mut response: Response, most: usize) -> Result<BytesMut, BodyError> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > most {
            return Err(BodyError::TooLarge(most));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// What there is of the body, and of that no more than so many bytes: for words that are good to have.
pub async fn body_start(mut response: Response, most: usize) -> BytesMut {
    let mut body = BytesMut::new();
    while body.len() < most
        && let Ok(Some(piece)) = response.chunk().await
    {
        body.extend_from_slice(&piece[..piece.len().min(most - body.len())]);
    }
    body
}
