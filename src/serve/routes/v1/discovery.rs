//! Machines that nobody added, for the viewer and the command line.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::fleet::Roster;
use crate::fleet::discovery::{Access, Discovery, Found, Kind, Origin, Seen};
use crate::serve::app::data;
use crate::serve::{ApiError, App};
use crate::wire::v1::{Discovered, FoundMachine, Looking, PeerStatus};

/// What was found in the tailnet and among the containers, and whether these can be looked at.
#[utoipa::path(get, path = "/v1/discovery", tag = "daemon", responses(
    (status = 200, description = "`data`: what was found", body = Discovered),
))]
pub async fn discovery(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let Discovery { found, tailnet, engine, .. } = &app.discovery;
    let wanted = app.discovery.wanted();
    let roster = app.fleet.roster.clone();
    // A roster that can't be read is said elsewhere.
    let read = move || Ok::<_, std::convert::Infallible>(roster.read().unwrap_or_default());
    let known = Known {
        peers: app.peers.list(),
        roster: app.blocking("reading the roster", read).await?,
        own: app.machine_id(),
    };
    let machines = found.borrow().iter().map(|found| shown(found, &known)).collect();
    let tailscale = match &*tailnet.borrow() {
        _ if !wanted.tailscale => Looking::off(),
        Seen::Unknown => Looking::new("starting", None),
        Seen::Away(why) => Looking::new("away", Some(why.clone())),
        Seen::Tailnet(tailnet) if tailnet.is_running => Looking::new("on", None),
        Seen::Tailnet(_) => Looking::new("away", Some("Tailscale is not connected".to_owned())),
    };
    let devcontainers = match &*engine.borrow() {
        _ if !wanted.devcontainers => Looking::off(),
        Some(why) => Looking::new("away", Some(why.clone())),
        None => Looking::new("on", None),
    };
    data(&Discovered { machines, tailscale, devcontainers })
}

/// Who has a name here already.
struct Known {
    peers: Vec<PeerStatus>,
    roster: Roster,
    own: String,
}

impl Known {
    /// Why a machine that lets this one in is none of its peers: its name means another one.
    fn taken(&self, found: &Found) -> Option<String> {
        let name = &found.name;
        if *name == self.own {
            let words =
                "this machine has that name: there, darkmux config set machine_id NAME gives it another";
            return Some(words.to_owned());
        }
        let named = |peer: &&PeerStatus| {
            peer.name == *name && !["tailscale", "devcontainer"].contains(&peer.origin.as_str())
        };
        if let Some(peer) = self.peers.iter().find(named) {
            return Some(format!("{} has {name} at {}", peer.origin, peer.url));
        }
        let peer = self.roster.get(name)?;
        Some(format!(
            "the roster has {name} at {} without a token: `darkmux fleet remove {name}` lets this one be connected, a join \
             (`darkmux fleet invite` there) gives it a token",
            peer.address
        ))
    }
}

fn shown(found: &Found, known: &Known) -> FoundMachine {
    let (origin, host, online, container, folder) = match &found.origin {
        Origin::Tailscale { host, online, .. } => ("tailscale", Some(host.clone()), *online, None, None),
        Origin::Devcontainer { container, folder } => {
            ("devcontainer", None, true, Some(container.clone()), folder.clone())
        }
    };
    // Whom the user joined meanwhile needs no suggestion.
    let is_peer = |peer: &PeerStatus| {
        peer.url.trim_end_matches('/') == found.url
            || (peer.node_id.is_some() && peer.node_id == found.node_id)
    };
    let is_written = |peer: &&PeerStatus| !["tailscale", "devcontainer"].contains(&peer.origin.as_str());
    let is_joined = known.peers.iter().filter(is_written).any(is_peer);
    let taken = known.taken(found).filter(|_| !is_joined && found.access != Access::Suggestion);
    FoundMachine {
        name: found.name.clone(),
        url: found.url.clone(),
        kind: match found.kind {
            Kind::Darkmux => "darkmux",
            Kind::Gmux => "gmux",
        }
        .to_owned(),
        node_id: found.node_id.clone(),
        origin: origin.to_owned(),
        host,
        container,
        folder,
        online,
        access: match &taken {
            _ if is_joined => "joined",
            Some(_) => "taken",
            None => found.access.as_str(),
        }
        .to_owned(),
        taken,
        local: found.local,
        join: join(found, &known.own).filter(|_| !is_joined),
    }
}

/// How the user lets this machine in there; `None` where it already may.
fn join(found: &Found, own: &str) -> Option<String> {
    let name = &found.name;
    (found.access == Access::Suggestion).then(|| match found.kind {
        Kind::Darkmux => {
            format!("on {name}: `darkmux fleet invite`; then on {own}: `darkmux fleet join`, which asks for its code")
        }
        Kind::Gmux => {
            format!("on {name}: `gmuxd auth`; then on {own} a `[[peers]]` with that token in host.toml")
        }
    })
}
