//! Asking a model: the chat API of OpenAI as local servers speak it.
//!
//! One question becomes one streamed answer: text, reasoning, calls of tools, usage. What models and servers do
//! differently ends here: reasoning in fields of three names or between marks in the text, calls of tools in pieces,
//! at once, or printed as text, servers that do not stream, do not count, or know no tools.
//!
//! Invariants: every wait has a limit, everything that is read has a bound, a key goes nowhere but into the header of
//! a request to its own endpoint. What a model says is hostile text and leaves this module as it is.
//!
//! Not here: what is asked, and what becomes of the answer (the loop).

mod ask;
mod assemble;
mod client;
mod error;
mod message;
mod patience;
mod printed;
mod request;
mod split;
mod stream;

pub use ask::{Answer, Ask, Finish, Limits, Piece, Style, Usage};
pub use client::ModelClient;
pub use error::{AskError, Phase};
pub use message::{Call, Message};
pub use patience::{Listener, Patience, ask_patiently};
