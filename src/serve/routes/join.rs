//! Machines that join and leave. What is said on `/fleet/join` is sealed with the invitation's code (`fleet::join`).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::fleet::join::{Head, InviteCode, Joined, SealError, Took, reply};
use crate::model::MachineId;
use crate::serve::app::json;
use crate::serve::auth::{Caller, Invitation, Opened, Peer};
use crate::serve::inviting::{Guest, Inviting, Offered, ask_back, check_name, keep};
use crate::serve::of_json::of_json;
use crate::serve::{ApiError, App, reach};
use crate::util::{Secret, clock};
use crate::wire::{InviteAsk, Invited, JoinAnswer, JoinAsk, JoinGreeting, JoinHello};

/// How long an invitation is good where nobody says.
const LIFE: u64 = 600;

/// The shortest and the longest life, in seconds.
const LIFE_BOUNDS: std::ops::RangeInclusive<u64> = 5..=24 * 3600;

/// Longest secret of a try, in bytes.
const ATTEMPT_MAX: usize = 128;

/// `POST /fleet/invites`: an invitation.
pub async fn invite(State(app): State<Arc<App>>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    caller.may_have_secrets()?;
    let InviteAsk { address, seconds } = of_json(&body)?;
    let seconds = seconds.unwrap_or(LIFE);
    if !LIFE_BOUNDS.contains(&seconds) {
        return Err(ApiError::bad_request("bad_request", "an invitation is good for 5 seconds to 24 hours"));
    }
    let is_told = address.is_some();
    let address = app.inviting.address(address.as_deref());
    let address = address.map_err(|error| ApiError::bad_request("bad_address", error.to_string()))?;
    if address.is_loopback() && !is_told {
        return Err(ApiError::new(StatusCode::CONFLICT, "loopback_only", loopback_only()));
    }
    let inviting = app.inviting.clone();
    let made_fleet_key = app.blocking("making the fleet's key", move || inviting.ensure_key()).await?;
    let mut notes = Vec::new();
    let redis = match app.inviting.redis(&address).await {
        Offered::Given(redis) => Some(redis.url),
        Offered::Withheld(why) => {
            notes.push(format!("Redis is not passed on: {why}"));
            None
        }
        Offered::Nothing => {
            notes.push("there is no Redis here: the machines see each other and share no queue".to_owned());
            None
        }
    };
    if address.is_loopback() {
        notes.push(format!("{address} is loopback: the code works on this machine and through a tunnel"));
    } else if !app.hosts.answers_to(&address.authority())
        && app.inviting.address(None).ok().as_ref() != Some(&address)
    {
        let host = address.authority();
        notes.push(format!("the daemon answers to {host} with `darkmux config set serve.hosts {host}`"));
    }
    if made_fleet_key {
        notes.push(
            "made the fleet's key: from its next start on this daemon runs signed jobs alone, so machines that \
             share its Redis have to join"
                .to_owned(),
        );
    }
    let code = InviteCode::generate(address).map_err(|error| ApiError::internal("making a code", &error))?;
    let expires = app.auth.invite(&caller, &code, Duration::from_secs(seconds), app.clock.now());
    json(&Invited {
        code: code.text(),
        url: code.url(),
        address: code.address.to_string(),
        expires_at: clock::seconds(expires),
        seconds,
        machine_id: app.machine_id(),
        made_fleet_key,
        redis,
        notes,
    })
}

/// Why a code of this daemon would be of use to nobody, and what to do.
fn loopback_only() -> String {
    let own = reach::encrypted().map_or_else(|| "ADDRESS".to_owned(), |own| own.to_string());
    format!(
        "this daemon listens on loopback only, and no other machine reaches it; `darkmux config set serve.bind {own}` \
         (this machine's address in the tailnet) and start it anew (`darkmux service install --restart`, or `darkmux \
         serve`); through a tunnel: --address HOST:PORT, where its other end is"
    )
}

/// `POST /fleet/join`: a sealed message of a machine that joins, and the sealed answer.
pub async fn join(State(app): State<Arc<App>>, peer: Peer, body: Bytes) -> Result<Response, ApiError> {
    let head = Head::read(&body).map_err(|error| ApiError::bad_request("bad_message", error.to_string()))?;
    let answer = match app.auth.open_invite(&peer, &head, app.clock.now())? {
        Opened::Hello { psk, invitation, text } => {
            let hello: JoinHello = of_json(&text)?;
            guest(&app, &hello, None)?;
            let greeting = sealable(&greet(&app, invitation).await?)?;
            let (session, answer) = reply(&psk, &head.public, &greeting).map_err(unsealed)?;
            app.auth.begun(&head, session, hello);
            answer
        }
        Opened::Join { session, invitation, hello, text } => {
            let ask: JoinAsk = of_json(&text)?;
            let answer = admit(&app, &head, &invitation, (&hello, ask)).await?;
            session.seal_answer(&sealable(&answer)?).map_err(unsealed)?
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], answer).into_response())
}

/// `POST /fleet/leave`: the machine whose token this is leaves; what is kept of it here goes.
pub async fn leave(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let inviting = app.inviting.clone();
    let left = app.blocking("forgetting a machine", move || forget(&inviting, &caller)).await?;
    let Some(id) = left else {
        let message =
            "this is no token of a machine that joined; `darkmux fleet leave` says it for its own machine";
        return Err(ApiError::new(StatusCode::CONFLICT, "not_joined", message));
    };
    tracing::info!(machine = %id, "left");
    app.peers.look_at_files();
    json(&json!({ "left": id }))
}

