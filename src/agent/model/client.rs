//! One endpoint to ask.

use std::time::Duration;

use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::ask::{Answer, Ask, Finish, Limits, Piece};
use super::assemble::Assembler;
use super::error::{AskError, Phase};
use super::request;
use super::stream::{self, Read};
use crate::config::Endpoint;
use crate::fleet::key_of;
use crate::util::{Clock, Secret, read_body, root_cause};

/// How long a server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to say what is wrong, and how much of that is read.
const ERROR_PATIENCE: Duration = Duration::from_secs(10);
const ERROR_MAX: usize = 64 * 1024;

/// Largest answer that is not streamed, in bytes.
const WHOLE_MAX: usize = 8 * 1024 * 1024;

/// Asks the models of one endpoint.
#[derive(Debug)]
pub struct ModelClient {
    http: Client,
    url: String,
    key: Option<Secret>,
    limits: Limits,
    /// Whether the server takes the wish for usage.
    counts: bool,
}

impl ModelClient {
    /// For this endpoint; reads its key, and asks nothing yet. The error is in words.
    pub async fn new(endpoint: &Endpoint, limits: Limits) -> Result<Self, String> {
        // Needed before the first client of a process, and without effect after that.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = key_of(endpoint).await?;
        let builder = Client::builder()
            // The key goes nowhere else, and the environment's proxy is not for local servers.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_PATIENCE)
            .tcp_nodelay(true);
        // Reading the system's certificates takes time and memory.
        let builder = if endpoint.is_tls() { builder } else { builder.tls_certs_only([]) };
        let http = builder.build().map_err(|error| root_cause(&error))?;
        Ok(Self { http, url: format!("{}/chat/completions", endpoint.base), key, limits, counts: true })
    }

    /// Asks once. `tell` hears the answer as it comes, and says whether it wants to hear more.
    pub async fn ask(
        &mut self,
        ask: &Ask<'_>,
        tell: &mut dyn FnMut(Piece<'_>) -> bool,
        cancel: &CancellationToken,
    ) -> Result<Answer, AskError> {
        let key = self.key.clone();
        let asked = async {
            match self.ask_once(ask, tell).await {
                Err(AskError::Refused { said, .. }) if self.counts && said.contains("stream_options") => {
                    self.counts = false;
                    self.ask_once(ask, tell).await
                }
                done => done,
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(AskError::TakenBack),
            answer = asked => answer.map_err(|error| error.without(key.as_ref())),
        }
    }

    async fn ask_once(
        &self,
        ask: &Ask<'_>,
        tell: &mut dyn FnMut(Piece<'_>) -> bool,
    ) -> Result<Answer, AskError> {
        let asked = Instant::now();
        let mut request = self.http.post(&self.url).json(&request::body(ask, self.counts));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        let patience = self.limits.first_token.min(self.limits.answer);
        let response = match timeout(patience, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(AskError::Unreachable(root_cause(&error))),
            Err(_) if self.limits.answer < self.limits.first_token => {
                return Err(AskError::Slow(Phase::Answer));
            }
            Err(_) => return Err(AskError::Slow(Phase::FirstToken)),
        };
        if !response.status().is_success() {
            return Err(refusal(response, self.limits.next_token).await);
        }
        let mut answer = Assembler::default();
        let read = if is_json(response.headers()) {
            self.read_whole(response, asked, &mut answer, tell).await?
        } else {
            stream::read(response, (&self.limits, asked), &mut answer, tell).await?
        };
        let mut answer = answer.finish(ask.tools, &mut |piece| {
            tell(piece);
        });
        if read == Read::Cut {
            answer.finish = Finish::Cut;
        }
        Ok(answer)
    }

    /// Reads the answer of a server that does not stream.
    async fn read_whole(
        &self,
        response: Response,
        asked: Instant,
        into: &mut Assembler,
        tell: &mut dyn FnMut(Piece<'_>) -> bool,
    ) -> Result<Read, AskError> {
        let left = self.limits.answer.saturating_sub(asked.elapsed());
        let body =
            timeout(left, read_body(response, WHOLE_MAX)).await.map_err(|_| AskError::Slow(Phase::Answer))?;
        let body = body.map_err(|error| AskError::Broken(error.to_string()))?;
        let document: Value =
            serde_json::from_slice(&body).map_err(|_| AskError::Broken("it is no JSON".to_owned()))?;
        into.take(&document, &mut |piece| {
            tell(piece);
        })?;
        if into.has_begun() || into.is_complete() {
            Ok(Read::Whole)
        } else {
            Err(AskError::Foreign("its JSON holds no answer".to_owned()))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

async fn refusal(response: Response, patience: Duration) -> AskError {
    let status = response.status().as_u16();
    let after = retry_after(response.headers(), &Clock::System);
    let body = timeout(patience.min(ERROR_PATIENCE), read_body(response, ERROR_MAX)).await;
    AskError::of_answer(status, &body.ok().and_then(Result::ok).unwrap_or_default(), after)
}

/// When a server wants to be asked again: `retry-after-ms`, or `Retry-After` in seconds or as a date. A date is taken by
/// the server's own clock, where it tells that, else by ours.
fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let number = |name: &str| text(name)?.parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number(RETRY_AFTER.as_str()));
    if let Some(seconds) = seconds {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = |name: &str| text(name).and_then(|date| rfc2822::parse(date).ok()).map(|at| at.timestamp());
    let then = date(RETRY_AFTER.as_str())?;
    let now = date(DATE.as_str()).unwrap_or_else(|| clock.now());
    // One that is over already asks for nothing.
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_to_come_back_in_any_form() {
        let clock = Clock::manual("2026-02-01T10:00:00Z".parse().unwrap());
        let after = |headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            retry_after(&map, &clock).map(|after| after.as_millis())
        };
        let at = "Sun, 01 Feb 2026 10:00:30 GMT";
        assert_eq!(after(&[("retry-after", "7")]), Some(7000));
        assert_eq!(after(&[("retry-after", "7"), ("retry-after-ms", "250")]), Some(250));
        assert_eq!(after(&[("retry-after", at)]), Some(30_000));
        // Its clock is 20 s ahead of ours.
        assert_eq!(after(&[("retry-after", at), ("date", "Sun, 01 Feb 2026 10:00:20 GMT")]), Some(10_000));
        assert_eq!(after(&[("retry-after", at), ("date", "Sun, 01 Feb 2026 10:01:00 GMT")]), Some(0));
        for odd in ["soon", "-3", "NaN", "Sun, 99 Feb 2026 10:00:30 GMT", ""] {
            assert_eq!(after(&[("retry-after", odd)]), None, "{odd}");
        }
        assert_eq!(after(&[]), None);
    }
}
