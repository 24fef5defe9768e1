//! Publishing a job from the viewer, and why a job is where it is: the same documents and the same judgement as
//! those of the command line.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::queue::{asked, job_id, of};
use super::to_the_end;
use crate::crew::{Crew, CrewError};
use crate::fleet::{
    Ask, Gate, Member, Order, Presence, Publisher, headline, is_alive, members, needs_accept, parse_key,
    preferred, route_of, rows,
};
use crate::flow::Flow;
use crate::model::{MachineId, Priority, Requirement, RoleId};
use crate::serve::app::data;
use crate::serve::of_json::of_json;
use crate::serve::{ApiError, App};
use crate::session::new_id;
use crate::util::visible_line;
use crate::wire::v1::Refusal;
use crate::wire::{JobSpec, Lane, WorkJob};
use crate::work::{Published, Queue};

/// Most requirements of a job.
const REQUIREMENTS_MAX: usize = 32;

/// Longest name of a job, in characters.
const NAME_MAX: usize = 64;

/// Most times that a job is tried again.
const RETRIES_MAX: u32 = 100;

/// Body of `dispatch`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DispatchBody {
    /// The role.
    role: String,
    /// What it is told.
    #[serde(default)]
    message: String,
    /// A name for it.
    name: Option<String>,
    /// The machine that gets a head start.
    machine: Option<String>,
    /// The one machine that may run it.
    pin: Option<String>,
    /// What a machine must have: `key` or `key=value`.
    #[serde(default)]
    require: Vec<String>,
    /// What machines with a head start have.
    #[serde(default)]
    prefer: Vec<String>,
    /// `low`, `normal` or `high`.
    priority: Option<String>,
    /// How often it is tried again.
    retries: Option<u32>,
    /// An absolute folder of the machine that runs it.
    workdir: Option<String>,
    /// Its time limit, in milliseconds.
    timeout_ms: Option<u64>,
    /// When it may start at the earliest, in milliseconds from now.
    delay_ms: Option<u64>,
    /// A job with the same key within 7 days is this one, and is not published again: for who asks again because no answer
    /// came.
    key: Option<String>,
    /// Publish nothing; say which machines could run it.
    #[serde(default)]
    dry_run: bool,
}

fn invalid(message: impl std::fmt::Display) -> ApiError {
    let message = message.to_string();
    ApiError::bad_request("validation_error", visible_line(&message).into_owned())
}

fn machine(text: Option<String>) -> Result<Option<MachineId>, ApiError> {
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| MachineId::new(text).map_err(invalid)).transpose()
}

fn requirements(texts: &[String]) -> Result<Vec<Requirement>, ApiError> {
    if texts.len() > REQUIREMENTS_MAX {
        return Err(invalid(format!("at most {REQUIREMENTS_MAX} requirements")));
    }
    texts.iter().map(|text| text.parse().map_err(invalid)).collect()
}

fn name(name: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    let plain = visible_line(&name) == name && name.trim() == name;
    if plain && name.chars().count() <= NAME_MAX {
        return Ok(Some(name));
    }
    Err(invalid(format!("`name` takes 1 to {NAME_MAX} plain characters")))
}

/// Publishes a job to the fleet's queue, or says with `dry_run` which machines could run it.
#[utoipa::path(post, path = "/v1/dispatch", tag = "queue", request_body = DispatchBody, responses(
    (status = 200, description = "`data.job`: its id; with `dry_run` instead `data.machines`: `{machine, verdict, reasons}`", body = Object),
    (status = 400, description = "`bad_request`, `unknown_role`, `validation_error`", body = Refusal),
    (status = 409, description = "`no_queue`", body = Refusal),
    (status = 503, description = "`queue_full`, `redis_unreachable`", body = Refusal),
))]
pub async fn dispatch(State(app): State<Arc<App>>, bytes: Bytes) -> Result<Response, ApiError> {
    let queue = of(&app)?;
    let asked_for: DispatchBody = of_json(&bytes)?;
    let dry_run = asked_for.dry_run;
    let presence = presence(&app).await?;
    let here = app.flow.provenance.machine_id.clone();
    let crew = Crew::open(&app.launching.crew);
    let order = order(asked_for, presence.as_deref(), &crew)?;
    let accept = needs_accept(&crew, &order.role);
    let now_ms = asked(async { queue.now_ms().await }).await?;
    let by = Publisher { machine: &here, orchestrator: None, now_ms };
    let (work, spec) = order.documents(by).map_err(invalid)?;
    if dry_run {
        let status = asked(async { queue.status().await }).await?;
        let ask = Ask {
            role: work.role_id.to_string(),
            needs_accept: accept,
            lane: spec.lane.clone(),
            first: spec.first.clone(),
            ..Ask::default()
        };
        let machines = rows(&ask, &Gate::from(&status), &known(&app, presence.as_deref()).await?);
        return data(&json!({ "machines": machines }));
    }
    let app_too = Arc::clone(&app);
    let job = to_the_end(&app, async move { publish(&app_too, &queue, &work, &spec).await }).await?;
    data(&json!({ "job": job }))
}

