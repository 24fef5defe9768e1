//! Machines that nobody added, for the viewer and the command line.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::fleet::discovery::{Access, Discovery, Found, Kind, Origin, Seen};
use crate::serve::app::data;
use crate::serve::{ApiError, App};
use crate::wire::v1::{Discovered, FoundMachine, Looking, PeerStatus};

/// What was found in the tailnet and among the containers, and whether these can be looked at.
#[utoipa::path(get, path = "/v1/discovery", tag = "daemon", responses(
    (status = 200, description = "`data`: what was found", body = Discovered),
))]
pub async fn discovery(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let Discovery { found, tailnet, engine } = &app.discovery;
    let peers = app.peers.list();
    let machines = found.borrow().iter().map(|found| shown(found, &peers, &app)).collect();
    let tailscale = tailnet.as_ref().map_or_else(Looking::off, |seen| match &*seen.borrow() {
        Seen::Unknown => Looking::new("starting", None),
        Seen::Away(why) => Looking::new("away", Some(why.clone())),
        Seen::Tailnet(tailnet) if tailnet.is_running => Looking::new("on", None),
        Seen::Tailnet(_) => Looking::new("away", Some("Tailscale is not connected".to_owned())),
    });
    let devcontainers = engine.as_ref().map_or_else(Looking::off, |why| match &*why.borrow() {
        Some(why) => Looking::new("away", Some(why.clone())),
        None => Looking::new("on", None),
    });
    data(&Discovered { machines, tailscale, devcontainers })
}

fn shown(found: &Found, peers: &[PeerStatus], app: &App) -> FoundMachine {
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
    let is_joined = found.access == Access::Suggestion && peers.iter().any(is_peer);
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
        access: if is_joined { "joined" } else { found.access.as_str() }.to_owned(),
        local: found.local,
        join: join(found, &app.machine_id()).filter(|_| !is_joined),
    }
}

/// How the user lets this machine in there; `None` where it already may.
fn join(found: &Found, own: &str) -> Option<String> {
    let name = &found.name;
    (found.access == Access::Suggestion).then(|| match found.kind {
        Kind::Darkmux => {
            format!("on {name}: `darkmux fleet invite`; then on {own}: `darkmux fleet join CODE`")
        }
        Kind::Gmux => {
            format!("on {name}: `gmuxd auth`; then on {own} a `[[peers]]` with that token in host.toml")
        }
    })
}
