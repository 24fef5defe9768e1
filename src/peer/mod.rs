//! Other machines' daemons as peers: links to them, their sessions in one table, and what they are asked.
//!
//! This machine is the hub of its peers, which are spokes and need not know it: a peer is a regular client's other end,
//! and there is no path and no token that only peers use. Each link is a task of its own.
//!
//! Invariants: what a peer says counts for what is kept under its name alone; titles, slugs and states are those that
//! the owner sent; a session is shown once, by whatever ways it came; a peer that is down keeps its sessions, marked;
//! nothing that a peer sends is held without a bound.
//!
//! Not here: who may look and act, and how it is sent on (`serve`).

mod audience;
mod client;
mod error;
mod events;
mod find;
mod follow;
mod forward;
mod found;
mod hub;
mod intake;
mod link;
mod list;
mod nodes;
mod pace;
mod records;
mod remote_id;
mod socket;
mod status;
mod table;
mod token;
mod typing;
mod url;

pub use audience::{Audience, HOPS_MAX, VIA};
pub use client::{CALLS_MAX, CONNECT_TIME, Limit, PeerAnswer, PeerClient, PeerHttp, PeerRequest, PeerStream};
pub use error::PeerError;
pub use forward::{Carried, carried, kept, launch_on, limit};
pub use hub::{Peers, PeersParts};
pub use list::{Origin, Wanted};
pub use remote_id::{RemoteId, encoded};
pub use socket::{MESSAGE_MAX, PeerSocket, REFUSAL_MAX, open as open_socket};
pub use table::{RemoteEvent, RemoteNews, RemoteSession, RemoteSubscription};
pub use typing::type_by_terminal;
pub use url::{PeerUrl, UrlError};