fn order(body: DispatchBody, presence: Option<&Presence>, crew: &Crew) -> Result<Order, ApiError> {
    let role = RoleId::new(&body.role).map_err(invalid)?;
    known_role(&role, presence, crew)?;
    let target = machine(body.machine)?;
    let prefer = requirements(&body.prefer)?;
    let mut require: Vec<String> = requirements(&body.require)?.iter().map(Requirement::to_string).collect();
    require.sort();
    require.dedup();
    let priority = body.priority.filter(|priority| !priority.is_empty());
    let priority = priority.map(|priority| priority.parse::<Priority>().map_err(invalid)).transpose()?;
    let workdir = body.workdir.filter(|dir| !dir.is_empty());
    if workdir.as_ref().is_some_and(|dir| !dir.starts_with('/')) {
        return Err(invalid("`workdir` is a folder of the machine that runs the job: give an absolute path"));
    }
    if body.retries.is_some_and(|retries| retries > RETRIES_MAX) {
        return Err(invalid(format!("`retries` is at most {RETRIES_MAX}")));
    }
    let first = match (&target, presence) {
        (Some(target), Some(presence)) if !is_alive(presence, target) => Vec::new(),
        (Some(target), _) => vec![target.clone()],
        (None, Some(presence)) if !prefer.is_empty() => preferred(presence, &prefer),
        _ => Vec::new(),
    };
    Ok(Order {
        id: new_id(&role).map_err(|error| ApiError::internal("making an id", &error))?,
        role,
        message: body.message,
        name: name(body.name)?,
        target,
        lane: Lane {
            priority: priority.unwrap_or_default(),
            pin: machine(body.pin)?,
            require,
            not: Vec::new(),
        },
        prefer,
        first,
        workdir,
        image: None,
        timeout: body.timeout_ms.map(Duration::from_millis),
        retries: body.retries,
        delay: Duration::from_millis(body.delay_ms.unwrap_or(0)),
        key: body.key.map(|key| parse_key(&key).map_err(invalid)).transpose()?,
    })
}

/// A role that nobody has is a typo; one that others have is fine.
fn known_role(role: &RoleId, presence: Option<&Presence>, crew: &Crew) -> Result<(), ApiError> {
    let Err(error) = crew.get(role) else { return Ok(()) };
    let theirs = presence.is_some_and(|presence| {
        // Runners of darkmux 1.9 do not say which roles they have.
        let mut beats = presence.machines.iter().map(|seen| &seen.beat);
        beats.any(|beat| beat.runner.is_none() || beat.roles.iter().any(|one| one == role.as_str()))
    });
    if theirs {
        return Ok(());
    }
    let message = visible_line(&error.to_string()).into_owned();
    match error {
        CrewError::UnknownRole { .. } => Err(ApiError::bad_request("unknown_role", message)),
        _ => Err(invalid(message)),
    }
}

async fn presence(app: &App) -> Result<Option<Arc<Presence>>, ApiError> {
    let presence = app.fleet.live.machines().await.transpose();
    presence.map_err(|error| ApiError::busy("redis_unreachable", visible_line(&error.to_string()), 5))
}

/// The roster and the machines that are alive. A roster that cannot be read hides nobody.
async fn known(app: &App, presence: Option<&Presence>) -> Result<Vec<Member>, ApiError> {
    let roster = app.fleet.roster.clone();
    let read = move || Ok::<_, std::convert::Infallible>(roster.read().unwrap_or_default());
    Ok(members(&app.blocking("reading the roster", read).await?, presence))
}

async fn publish(app: &App, queue: &Queue, work: &WorkJob, spec: &JobSpec) -> Result<String, ApiError> {
    let id = match asked(async { queue.publish(work, spec).await }).await? {
        Published::Before(id) => return Ok(id.to_string()),
        Published::New => spec.id.to_string(),
    };
    let (journal, config, clock) = (app.journal.clone(), app.flow.clone(), app.clock.clone());
    let (work, spec) = (work.clone(), spec.clone());
    app.blocking("keeping what was published", move || {
        if let Err(error) = journal.published(&work, &spec) {
            tracing::warn!(job = %spec.id, %error, "should Redis lose it, this machine cannot tell it again");
        }
        if let Err(error) = Flow::new(config, clock).append(route_of(&work, &spec)) {
            tracing::warn!(job = %spec.id, %error, "the record of its route is not kept");
        }
        Ok::<_, std::convert::Infallible>(())
    })
    .await?;
    Ok(id)
}

/// Why a job is where it is: for each machine, whether it can run it now, and why not.
#[utoipa::path(get, path = "/v1/jobs/{id}/explain", tag = "queue",
    params(("id" = String, Path, description = "the job")),
    responses(
        (status = 200, description = "`data`: `why`, `ahead`, `machines`", body = Object),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 409, description = "`no_queue`", body = Refusal),
        (status = 503, description = "`redis_unreachable`", body = Refusal),
    )
)]
pub async fn explain(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let (id, queue) = (job_id(id)?, of(&app)?);
    let found = asked(async {
        let Some(mut job) = queue.job(&id).await? else { return Ok(None) };
        job.lane = queue.lane_now(&id).await?.or(job.lane);
        Ok(Some((job, queue.position(&id).await?, queue.status().await?)))
    });
    let Some((job, ahead, status)) = found.await? else {
        return Err(ApiError::not_found(format!("there is no job {id}; ended jobs are kept for a time")));
    };
    let presence = presence(&app).await?;
    let role = job.role.as_deref().and_then(|role| RoleId::new(role).ok());
    let crew = Crew::open(&app.launching.crew);
    let ask = Ask::of(&job, role.is_some_and(|role| needs_accept(&crew, &role)));
    let machines = rows(&ask, &Gate::from(&status), &known(&app, presence.as_deref()).await?);
    let why = headline(&job, &machines, status.paused);
    data(&json!({ "ahead": ahead, "machines": machines, "why": why }))
}
