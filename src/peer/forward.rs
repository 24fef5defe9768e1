//! Which questions about a session are carried to its machine, how long each may take, and what of an answer is
//! carried back.
//!
//! Invariants: nothing of a peer's headers but a few is handed on; an answer is JSON or it is none; ids in an answer are
//! those that the asked machine gives.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::audience::HOPS_MAX;
use super::client::{Limit, PeerAnswer};
use super::{PeerError, RemoteId};
use crate::model::is_peer_name;
use crate::wire::{OUTPUT_START, Said};

/// Largest answer to an action, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;

/// How long most actions may take.
const USUAL: u64 = 10;

/// Beyond the time that a wait was asked for, in seconds.
const BESIDE_WAIT: u64 = 10;

/// More for each machine behind the peer, in seconds, so that the one nearest to the fault tells of it.
const PER_HOP: u64 = 2;

/// Longest wait, in seconds, and the one that is meant where none is named: those of the route.
const WAIT_MAX: u64 = 86_400;
const WAIT_USUAL: u64 = 3600;

/// How long an action may take. `query` is that of the request, `further` the number of machines behind the peer.
pub fn limit(action: &str, query: Option<&str>, further: u32) -> Limit {
    let seconds = match action {
        // It may have to end a program that does not want to.
        "restart" | "kill" | "dismiss" => 40,
        "clipboard" => 30,
        "wait" => wait_of(query) + BESIDE_WAIT,
        _ => USUAL,
    };
    let deadline = Duration::from_secs(seconds + PER_HOP * u64::from(further.min(64)));
    Limit { deadline, max_bytes: ANSWER_MAX }
}

fn wait_of(query: Option<&str>) -> u64 {
    let mut pairs = query.unwrap_or_default().split('&');
    let asked = pairs.find_map(|pair| pair.strip_prefix("timeout=")?.parse().ok());
    asked.unwrap_or(WAIT_USUAL).min(WAIT_MAX)
}

/// Headers of an answer that mean something to who asked.
const KEPT: [&str; 3] = ["cache-control", OUTPUT_START, "retry-after"];

/// The headers of an answer that are handed on.
pub fn kept(headers: &http::HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    KEPT.into_iter().filter_map(|name| Some((HeaderName::from_static(name), headers.get(name)?.clone())))
}

/// What becomes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Carried {
    /// It is handed on: JSON.
    Json(StatusCode, Bytes),
    /// A refusal in plain words, which get our shape.
    Words(StatusCode, String),
}

/// Judges an answer to an action. Where it names a session by the peer's id, `peer` is added.
pub fn carried(answer: &PeerAnswer, peer: &str) -> Result<Carried, PeerError> {
    let PeerAnswer { status, body, .. } = answer;
    if serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        let body = if status.is_success() { with_our_ids(body, peer)? } else { body.clone() };
        return Ok(Carried::Json(*status, body));
    }
    match status {
        _ if !status.is_success() => Ok(Carried::Words(*status, Said::read(body).message)),
        _ if body.is_empty() => {
            Ok(Carried::Json(StatusCode::OK, Bytes::from_static(b"{\"data\":{},\"ok\":true}")))
        }
        _ => Err(PeerError::Shape("it is no JSON".to_owned())),
    }
}

/// The body with `data.session_id` as this machine's own clients have to say it. They make addresses of it, so one that is
/// no id is not handed on.
fn with_our_ids(body: &Bytes, peer: &str) -> Result<Bytes, PeerError> {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return Ok(body.clone()) };
    let id = value.get_mut("data").and_then(|data| data.get_mut("session_id"));
    let Some(id) = id.filter(|id| !id.is_null()) else { return Ok(body.clone()) };
    let ours = id.as_str().map(|id| format!("{id}@{peer}"));
    match ours.filter(|ours| RemoteId::parse(ours).is_some()) {
        Some(ours) => *id = ours.into(),
        None => return Err(PeerError::Shape("its session_id is none".to_owned())),
    }
    Ok(value.to_string().into())
}

/// The peer that is to start a session, and the machine behind it that it is to hand it to: `dev@server` is `dev`, as
/// `server` calls it. `None` for what is no way, or one that is further than sessions are shown: one that goes in a circle
/// would hold a call at each of its machines.
pub fn launch_on(machine: &str) -> Option<(&str, Option<&str>)> {
    let is_way = machine.split('@').take(HOPS_MAX + 1).all(is_peer_name);
    let is_near = machine.matches('@').count() < HOPS_MAX;
    let (further, direct) =
        machine.rsplit_once('@').map_or((None, machine), |(rest, last)| (Some(rest), last));
    (is_way && is_near).then_some((direct, further))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_has_its_time() {
        let seconds = |action, query, further| limit(action, query, further).deadline.as_secs();
        assert_eq!((seconds("read", None, 0), seconds("restart", None, 0)), (10, 40));
        assert_eq!(seconds("wait", Some("for=exit&timeout=5"), 0), 15);
        assert_eq!(seconds("wait", None, 0), 3610);
        assert_eq!(seconds("wait", Some("timeout=99999999999"), 2), 86_414);
        assert_eq!(seconds("read", None, u32::MAX), 138);
    }

    #[test]
    fn an_answer_is_json_or_gets_our_words() {
        let carried = |status: u16, body: &'static str| {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = PeerAnswer { status, headers: http::HeaderMap::new(), body: body.into() };
            carried(&answer, "desk")
        };
        let json = |status, body: &str| {
            Ok(Carried::Json(StatusCode::from_u16(status).unwrap(), Bytes::copy_from_slice(body.as_bytes())))
        };
        let error = r#"{"error":{"code":"not_found","message":"no"},"ok":false,"session_id":"x"}"#;
        assert_eq!(carried(404, error), json(404, error));
        let kept = r#"{"z":1,"data":{"pid":7},"ok":true}"#;
        assert_eq!(carried(200, kept), json(200, kept));
        let ours = r#"{"data":{"pid":7,"session_id":"sess-1@desk"},"ok":true}"#;
        assert_eq!(carried(200, r#"{"ok":true,"data":{"session_id":"sess-1","pid":7}}"#), json(200, ours));
        for wrong in [r#""../x""#, r#""a\u001b[2Jb""#, "7"] {
            let answer = format!(r#"{{"data":{{"session_id":{wrong}}}}}"#).leak();
            assert!(matches!(carried(200, answer), Err(PeerError::Shape(_))), "{wrong}");
        }
        assert_eq!(carried(204, ""), json(200, r#"{"data":{},"ok":true}"#));
        let words = Carried::Words(StatusCode::BAD_GATEWAY, "peer unavailable".to_owned());
        assert_eq!(carried(502, "peer unavailable\n"), Ok(words));
        assert!(matches!(carried(200, "<html>"), Err(PeerError::Shape(_))));
    }

    #[test]
    fn a_launch_goes_one_hop_at_a_time() {
        assert_eq!(launch_on("desk"), Some(("desk", None)));
        assert_eq!(launch_on("dev@server"), Some(("server", Some("dev"))));
        assert_eq!(launch_on("a@b@a@b"), Some(("b", Some("a@b@a"))));
        for none in ["a@b@a@b@a", "", "@", "a@", "@a", "a@@b", "A", "a/b@c", "../x", &"a@".repeat(100_000)] {
            assert_eq!(launch_on(none), None, "{}", none.chars().take(20).collect::<String>());
        }
    }
}
