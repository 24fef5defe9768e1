//! The terminal WebSocket, `/ws/{id}`: a session's terminal for a browser, a hub, or any other client of gmux.
//!
//! Invariants: the first binary frame is a picture of the whole screen, or, for a client that goes on where it was, the
//! byte it asked for; after that not a byte is lost or doubled, and a client that falls behind what is held gets a new
//! picture; a client that takes nothing delays neither the session nor other clients, and is let go; a client that may
//! only watch changes nothing; the socket ends with a code that says why, also when the client's token is gone.
//!
//! Not here: who decides about the size, and the picture itself (`session`).

pub mod away;
mod down;
mod frames;
mod hello;
mod relay;
mod up;

pub use frames::TerminalQuery;
pub use relay::{Ready, relay};
