//! Two machines become machines of one fleet: the code that goes from one to the other by hand, the exchange that it
//! protects, and the files that stay.
//!
//! Invariants: without the code nobody reads or changes what is exchanged, on whatever network; who learns the code later reads
//! nothing that was recorded; each file is replaced as one step, and doing any step again gives the same.
//!
//! Not here: HTTP (`serve`, `client`), the hashes of the tokens that are given out (`serve::auth`), and what is said of it
//! (`cli`).

mod code;
mod files;
mod seal;

pub use code::{CodeError, InviteCode};
pub use files::{Joined, PeerFiles, Pending, Took};
pub use seal::{Greeted, Head, InviteId, Joining, MESSAGE_MAX, Psk, SealError, Session, reply};
