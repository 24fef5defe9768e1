//! The built-in agent: a role works with a model's endpoint and nothing else.
//!
//! A session's program is darkmux itself (`darkmux run-agent`, hidden). It reads its task from the session's folder,
//! chooses a model, and lets it work with [`tools`] until it is done, cannot go on, or reaches a limit. The terminal
//! shows the transcript and takes what a person types; the folder keeps checkpoint and result.
//!
//! Invariants: nobody who is not there is asked anything; every limit has an end that is said; what a model, a server
//! or a tool says reaches the terminal only through the sanitiser; a key is in no transcript, record, file or argument.
//!
//! Not here: what a role is (`crew`), where the session runs, and printing: the terminal is handed in.

/// The kind of a session that the agent is the program of.
pub const KIND: &str = crate::session::AGENT;

mod checkpoint;
mod compact;
mod conversation;
mod desk;
mod detect;
pub mod model;
mod pick;
mod profiles;
mod records;
mod run;
pub mod tools;
mod transcript;
mod turn;
mod typing;
mod work;
mod wrap;

pub use checkpoint::{Left, checkpoint, checkpoint_stamp, left, moved};
pub use pick::{Chosen, pick};
pub use run::{Ended, Start, run};
pub use transcript::{STYLE_BEGIN, Screen};
