//! What the program in the session and its agent can ask of their host, in the words of a gmux runner. What only reports
//! needs no key:
//!
//! | request | does | answers |
//! |---|---|---|
//! | `GET /meta` | | what the session is |
//! | `PUT /status` | takes a [`SessionReport`] of at most 4096 bytes, or `null` | 204 |
//! | `PUT /slug` | takes a readable name of at most 256 bytes as it is | 204 |
//! | `PUT /agent` `{title?, session?}` | takes the agent's title and conversation | 204 |
//! | `POST /input` (key) | types the body, at most 1 MiB | 204 |
//! | `GET /scrollback/text` (key) | | the screen as text |
//! | `GET /scrollback/tail?n=50` (key) | | the newest lines as text |
//! | `POST /kill` (key) | ends the session | 204 |

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Value, json};

use super::Host;
use super::api::{Body, body_within, done, failure, json_response, parameter, text_response, type_in};
use crate::wire::SessionReport;

/// Longest report, in bytes.
const REPORT_MAX: usize = 4096;

/// Longest slug as it is sent, in bytes.
const SLUG_SENT_MAX: usize = 256;

/// Longest slug, in characters.
const SLUG_MAX: usize = 40;

/// Most bytes typed by one request.
const INPUT_MAX: usize = 1024 * 1024;

/// Lines of a tail, and most of them.
const TAIL: (u64, u64) = (50, 10_000);

/// How long an end that was asked for here may take before it is forced.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// What an agent says of itself.
#[derive(Debug, Deserialize)]
struct Agent {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    session: Option<String>,
}

/// Answers a request of the agent's side; `None` when it is none of them.
pub(super) async fn answer(host: &Arc<Host>, request: Request<Incoming>) -> Option<Response<Body>> {
    let path = request.uri().path().to_owned();
    Some(match (request.method(), path.as_str()) {
        (&Method::GET, "/meta") => json_response(StatusCode::OK, &meta(host)),
        (&Method::PUT, "/status") => status(host, request).await,
        (&Method::PUT, "/slug") => slug(host, request).await,
        (&Method::PUT, "/agent") => agent(host, request).await,
        (&Method::POST, "/input") => match body_within(request, INPUT_MAX).await {
            Ok(bytes) => type_in(host, bytes).await,
            Err(refused) => refused,
        },
        (&Method::GET, "/scrollback/text") => screen_text(host).await,
        (&Method::GET, "/scrollback/tail") => tail(host, &request).await,
        (&Method::POST, "/kill") => {
            // A full queue holds requests that say the same.
            let _ = host.stop.try_send(KILL_GRACE);
            done(StatusCode::NO_CONTENT)
        }
        _ => return None,
    })
}

/// The session in gmux's words, with ours beside them.
fn meta(host: &Host) -> Value {
    let status = host.status_now();
    let report = status.report.as_ref();
    json!({
        "id": status.id,
        "created_at": status.created_at,
        "started_at": status.started_at,
        "command": status.command,
        "cwd": status.cwd,
        "kind": status.kind.as_deref().unwrap_or("shell"),
        "alive": !status.state.is_final(),
        "pid": status.pid,
        "exit_code": status.exit_code,
        "title": status.agent_title.as_ref().or(status.terminal_title.as_ref()).or(status.name.as_ref()),
        "shell_title": status.terminal_title,
        "adapter_title": status.agent_title,
        "status": report.map(|report| json!({
            "label": report.label, "working": report.working, "error": report.error,
        })),
        "unread": status.unread,
        "slug": status.slug,
        "terminal_cols": status.size.cols,
        "terminal_rows": status.size.rows,
        "socket_path": crate::session::socket_path(&host.folder),
        "darkmux": status,
    })
}

async fn status(host: &Arc<Host>, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body_within(request, REPORT_MAX).await {
        Ok(bytes) => bytes,
        Err(refused) => return refused,
    };
    match no_list::<Option<SessionReport>>(&bytes) {
        Ok(report) => {
            host.reported(report);
            done(StatusCode::NO_CONTENT)
        }
        Err(error) => failure(
            StatusCode::BAD_REQUEST,
            format!("a report is {{label, working, error?, needs_you?}}: {error}"),
        ),
    }
}

/// Reads what is no list: the fields of a list would be taken by their order.
fn no_list<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    match serde_json::from_slice(bytes)? {
        Value::Array(_) => Err(serde_json::Error::custom("this is a list")),
        value => serde_json::from_value(value),
    }
}

async fn slug(host: &Arc<Host>, request: Request<Incoming>) -> Response<Body> {
    match body_within(request, SLUG_SENT_MAX).await {
        Ok(bytes) => {
            host.slug(slug_of(&String::from_utf8_lossy(&bytes)));
            done(StatusCode::NO_CONTENT)
        }
        Err(refused) => refused,
    }
}

/// Lower case letters and digits of a text, with one dash for whatever lies between.
fn slug_of(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug: String = words.collect::<Vec<_>>().join("-").chars().take(SLUG_MAX).collect();
    Some(slug.trim_end_matches('-').to_owned()).filter(|slug| !slug.is_empty())
}

async fn agent(host: &Arc<Host>, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body_within(request, REPORT_MAX).await {
        Ok(bytes) => bytes,
        Err(refused) => return refused,
    };
    match no_list::<Agent>(&bytes) {
        Ok(agent) => {
            host.agent(agent.title.as_deref(), agent.session.as_deref());
            done(StatusCode::NO_CONTENT)
        }
        Err(error) => failure(StatusCode::BAD_REQUEST, format!("an agent is {{title?, session?}}: {error}")),
    }
}

/// The rows of the screen, their blank ends cut.
pub(super) async fn screen_text(host: &Host) -> Response<Body> {
    let rows = host.model.look(|screen, _| screen.text_rows()).await.unwrap_or_default();
    text_response(&rows)
}

async fn tail(host: &Host, request: &Request<Incoming>) -> Response<Body> {
    let (usual, most) = TAIL;
    let count = usize::try_from(parameter(request, "n").unwrap_or(usual).min(most)).unwrap_or(usize::MAX);
    text_response(&host.model.look(move |screen, _| screen.tail(count)).await.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_holds_lower_case_words_alone() {
        assert_eq!(slug_of(" Fix: the/Parser (again)! ").as_deref(), Some("fix-the-parser-again"));
        assert_eq!(slug_of("\u{1b}[31m../..").as_deref(), Some("31m"));
        assert_eq!(slug_of("--- / ---"), None);
        assert_eq!(slug_of(&"abc ".repeat(90)).map(|slug| slug.len()), Some(SLUG_MAX - 1));
    }
}
