//! What is said when following a job is over.

use serde_json::{Map, Value, json};

use super::delivery::Delivery;
use super::follow::{Followed, Output, Part};
use super::link::failure;
use super::words;
use crate::cli::printer::{BAD, DIM, GOOD};
use crate::cli::session::Screen;
use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::model::{JobState, SessionId};
use crate::util::{human, visible_line};
use crate::work::{JobView, Queue};

/// Output in a JSON document, in bytes; the end of it counts.
const OUTPUT_MAX: usize = 1024 * 1024;

/// How the end of following is told.
#[derive(Debug, Clone, Copy)]
pub enum Telling<'a> {
    /// In words.
    Words,
    /// As a JSON document with these fields besides.
    Document(&'a Map<String, Value>),
}

/// As [`report`], after what the job made of its repository was taken in; as a document with more fields where they are
/// given.
pub async fn report_with_workspace(
    cx: &Cx,
    queue: &Queue,
    id: &SessionId,
    followed: Followed,
    document: Option<Map<String, Value>>,
) -> Outcome {
    let back = match &followed {
        Followed::Ended(job) | Followed::Cancelled(job) => Delivery::of_job(cx, queue, job).await,
        _ => None,
    };
    let Some(mut more) = document else {
        let exit = report(cx, queue, id, followed, Telling::Words).await?;
        if let Some(back) = back {
            back.tell(cx);
        }
        return Ok(exit);
    };
    if let Some(back) = back {
        more.insert("workspace".to_owned(), back.document());
    }
    report(cx, queue, id, followed, Telling::Document(&more)).await
}

/// Says how following ended; the exit status of whoever waited.
pub async fn report(
    cx: &Cx,
    queue: &Queue,
    id: &SessionId,
    followed: Followed,
    telling: Telling<'_>,
) -> Outcome {
    match followed {
        Followed::Ended(job) => told(cx, queue, &job, telling).await.map(|()| words::exit_of(&job)),
        Followed::Cancelled(job) => told(cx, queue, &job, telling).await.map(|()| Exit::Interrupted),
        Followed::Left(exit) => {
            cx.printer.note(&format!(
                "job {id} goes on\n  darkmux job wait {id}      waits for its end\n  \
                 darkmux job logs -f {id}   shows its output\n  darkmux job cancel {id}    ends it"
            ));
            Ok(exit)
        }
        Followed::TimeOver => {
            let Telling::Document(more) = telling else { return Err(time_over(id)) };
            let job = queue.job(id).await.map_err(|error| failure(&error))?;
            cx.printer.json(&with(json!({ "schema": 1, "job": job, "time_over": true }), more))?;
            Ok(Exit::TimeLimit)
        }
    }
}

/// The document with more fields.
pub fn with(mut document: Value, more: &Map<String, Value>) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.extend(more.clone());
    }
    document
}

fn time_over(id: &SessionId) -> Failure {
    Failure::new(
        Exit::TimeLimit,
        format!("job {id} has not ended; the time to wait for it is over (nothing was ended)"),
    )
}

async fn told(cx: &Cx, queue: &Queue, job: &JobView, telling: Telling<'_>) -> Result<(), Failure> {
    if let Telling::Document(more) = telling {
        cx.printer.json(&with(document(cx, queue, job).await?, more))?;
        return Ok(());
    }
    if let Some(why) = words::why(job) {
        cx.printer.error(&why);
    }
    let style = if job.state == JobState::Done { GOOD } else { BAD };
    let ran = words::ran(job, 0).map(|ran| format!(" after {}", human::duration(ran))).unwrap_or_default();
    let machine = job.machine.as_deref().map(visible_line);
    let on = machine.map(|machine| format!(" on {machine}")).unwrap_or_default();
    let id = &job.id;
    cx.printer.note(&format!(
        "{style}{}{style:#}{DIM}{ran}{on} · job {id} · darkmux job logs {id}{DIM:#}",
        words::end(job)
    ));
    Ok(())
}

/// The JSON document of a job and the end of its newest attempt's output.
pub async fn document(cx: &Cx, queue: &Queue, job: &JobView) -> Result<Value, Failure> {
    let mut bytes = Vec::new();
    let mut output = Output::of(cx, Some(Screen::collect(&mut bytes)), Part::of_attempt(job.attempt, 0));
    output.show_all(queue, &job.id).await?;
    let missing = output.missing();
    drop(output);
    let cut = bytes.len().saturating_sub(OUTPUT_MAX);
    Ok(json!({
        "schema": 1,
        "job": job,
        "output": String::from_utf8_lossy(&bytes[cut..]),
        "output_truncated": cut > 0 || missing,
    }))
}
