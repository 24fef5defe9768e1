//! The daemon's HTTP surface.
//!
//! Requests pass, from outside in: the connection caps (`accept`), `Host` (`guard`), the table of every path
//! (`router`), the gate of the path (`auth`: method, caller, origin, body), a handler in `routes`. What a handler
//! needs is in [`App`].
//!
//! Invariants: only this module knows axum; nothing answers a foreign `Host`; no answer carries a CORS header;
//! nothing unknown is let through; a failure is never a 200; memory does not depend on the size of a file or on the pace of a client; every
//! stream ends when the daemon stops.
//!
//! Not here: what the daemon is made of (`daemon`), and reading the flow (`flow::read`).

mod accept;
mod app;
pub mod auth;
mod bundle;
mod connections;
mod error;
mod forward;
mod guard;
mod inviting;
mod io;
mod launching;
mod limits;
mod of_json;
mod params;
mod queue_view;
mod range;
pub mod reach;
mod read_ahead;
mod router;
mod routes;
mod showcase;
mod stream;
mod tailnet;
mod takeover;
mod terminal;

pub use accept::{run, run_socket};
pub use app::{App, AppConfig, FleetFlow, FleetView};
pub use error::ApiError;
pub use guard::Hosts;
pub use inviting::Inviting;
pub use launching::Launching;
pub use limits::Limits;
pub use router::{Access, ROUTES, Route, allowed, routes};
pub use showcase::{RECORDING, run_showcase};
pub use tailnet::TailnetDoor;
