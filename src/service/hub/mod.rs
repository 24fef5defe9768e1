//! The Redis that a machine keeps for its fleet: the machine is the hub then.
//!
//! Invariants: two passwords of 256 bits each, in files of their own; the server's configuration holds only their hashes. Machines of the fleet get the one of
//! the user `darkmux`, who can do what darkmux needs below `darkmux:*`; the other one never leaves this machine. What is
//! accepted is in the append-only file within a second, and nothing is thrown away when memory is full.
//!
//! Not here: what is in it (`work`, `flow`, `fleet`).

mod conf;
mod files;
mod server;
mod settings;

pub use conf::RIGHTS;
pub use files::{HubFile, HubFiles};
pub use server::{Found, ServerProgram, look, shut_down, start_detached, until_answers};
pub use settings::{give_back, is_used, take_over};
