//! The terminal WebSocket, `/ws/{id}`: a session's terminal for a browser, a hub, or any other client of gmux. Who it is for
//! is decided here; then the connection is the session's host's, which speaks with the client itself. What cannot be
//! handed over is carried: a client on the unix socket, a host of an older program, a session of another machine.
//!
//! Invariants: those of [`session::terminal`](crate::session::terminal), whoever carries; and the socket ends when its
//! client's token is gone or the daemon stops, also where the host does not answer.

pub mod away;
mod hand;
mod local;
mod older;
mod query;
mod shown;
mod upgrade;

pub use local::{Ready, serve};
pub use query::TerminalQuery;
pub use upgrade::accept;