fn forget(inviting: &Inviting, caller: &Caller) -> Result<Option<MachineId>, String> {
    let Some(key) = caller.key() else { return Ok(None) };
    let tokens = inviting.tokens();
    let name = tokens.name_of(&key).map_err(|error| error.to_string())?;
    let Some(id) = name.and_then(|name| MachineId::new(&name).ok()) else { return Ok(None) };
    let files = inviting.files();
    match files.find(&id).map_err(|error| error.to_string())? {
        // What came from there stays until it is left here, too: a caller does not change this machine's settings.
        Some(joined) if joined.took != Took::default() => {
            files.keep(&Joined { address: None, ..joined }, None, 0).map_err(|error| error.to_string())?;
        }
        _ => drop(files.forget(&id).map_err(|error| error.to_string())?),
    }
    // Last: as long as it is valid this can be asked again.
    tokens.remove(id.as_str()).map_err(|error| error.to_string())?;
    Ok(Some(id))
}

async fn greet(app: &App, invitation: Invitation) -> Result<JoinGreeting, ApiError> {
    let (redis, redis_withheld) = match app.inviting.redis(&invitation.address).await {
        Offered::Given(redis) => (Some(redis.url), None),
        Offered::Withheld(why) => (None, Some(why)),
        Offered::Nothing => (None, None),
    };
    let key = app.inviting.key().map_err(|error| ApiError::internal("reading the fleet's key", &error))?;
    Ok(JoinGreeting {
        machine_id: app.machine_id(),
        machine_uid: app.fleet.beacon.uid(),
        version: crate::VERSION.to_owned(),
        expires_at: clock::seconds(invitation.expires),
        used_by: invitation.used_by,
        fleet_key: key.map(|key| key.fingerprint()),
        redis,
        redis_withheld,
    })
}

async fn admit(
    app: &App,
    head: &Head<'_>,
    invitation: &Invitation,
    (hello, ask): (&JoinHello, JoinAsk),
) -> Result<JoinAnswer, ApiError> {
    if ask.attempt.is_empty() || ask.attempt.len() > ATTEMPT_MAX {
        return Err(ApiError::bad_request("bad_request", "the attempt is of no use"));
    }
    let attempt = ask.attempt.clone();
    let guest = guest(app, hello, Some(ask))?;
    let (files, tokens, now) = (app.inviting.files(), app.inviting.tokens(), app.clock.now());
    check_name(&files, &guest)?;
    app.auth.take_invite(head, &attempt, guest.id.as_str(), now)?;
    let back = ask_back(&guest, &invitation.address).await;
    let (in_roster, back) = match back {
        Ok(said) => (true, said),
        Err(why) => (false, Some(why)),
    };
    tracing::info!(machine = %guest.id, in_roster, "joined");
    let token = app.blocking("keeping a machine", move || keep(&files, &tokens, &guest, in_roster, now));
    let token = token.await?.expose().to_owned();
    app.peers.look_at_files();
    let key = app.inviting.key().map_err(|error| ApiError::internal("reading the fleet's key", &error))?;
    let redis = match app.inviting.redis(&invitation.address).await {
        Offered::Given(redis) => Some(redis),
        Offered::Withheld(_) | Offered::Nothing => None,
    };
    Ok(JoinAnswer { token, fleet_key: key.map(|key| key.to_hex()), redis, in_roster, back })
}

/// Who asks, as far as it can be a machine of this fleet.
fn guest(app: &App, hello: &JoinHello, ask: Option<JoinAsk>) -> Result<Guest, ApiError> {
    let wrong = |message: String| ApiError::bad_request("bad_machine", message);
    let id = MachineId::new(&hello.machine_id).map_err(|error| wrong(error.to_string()))?;
    let uid = Uuid::parse_str(&hello.machine_uid);
    let uid = uid.map_err(|_| wrong("its identity is no UUID".to_owned()))?.to_string();
    let conflict = |code, message: String| Err(ApiError::new(StatusCode::CONFLICT, code, message));
    if uid == app.fleet.beacon.uid() {
        return conflict("same_machine", format!("this invitation is {id}'s own; use it on another machine"));
    }
    if id.as_str() == app.machine_id() {
        let message = format!(
            "both machines are called {id}; give one its own name: darkmux config set machine_id NAME"
        );
        return conflict("name_taken", message);
    }
    let (address, token) = ask.map(|ask| (ask.address, ask.token)).unwrap_or_default();
    let address = address.map(|address| address.parse()).transpose();
    let address = address.map_err(|error: crate::fleet::AddressError| wrong(error.to_string()))?;
    let is_token = |token: &String| token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if token.as_ref().is_some_and(|token| !is_token(token)) {
        return Err(wrong("its token is none".to_owned()));
    }
    Ok(Guest { id, uid, address, token: token.map(Secret::new) })
}

fn sealable<T: Serialize>(value: &T) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::internal("writing the answer", &error))
}

fn unsealed(error: SealError) -> ApiError {
    ApiError::internal("sealing the answer", &error)
}
