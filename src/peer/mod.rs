//! Other machines' daemons as peers: what they are asked, and what they answer.
//!
//! A peer is a regular client's other end: there is no path and no token that only peers use.

mod client;
mod error;
mod forward;
mod remote_id;
mod socket;
mod url;

pub use client::{CALLS_MAX, CONNECT_TIME, Limit, PeerAnswer, PeerClient, PeerHttp, PeerRequest, PeerStream};
pub use error::PeerError;
pub use forward::{Carried, carried, kept, launch_on, limit};
pub use remote_id::{RemoteId, is_peer_name};
pub use socket::{MESSAGE_MAX, PeerSocket, REFUSAL_MAX, open as open_socket, words};
pub use url::{PeerUrl, UrlError};

use std::collections::HashMap;
use std::sync::Arc;

/// The peers of this machine.
#[derive(Debug, Clone, Default)]
pub struct Peers(Arc<HashMap<String, PeerClient>>);

impl Peers {
    /// The direct peer of this name.
    pub fn client(&self, name: &str) -> Option<PeerClient> {
        self.0.get(name).cloned()
    }
}
