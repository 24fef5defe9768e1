//! The handlers: what is asked for is read strictly, what is answered has the shapes of `wire`.

pub mod assets;
pub mod auth;
mod day_file;
pub mod facts;
pub mod fleet;
mod fleet_day;
pub mod flow;
pub mod jobs;
pub mod join;
pub mod page;
pub mod sessions;
pub mod terminal;
pub mod v1;
