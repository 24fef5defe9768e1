//! Machines that were found by themselves, as peers: those that need nothing of the user.

use tokio::sync::watch;

use super::Peers;
use super::list::{Origin, Wanted};
use crate::config::TokenSource;
use crate::fleet::discovery::{Access, Found, Origin as Place};
use crate::util::Shutdown;

impl Peers {
    /// Follows what is found until the daemon stops.
    pub fn follow_found(&self, mut found: watch::Receiver<Vec<Found>>, shutdown: &Shutdown) {
        let (peers, stopped) = (self.clone(), shutdown.stopped());
        drop(shutdown.spawn(async move {
            let mut stopped = std::pin::pin!(stopped);
            loop {
                {
                    let found = found.borrow_and_update();
                    let off =
                        found.iter().filter(|found| is_off(found)).map(|found| found.name.as_str().into());
                    peers.set_found(found.iter().filter_map(wanted).collect(), off.collect());
                    peers.tell_found();
                }
                tokio::select! {
                    () = &mut stopped => return,
                    changed = found.changed() => if changed.is_err() { return },
                }
            }
        }));
    }
}

/// Whether its machine is known to be off.
fn is_off(found: &Found) -> bool {
    matches!(found.origin, Place::Tailscale { online: false, .. })
}

/// A suggestion is none: connecting would only fail.
fn wanted(found: &Found) -> Option<Wanted> {
    let token = match &found.access {
        Access::Identity => TokenSource::None,
        Access::Token(token) => TokenSource::Given(token.clone()),
        Access::Suggestion => return None,
    };
    let origin = match found.origin {
        Place::Tailscale { .. } => Origin::Tailscale,
        Place::Devcontainer { .. } => Origin::Devcontainer,
    };
    let name = found.name.as_str().into();
    Some(Wanted { name, url: found.url.clone(), token, origin, local: found.local })
}
