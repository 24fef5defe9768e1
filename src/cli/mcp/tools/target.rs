//! What an id, a part of one or a name means: a job of the queue, or a session, here or on another machine.

use super::super::call::Call;
use crate::cli::remote::{self, On, Place, Remote};
use crate::cli::{Failure, job};
use crate::session::Table;
use crate::wire::SessionStatus;
use crate::work::{JobView, Queue};

/// What somebody means.
pub enum Target {
    /// A job of the fleet's queue, wherever it runs.
    Job(Box<Queue>, Box<JobView>),
    /// A session.
    Session(Spot),
}

/// A session, where it is.
pub enum Spot {
    /// On this machine.
    Here(Table, Box<SessionStatus>),
    /// On another one: it was named as `ID@MACHINE`.
    There(Box<Remote>),
}

/// The sessions of this machine.
pub fn table(call: &Call) -> Result<Table, Failure> {
    Ok(Table::new(call.cx.config()?.session().dir))
}

/// Finds the session.
pub async fn session(call: &Call, text: &str) -> Result<Spot, Failure> {
    match remote::place(&call.cx, text, &On::default())? {
        Place::There(way) => Ok(Spot::There(Box::new(Remote::find(&call.cx, &way).await?))),
        Place::Here(text) => here(call, &text),
    }
}

fn here(call: &Call, text: &str) -> Result<Spot, Failure> {
    let table = table(call)?;
    let session = Box::new(table.find(text)?);
    Ok(Spot::Here(table, session))
}

/// Finds it: among the jobs, then among the sessions. What ran here is found without Redis.
pub async fn find(call: &Call, text: &str) -> Result<Target, Failure> {
    let text = match remote::place(&call.cx, text, &On::default())? {
        Place::There(_) => return session(call, text).await.map(Target::Session),
        Place::Here(text) => text,
    };
    let Some(queue) = job::queue_of(call.cx.config()?)? else {
        return here(call, &text).map(Target::Session);
    };
    match job::find_view(&queue, &text).await {
        Ok(job) => Ok(Target::Job(Box::new(queue), Box::new(job))),
        Err(failure) => here(call, &text).map(Target::Session).map_err(|_| failure),
    }
}
