//! The exit status of each way in which a role cannot be had.

use crate::cli::{Exit, Failure};
use crate::crew::CrewError;

/// The failure a crew error stands for: 127 unknown, 126 nothing here runs it, 2 broken files or message.
pub fn of(error: &CrewError) -> Failure {
    let exit = match error {
        CrewError::UnknownRole { .. } => Exit::UnknownRole,
        CrewError::CannotRun { .. } => Exit::CannotRun,
        CrewError::Broken(_) | CrewError::BadMessage(_) => Exit::Usage,
    };
    Failure::new(exit, error)
}
