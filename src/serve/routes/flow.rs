//! The flow: a day as an array, as the file itself, as a stream; the list of days; how it is doing.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::super::read_ahead::{self, Pieces};
use super::super::stream::{Keep, events};
use super::super::takeover;
use super::{day_file, fleet_day};
use crate::flow::read::{DayReader, FlowTail, newest};
use crate::flow::shared::probe;
use crate::model::{Day, EntryId, FleetAt, Place, Position};
use crate::serve::app::json;
use crate::serve::auth::Caller;
use crate::serve::params::Params;
use crate::serve::{ApiError, App};
use crate::wire::FlowDays;

/// Says where a stream has to go on after an array.
pub(super) const POSITION: HeaderName = HeaderName::from_static("darkmux-position");

/// Bytes of the array made at a time, about.
pub(super) const ARRAY_PIECE: usize = 128 * 1024;

/// Bytes of the first piece, where it is at hand.
const FIRST_PIECE: usize = 2 * 1024;

/// Seconds after which a refused client may ask again.
const RETRY_SECONDS: u32 = 5;

fn day_of(text: &str) -> Result<Day, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request("bad_date", format!("{error}")))
}

/// `GET /flow/{date}` and `GET /flow/{date}.jsonl`.
pub async fn day(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(date): Path<String>,
    params: Params,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(date) = date.strip_suffix(".jsonl") {
        return day_file::whole(&app, &caller, day_of(date)?, (&method, &headers)).await;
    }
    records(&app, &caller, day_of(&date)?, limit_of(params.text("limit")?)?).await
}

/// The newest `limit` records of a day as one JSON array, everybody's where they can be had.
pub(super) async fn records(
    app: &App,
    caller: &Caller,
    day: Day,
    limit: usize,
) -> Result<Response, ApiError> {
    match &app.fleet_flow {
        None => array(app, caller, day, limit),
        Some(fleet) => fleet_day::array(app, fleet, caller, (day, limit)).await,
    }
}

fn limit_of(limit: Option<&str>) -> Result<usize, ApiError> {
    let limit = limit.map_or(Ok(usize::MAX), str::parse);
    limit.map_err(|_| ApiError::bad_request("bad_limit", "`limit` is a whole number of records"))
}

/// A place among those who read files; refused when all are taken.
pub(super) fn reading(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(&app.file_reads).try_acquire_owned().map_err(|_| {
        let message = "too many day files are being read; try again in a moment";
        ApiError::busy("busy", message, RETRY_SECONDS)
    })
}

/// The records of a day as one JSON array, as they stand in the file.
pub(super) fn array(app: &App, caller: &Caller, day: Day, limit: usize) -> Result<Response, ApiError> {
    let permit = reading(app)?;
    let (reader, end) = open(&app.flow.dir, day, limit).map_err(|error| ApiError::day_file(&error))?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (POSITION, after(app, day, end).map_err(|error| ApiError::day_file(&error))?.to_string()),
    ];
    let body = match reader {
        None => Body::from("[]"),
        Some(reader) => {
            let pieces = Array { reader, before: Before::First, size: FIRST_PIECE, _permit: permit };
            read_ahead::body(&app.shutdown, caller, Some(Bytes::from_static(b"[")), pieces)
        }
    };
    Ok((headers, body).into_response())
}

/// Where a stream goes on after the array of a day that ended there. A day to come, as a clock that is ahead asks for it,
/// has nothing yet: until it begins, records are written to an earlier one.
pub(super) fn after(app: &App, day: Day, end: u64) -> io::Result<Position> {
    let position = Position { day, offset: end };
    if end > 0 {
        return Ok(position);
    }
    let now = tokio::task::block_in_place(|| FlowTail::now(&app.flow.dir, &app.clock))?;
    Ok(now.min(position))
}

/// The reader of the newest `limit` records, and the offset after the last of them. Later ones are the
/// stream's.
pub(super) fn open(dir: &std::path::Path, day: Day, limit: usize) -> io::Result<(Option<DayReader>, u64)> {
    // Here and now, where the disk need not be asked: handing it to another thread takes longer.
    if limit == usize::MAX
        && let Some((reader, end)) = DayReader::open_at_hand(dir, day)
    {
        return Ok((Some(reader), end));
    }
    // Should the disk hang, this thread does, and what else it had to do goes on elsewhere.
    tokio::task::block_in_place(|| open_blocking(dir, day, limit))
}

