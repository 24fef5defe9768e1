//! The daemon of another machine, as one sees it that joins or leaves it.
//!
//! Invariants: an answer takes at most 15 s and 64 KiB; what was resolved and checked is what is connected to; no
//! redirect is followed and no proxy asked; before the other side has shown that it knows the code nothing is told but
//! this machine's name, sealed.

use std::time::Duration;

use reqwest::{StatusCode, header};

use crate::fleet::join::{Greeted, InviteCode, Joining, SealError};
use crate::fleet::{AddressError, PeerAddress};
use crate::util::{BodyError, Secret, read_body};
use crate::wire::{JoinAnswer, JoinAsk, JoinGreeting, JoinHello, Said};

/// How long connecting may take, and a question altogether: asking Redis' password of a keychain may take a while.
const CONNECT_TIME: Duration = Duration::from_secs(3);
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// Why joining or leaving failed. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The address may not be asked, or its name is not known.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Nobody answers.
    #[error(
        "{address} can't be reached: {reason}; is `darkmux serve` running there, and listening on that address?"
    )]
    Unreachable {
        /// Who was asked.
        address: String,
        /// Why.
        reason: String,
    },
    /// It said no.
    #[error("{address}: {message}")]
    Refused {
        /// Who was asked.
        address: String,
        /// A word for programs.
        code: String,
        /// Its reason.
        message: String,
    },
    /// What answers is no darkmux that can be joined.
    #[error("{address}: {what}; is it a darkmux of this version?")]
    Foreign {
        /// Who was asked.
        address: String,
        /// What it did.
        what: String,
    },
    /// The exchange can't be sealed or opened.
    #[error("{0}; somebody may stand between the machines: make another invitation")]
    Seal(#[from] SealError),
    /// The client could not be made.
    #[error("the HTTP client could not be made: {0}")]
    Setup(String),
}

impl JoinError {
    /// Whether the other side does not know, or not any more, who asks.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "unauthorized" || code == "not_joined")
    }

    /// Whether the other side was not reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Address(AddressError::Unknown(..)))
    }
}

/// A daemon that has shown that it made the invitation.
#[derive(Debug)]
pub struct Visit {
    far: Far,
    greeted: Greeted,
    greeting: JoinGreeting,
}

impl Visit {
    /// Asks the daemon of this invitation what joining would bring. Changes nothing there.
    pub async fn begin(code: &InviteCode, hello: &JoinHello) -> Result<Self, JoinError> {
        let far = Far::at(&code.address).await?;
        let joining = Joining::begin(code.psk())?;
        let message = joining.hello(&far.text_of(hello)?)?;
        let answer = far.join(message).await?;
        let (greeted, text) = joining.greeted(&answer)?;
        let greeting = far.read(&text)?;
        Ok(Self { far, greeted, greeting })
    }

    /// What joining would bring.
    pub fn greeting(&self) -> JoinGreeting {
        self.greeting.clone()
    }

    /// Joins.
    pub async fn join(&self, ask: &JoinAsk) -> Result<JoinAnswer, JoinError> {
        let message = self.greeted.join(&self.far.text_of(ask)?)?;
        let answer = self.greeted.open_answer(&self.far.join(message).await?)?;
        self.far.read(&answer)
    }
}

/// Tells a machine that this one leaves; with its token for us.
pub async fn leave(address: &PeerAddress, token: &Secret) -> Result<(), JoinError> {
    let far = Far::at(address).await?;
    let request = far.http.post(format!("{}/fleet/leave", far.origin)).bearer_auth(token.expose());
    far.send(request).await.map(drop)
}

#[derive(Debug)]
struct Far {
    http: reqwest::Client,
    origin: String,
    address: String,
}

impl Far {
    async fn at(address: &PeerAddress) -> Result<Self, JoinError> {
        let resolving = tokio::time::timeout(CONNECT_TIME, address.resolve()).await;
        let shown = address.to_string();
        let resolved = resolving.map_err(|_| JoinError::Unreachable {
            address: shown.clone(),
            reason: "nobody told its address in time".to_owned(),
        })??;
        let builder = match address.name() {
            Some(name) => super::Client::builder(address.is_tls()).resolve_to_addrs(name, &resolved),
            None => super::Client::builder(address.is_tls()),
        };
        let http = builder
            .connect_timeout(CONNECT_TIME)
            .timeout(ANSWER_TIME)
            .build()
            .map_err(|error| JoinError::Setup(error.to_string()))?;
        Ok(Self { http, origin: address.origin(), address: shown })
    }

    async fn join(&self, message: Vec<u8>) -> Result<Vec<u8>, JoinError> {
        let request = self
            .http
            .post(format!("{}/fleet/join", self.origin))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            // Pages of others can't say this; a daemon asks for it where nobody shows a token.
            .header(header::ORIGIN, &self.origin)
            .body(message);
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, JoinError> {
        let unreachable = |error: reqwest::Error| JoinError::Unreachable {
            address: self.address.clone(),
            reason: if error.is_timeout() { "no answer in time".to_owned() } else { super::cause(&error) },
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = read_body(response, ANSWER_MAX).await.map_err(|error| match error {
            BodyError::Broken(error) => unreachable(error),
            too_large @ BodyError::TooLarge(_) => self.foreign(format!("its answer: {too_large}")),
        })?;
        if status == StatusCode::OK {
            return Ok(body.into());
        }
        let Said { code, message } = Said::read(&body);
        match code.as_str() {
            "" | "not_found" => Err(self.foreign(format!("it answers {}", status.as_u16()))),
            _ => Err(JoinError::Refused { address: self.address.clone(), code, message }),
        }
    }

    fn foreign(&self, what: String) -> JoinError {
        JoinError::Foreign { address: self.address.clone(), what }
    }

    fn text_of<T: serde::Serialize>(&self, value: &T) -> Result<Vec<u8>, JoinError> {
        serde_json::to_vec(value).map_err(|error| self.foreign(error.to_string()))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, text: &[u8]) -> Result<T, JoinError> {
        serde_json::from_slice(text).map_err(|error| self.foreign(error.to_string()))
    }
}
