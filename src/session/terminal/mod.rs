//! The terminal's WebSocket, as its client sees it, whichever process carries it: the host of the session itself, to
//! which the daemon hands a browser's connection, or the daemon, for clients that can't be handed over and for hosts of
//! older programs.
//!
//! Invariants: the first binary frame is a picture of the whole screen, or, for a client that goes on where it was, the
//! byte it asked for; after that not a byte is lost or doubled, and a client that falls behind what is held gets a new
//! picture; a client that takes nothing delays neither the session nor other clients, and is let go; a client that may
//! only watch changes nothing; the socket ends with a code that says why.
//!
//! Not here: who may look (`serve`), who decides about the size (the host), and the picture itself (`screen`).

mod down;
mod frames;
mod heartbeat;
mod relay;
mod side;
mod up;

pub use down::Down;
pub use frames::{Asked, Close, possible};
pub use heartbeat::Heartbeat;
pub use relay::{Client, GOODBYE, Last, Living, last_words, patience, refuse, relay, socket};
pub use side::{Keys, Source};
pub use up::refused;
