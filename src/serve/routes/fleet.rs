//! What is alive, in the shapes of darkmux 1.9. Without Redis this machine knows only of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Serialize;

use super::sessions::all;
use crate::fleet::{LiveError, Origin, Roster, members};
use crate::model::SessionState;
use crate::serve::app::json;
use crate::serve::{ApiError, App};
use crate::util::clock;
use crate::wire::{MachineBeat, SessionBeat};

/// Says that the answer lacks what others know, and why.
const PARTIAL: HeaderName = HeaderName::from_static("darkmux-partial");

/// A machine's sign of life and what this machine makes of it.
#[derive(Serialize)]
struct LiveMachine<'a> {
    #[serde(flatten)]
    beat: &'a MachineBeat,
    /// How long ago it was, by the clock of Redis.
    age_ms: u64,
    /// How far its clock is ahead of that of Redis.
    skew_ms: i64,
    /// Whether it is in the roster, too.
    origin: Origin,
    /// Why its name does not mean one machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    clash: Option<String>,
}

/// `GET /fleet/sessions/live`: the sessions that run, here and, with Redis, elsewhere.
pub async fn sessions(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let now = app.now_ms();
    let (here, fleet) = tokio::join!(all(&app), app.fleet.live.sessions());
    let mut beats: BTreeMap<String, SessionBeat> = BTreeMap::new();
    let partial = match &fleet {
        Some(Ok(fleet)) => {
            beats.extend(fleet.iter().map(|beat| (beat.session_id.clone(), beat.clone())));
            false
        }
        Some(Err(_)) => true,
        None => false,
    };
    let running = here?.into_iter().filter(|session| session.state == SessionState::Running);
    beats.extend(running.map(|session| {
        let beat = SessionBeat::of(&session, app.fleet.beacon.uid(), now);
        (beat.session_id.clone(), beat)
    }));
    let mut response = json(&beats.into_values().collect::<Vec<_>>())?;
    if partial {
        response.headers_mut().insert(PARTIAL, HeaderValue::from_static("redis"));
    }
    Ok(response)
}

/// `GET /fleet/machines/live`: the machines that beat in Redis. While Redis does not answer nobody is known to be
/// alive, which is a failure and no empty list.
pub async fn machines(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let Some(presence) = app.fleet.live.machines().await else { return json::<[MachineBeat]>(&[]) };
    let presence = presence.map_err(|error| unknown(&error))?;
    let file = app.fleet.roster.clone();
    // A roster that can't be read is told by `fleet list` and `doctor`; who is alive is known without it.
    let read =
        app.blocking("reading the roster", move || Ok::<Roster, LiveError>(file.read().unwrap_or_default()));
    let roster = read.await?;
    let all = members(&roster, Some(&presence));
    let of_member = |member: &crate::fleet::Member| (member.id.clone(), (member.origin, member.clash()));
    let known: BTreeMap<String, (Origin, Option<String>)> = all.iter().map(of_member).collect();
    let live = presence.machines.iter().map(|seen| {
        let (origin, clash) = known.get(seen.beat.name()).cloned().unwrap_or((Origin::Presence, None));
        let age_ms = clock::whole_ms(seen.age);
        LiveMachine { beat: &seen.beat, age_ms, skew_ms: seen.skew_ms, origin, clash }
    });
    json(&live.collect::<Vec<_>>())
}

fn unknown(error: &LiveError) -> ApiError {
    let message = crate::util::visible_line(&error.to_string()).into_owned();
    ApiError::busy("redis_unreachable", message, 5)
}
