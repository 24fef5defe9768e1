//! What an id, a part of one or a name means: a job of the queue, or a session of this machine.

use super::super::call::Call;
use crate::cli::{Failure, job};
use crate::session::Table;
use crate::wire::SessionStatus;
use crate::work::{JobView, Queue};

/// What somebody means.
pub enum Target {
    /// A job of the fleet's queue, wherever it runs.
    Job(Box<Queue>, Box<JobView>),
    /// A session of this machine.
    Session(Box<SessionStatus>),
}

/// The sessions of this machine.
pub fn table(call: &Call) -> Result<Table, Failure> {
    Ok(Table::new(call.cx.config()?.session().dir))
}

/// Finds it: among the jobs, then among the sessions. What ran here is found without Redis.
pub async fn find(call: &Call, text: &str) -> Result<Target, Failure> {
    let table = table(call)?;
    let session = || table.find(text).map(|session| Target::Session(Box::new(session)));
    let Some(queue) = job::queue_of(call.cx.config()?)? else { return Ok(session()?) };
    match job::find_view(&queue, text).await {
        Ok(job) => Ok(Target::Job(Box::new(queue), Box::new(job))),
        Err(failure) => session().map_err(|_| failure),
    }
}
