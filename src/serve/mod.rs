//! The daemon's HTTP surface.
//!
//! Requests pass, from outside in: the connection caps (`accept`), `Host`, method and `Origin` (`guard`),
//! the table of every path (`router`), a handler in `routes`. What a handler needs is in [`App`].
//!
//! Invariants: only this module knows axum; nothing answers a foreign `Host`; no answer carries a CORS header;
//! a failure is never a 200; memory does not depend on the size of a file or on the pace of a client; every
//! stream ends when the daemon stops.
//!
//! Not here: what the daemon is made of (`daemon`), and reading the flow (`flow::read`).

mod accept;
mod app;
mod connections;
mod error;
mod guard;
mod io;
mod limits;
mod queue_view;
mod range;
mod read_ahead;
mod router;
mod routes;
mod stream;
mod takeover;

pub use accept::run;
pub use app::{App, AppConfig, FleetFlow, FleetView};
pub use error::ApiError;
pub use guard::Hosts;
pub use limits::Limits;
pub use router::{Access, ROUTES, Route};
