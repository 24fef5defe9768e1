//! A day of the whole fleet as one array: our file and what others shipped, each record once; and which days there
//! are.
//!
//! Without Redis, or when it is away or slow, they are those of the files alone, and a header says so.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::super::read_ahead::{self, Pieces};
use super::flow::{self, ARRAY_PIECE, POSITION, reading};
use crate::flow::read::holds;
use crate::flow::shared::{Foreign, RECORDS_MAX, Timed, Union, survey};
use crate::model::{Day, Place};
use crate::serve::app::{FleetFlow, json};
use crate::serve::auth::Caller;
use crate::serve::{ApiError, App};
use crate::wire::{DayEntry, FlowDays};

/// Whose records an array holds: `fleet`, or `local` when those of others could not be had.
const SOURCE: HeaderName = HeaderName::from_static("x-darkmux-source");

/// How long the list of days waits for Redis.
const DAYS_PATIENCE: Duration = Duration::from_millis(1500);

/// There where older records of others were left out: how many were kept.
const CUT: HeaderName = HeaderName::from_static("darkmux-others-kept");

/// The records of a day, everybody's where they can be had.
pub(super) async fn array(
    app: &App,
    fleet: &FleetFlow,
    caller: &Caller,
    (day, limit): (Day, usize),
) -> Result<Response, ApiError> {
    let place = Arc::clone(&app.fleet_days).try_acquire_owned();
    let Ok(place) = place else {
        let message = "too many days of the fleet are being put together; try again in a moment";
        return Err(ApiError::busy("busy", message, 1));
    };
    // However few are wanted: what comes late stands among the newest of the stream, whatever its time.
    let others = fleet.shared.day(day, RECORDS_MAX, |pos| holds(&app.flow.dir, pos)).await;
    let others = match others {
        Ok(others) => others,
        Err(error) => {
            tracing::debug!(%error, "a day without the records of others");
            let mut response = flow::array(app, caller, day, limit)?;
            response.headers_mut().insert(SOURCE, HeaderValue::from_static("local"));
            return Ok(response);
        }
    };
    union(app, caller, (day, limit), others, place).await
}

async fn union(
    app: &App,
    caller: &Caller,
    (day, limit): (Day, usize),
    others: Foreign,
    place: OwnedSemaphorePermit,
) -> Result<Response, ApiError> {
    let permit = reading(app)?;
    let Foreign { records, at, is_cut } = others;
    let kept = records.len();
    let dir = app.flow.dir.clone();
    let put = app.blocking("reading the day's file", move || put(&dir, day, limit, records)).await?;
    let local = flow::after(app, day, put.end).map_err(|error| ApiError::day_file(&error))?;
    let position = Place { local, fleet: Some(at) };
    let pieces = Array { union: put.union, any: false, over: false, _permits: (permit, place) };
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (POSITION, position.to_string()),
        (SOURCE, "fleet".to_owned()),
    ];
    let body = read_ahead::body(&app.shutdown, caller, Some(Bytes::from_static(b"[")), pieces);
    let mut response = (headers, Body::new(body)).into_response();
    if is_cut {
        response.headers_mut().insert(CUT, HeaderValue::from(kept));
    }
    Ok(response)
}

/// The list of days with those of the fleet, where they can be had.
pub(super) async fn days(app: &App, mut list: FlowDays) -> Result<Response, ApiError> {
    let Some(fleet) = &app.fleet_flow else { return json(&list) };
    let source = match timeout(DAYS_PATIENCE, fleet.shared.days()).await {
        Ok(Ok(days)) => {
            add(&mut list.days, &days);
            "fleet"
        }
        late => {
            tracing::debug!(?late, "the list of days without those of others");
            "local"
        }
    };
    Ok(([(SOURCE, HeaderValue::from_static(source))], json(&list)?).into_response())
}

/// Marks the days that the fleet knows, and adds those that are not among ours. Newest first.
fn add(list: &mut Vec<DayEntry>, days: &BTreeSet<Day>) {
    let mut missing = days.iter().map(Day::to_string).collect::<BTreeSet<_>>();
    for entry in &mut *list {
        entry.fleet = missing.remove(&entry.date);
    }
    let of_others = |date| DayEntry {
        bad: 0,
        bytes: 0,
        date,
        dispatches: 0,
        fleet: true,
        missions: Vec::new(),
        records: 0,
    };
    list.extend(missing.into_iter().map(of_others));
    list.sort_by(|a, b| b.date.cmp(&a.date));
}

struct Put {
    union: Union,
    end: u64,
}

/// Opens our part, compares it with that of others, and leaves out the oldest of both above `limit`. Blocks.
fn put(dir: &std::path::Path, day: Day, limit: usize, mut others: Vec<Timed>) -> io::Result<Put> {
    let (ours, end) = flow::open(dir, day, limit)?;
    if others.is_empty() {
        // `ours` are `limit` at most.
        return Ok(Put { union: Union::new(ours, others, 0), end });
    }
    let (again, _) = flow::open(dir, day, limit)?;
    let found = survey(again.map(|reader| reader.until(end)), &mut others)?;
    let leave_out = (found.ours + others.len()).saturating_sub(limit);
    Ok(Put { union: Union::new(ours, others, leave_out), end })
}

struct Array {
    union: Union,
    any: bool,
    over: bool,
    _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Pieces for Array {
    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.over {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(ARRAY_PIECE + 4096);
        while out.len() < ARRAY_PIECE && !self.over {
            let first = !self.any;
            let more = self.union.next(|line| {
                if !first {
                    out.push(b',');
                }
                out.extend_from_slice(line);
            })?;
            self.any = true;
            if !more {
                out.push(b']');
                self.over = true;
            }
        }
        Ok(Some(out.into()))
    }
}
