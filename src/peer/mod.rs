//! Other machines' daemons as peers: what they are asked, and what they answer.
//!
//! A peer is a regular client's other end: there is no path and no token that only peers use.

mod client;
mod error;
mod remote_id;
mod socket;
mod url;

pub use client::{CALLS_MAX, CONNECT_TIME, Limit, PeerAnswer, PeerClient, PeerHttp, PeerRequest, PeerStream};
pub use error::PeerError;
pub use remote_id::{RemoteId, is_peer_name};
pub use socket::{MESSAGE_MAX, PeerSocket, open as open_socket, words};
pub use url::{PeerUrl, UrlError};