fn open_blocking(dir: &std::path::Path, day: Day, limit: usize) -> io::Result<(Option<DayReader>, u64)> {
    if limit == usize::MAX {
        let Some(reader) = DayReader::open(dir, day, 0)? else { return Ok((None, 0)) };
        let end = reader.end()?;
        return Ok((Some(reader.until(end)), end));
    }
    let Some((from, end)) = newest(dir, day, limit)? else { return Ok((None, 0)) };
    let reader = DayReader::open(dir, day, from.offset)?;
    Ok((reader.map(|reader| reader.until(end.offset)), end.offset))
}

struct Array {
    reader: DayReader,
    before: Before,
    size: usize,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    First,
    Other,
    End,
}

impl Pieces for Array {
    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.at_hand(false);
        // Little at first, for a client that wants no more than the beginning.
        self.size = (self.size * 4).min(ARRAY_PIECE);
        self.make(self.size)
    }

    fn at_hand(&mut self) -> Option<io::Result<Option<Bytes>>> {
        if self.before != Before::First {
            return None;
        }
        self.reader.at_hand(true);
        match self.make(self.size) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            made => Some(made),
        }
    }
}

impl Array {
    /// The next piece of about `size` bytes, or what there is of it when the rest is not at hand.
    fn make(&mut self, size: usize) -> io::Result<Option<Bytes>> {
        if self.before == Before::End {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(size + 4096);
        while out.len() < size {
            let record = match self.reader.read() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !out.is_empty() => break,
                record => record?,
            };
            let Some(record) = record else {
                out.push(b']');
                self.before = Before::End;
                break;
            };
            if self.before == Before::Other {
                out.push(b',');
            }
            out.extend_from_slice(record.line);
            self.before = Before::Other;
        }
        Ok(Some(out.into()))
    }
}

/// `GET /flow/{date}/stream`: what is appended, as server-sent events.
pub async fn stream(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(date): Path<String>,
    params: Params,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    day_of(&date)?;
    let from = match headers.get("last-event-id") {
        // An empty one is what a client has that saw no event yet.
        Some(id) if !id.is_empty() => Some(From::read(id.to_str().unwrap_or_default())?),
        _ => params.text("from")?.filter(|from| !from.is_empty()).map(From::read).transpose()?,
    };
    let head = [(header::CONTENT_TYPE, "text/event-stream")];
    if method == Method::HEAD {
        return Ok(head.into_response());
    }
    let joined = app.hub.join().await;
    let seat = joined.map_err(|error| ApiError::day_file(&error))?.ok_or_else(|| {
        ApiError::busy("too_many_streams", "all streams of this daemon are taken; close one", RETRY_SECONDS)
    })?;
    let from = match from {
        None => seat.now,
        Some(From::Place(place)) => seat.complete(place),
        // What we wrote up to then, as far as the stream still tells.
        Some(From::Entry(id)) => match &app.fleet_flow {
            None => seat.now,
            Some(fleet) => {
                let own = fleet.shared.own_before(id).await.ok().flatten();
                Place { local: own.unwrap_or(seat.now.local), fleet: Some(FleetAt::after(id)) }
            }
        },
    };
    let (keepalive, shutdown, clock) = (app.limits.keepalive, app.shutdown.clone(), app.clock.clone());
    let keep = Keep { keepalive, shutdown, clock };
    Ok(takeover::answer((StatusCode::OK, head), move |outlet| {
        caller.until_revoked(events(seat, from, keep, outlet))
    }))
}

/// Where a client wants to go on.
enum From {
    /// A place, or the part of one that is in the files.
    Place(Place),
    /// An entry of the fleet's flow.
    Entry(EntryId),
}

impl From {
    fn read(text: &str) -> Result<Self, ApiError> {
        let entry = || text.parse().map(Self::Entry);
        // A day has dashes, too, but an entry's id has no colon.
        let read = if text.contains(':') { text.parse().map(Self::Place) } else { entry() };
        read.map_err(|error| ApiError::bad_request("bad_position", format!("{error}")))
    }
}

/// `GET /flow-status`: the object of `flow status --json`.
pub async fn status(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let config = app.flow.clone();
    let status = app
        .blocking("looking at the flow", move || Ok::<_, Infallible>(crate::flow::status(&config)))
        .await?;
    match &app.fleet_flow {
        None => json(&status),
        Some(fleet) => {
            let redis = probe(&fleet.shared, &app.clock).await;
            let shipper = fleet.shipper.borrow().clone();
            json(&status.with_fleet(redis, shipper))
        }
    }
}

/// `GET /flow-days`.
pub async fn days(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let mut index = Arc::clone(&app.days).lock_owned().await;
    let days = app.blocking("counting the records", move || index.list()).await?;
    fleet_day::days(&app, FlowDays { days, generated_at_ms: app.now_ms() }).await
}
