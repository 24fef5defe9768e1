//! Finding machines that nobody added: devices of the tailnet and development containers of this machine.
//!
//! Two finders run beside each other, [`Finder`] for the tailnet and [`Watcher`] for containers, each for as long as
//! `host.toml` wants it; [`start()`] makes one list of what they find. Who of the list is connected to is decided by others.
//!
//! Invariants: no token is sent to anybody but its owner; names in the list are unique and fit for a peer; every
//! question is bounded in time and size; a daemon of Tailscale or Docker may be absent, come, go and hang.
//!
//! Not here: connecting to what was found, and who may come in from the tailnet ([`Doorman`] only says who it is).

mod ask;
mod cache;
mod containers;
mod doorman;
mod engine;
mod local_api;
mod local_http;
mod switch;
mod tailnet;
mod tailscale;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use ask::ASK_TIME;
pub use containers::Watcher;
pub use doorman::{Doorman, Guest};
pub use engine::EnginePlaces;
pub use local_api::Places;
pub use tailnet::{Device, Own, Seen, Tailnet};
pub use tailscale::{COOLDOWN, Finder};

use super::DEFAULT_PORT;
use crate::config::{DiscoveryConfig, HostConfig};
use crate::util::{Secret, Shutdown};

/// Longest name of a peer, in characters.
const NAME_MAX: usize = 64;

/// What is looked for, and where.
#[derive(Debug, Clone)]
pub struct DiscoveryParts {
    /// Where Tailscale is.
    pub places: Places,
    /// Where a container engine may be found.
    pub engine: EnginePlaces,
    /// The port of this machine's daemon: others probably use the same.
    pub port: u16,
    /// What was found in the tailnet before.
    pub cache: PathBuf,
    /// Which machine this is: who says it is that one is no other.
    pub own: String,
}

/// What a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// darkmux.
    Darkmux,
    /// gmux 1.x.
    Gmux,
}

/// How a machine was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "origin", rename_all = "lowercase")]
pub enum Origin {
    /// In the tailnet.
    Tailscale {
        /// The device's id, which stays.
        device: String,
        /// Its name in the tailnet.
        host: String,
        /// Whether it is connected now.
        online: bool,
    },
    /// As a container of this machine.
    Devcontainer {
        /// The container's id.
        container: String,
        /// The folder that it was made for.
        folder: Option<String>,
    },
}

/// What opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it knows this machine by its place in the tailnet.
    Identity,
    /// A token, which was read from the container itself.
    Token(Secret),
    /// Something that the user has to fetch: it can only be suggested.
    Suggestion,
}

impl Access {
    /// One word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Token(_) => "token",
            Self::Suggestion => "suggestion",
        }
    }
}

/// A machine that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name as a peer.
    pub name: String,
    /// Where its daemon answers: `http` or `https`, a host and a port.
    pub url: String,
    /// What runs there.
    pub kind: Kind,
    /// Who it is, where it said so.
    pub node_id: Option<String>,
    /// How it was found.
    pub origin: Origin,
    /// What opens it.
    pub access: Access,
    /// Whether it counts as a part of this machine.
    pub local: bool,
}

/// The list of what is found, kept up to date until the daemon stops.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// What was found.
    pub found: watch::Receiver<Vec<Found>>,
    /// What the tailnet is, as long as somebody needs to know.
    pub tailnet: watch::Receiver<Seen>,
    /// Why the container engine can't be asked; `None` where it can, or nobody wants to.
    pub engine: watch::Receiver<Option<String>>,
    host: watch::Receiver<HostConfig>,
}

impl Discovery {
    /// Looks for nothing.
    pub fn none() -> Self {
        let discovery = DiscoveryConfig { tailscale: false, devcontainers: false };
        let host = HostConfig { discovery, ..HostConfig::default() };
        Self {
            found: watch::channel(Vec::new()).1,
            tailnet: watch::channel(Seen::Unknown).1,
            engine: watch::channel(None).1,
            host: watch::channel(host).1,
        }
    }

    /// What is looked for now.
    pub fn wanted(&self) -> DiscoveryConfig {
        self.host.borrow().discovery
    }
}

/// Looks for what `host` wants looked for, whenever it does.
pub fn start(parts: DiscoveryParts, host: watch::Receiver<HostConfig>, shutdown: &Shutdown) -> Discovery {
    let DiscoveryParts { places, engine, port: listens, cache, own } = parts;
    let switch = |wanted| switch::Switch { host: host.clone(), wanted, shutdown: shutdown.clone() };

    let (tells, tailnet) = watch::channel(Seen::Unknown);
    // Who is let in from the tailnet depends on it, too.
    let needed = switch(|host| host.discovery.tailscale || host.tailscale.enabled);
    needed.run(tells, Seen::Unknown, move |tells| tailnet::keep(places.clone(), tells));

    let mut likely = vec![DEFAULT_PORT];
    likely.extend((listens != DEFAULT_PORT && listens != 0).then_some(listens));
    let finder = Finder { ports: likely, cache: cache::Cache::new(cache), seen: tailnet.clone() };
    let known = if host.borrow().discovery.tailscale { finder.kept() } else { Vec::new() };
    let (tells, devices) = watch::channel(known);
    let stop = shutdown.clone();
    switch(|host| host.discovery.tailscale)
        .run(tells, Vec::new(), move |tells| finder.clone().look(tells, stop.clone()));

    let (tells, containers) = watch::channel(Vec::new());
    let (says, state) = watch::channel(None);
    switch(|host| host.discovery.devcontainers).run(tells, Vec::new(), move |tells| {
        says.send_replace(None);
        Watcher::new(engine.clone()).watch(tells, says.clone())
    });
    Discovery { found: merge(devices, containers, own, shutdown), tailnet, engine: state, host }
}

/// One list of both, in which every name stands once, and nobody who says to be this machine.
fn merge(
    mut devices: watch::Receiver<Vec<Found>>,
    mut containers: watch::Receiver<Vec<Found>>,
    own: String,
    shutdown: &Shutdown,
) -> watch::Receiver<Vec<Found>> {
    let both = move |devices: &mut watch::Receiver<Vec<Found>>,
                     containers: &mut watch::Receiver<Vec<Found>>| {
        let mut all = devices.borrow_and_update().clone();
        all.extend_from_slice(&containers.borrow_and_update());
        all.retain(|found| found.node_id.as_ref() != Some(&own));
        named_apart(all)
    };
    let (told, found) = watch::channel(both(&mut devices, &mut containers));
    let stopped = shutdown.stopped();
    drop(shutdown.spawn(async move {
        let mut stopped = std::pin::pin!(stopped);
        let (mut more_devices, mut more_containers) = (true, true);
        while more_devices || more_containers {
            tokio::select! {
                () = &mut stopped => return,
                changed = devices.changed(), if more_devices => more_devices = changed.is_ok(),
                changed = containers.changed(), if more_containers => more_containers = changed.is_ok(),
            }
            told.send_if_modified(|before| {
                let now = both(&mut devices, &mut containers);
                let is_new = *before != now;
                *before = now;
                is_new
            });
        }
        // Nothing more comes; who listens goes on with what there is.
        stopped.await;
    }));
    found
}

/// Gives the later ones of one name a number.
fn named_apart(mut all: Vec<Found>) -> Vec<Found> {
    let mut taken = BTreeSet::new();
    for found in &mut all {
        found.name = free_name(&found.name, |name| taken.contains(name));
        taken.insert(found.name.clone());
    }
    all
}

/// `name`, or with the first number that makes it free.
fn free_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = |number: u32| {
        let suffix = format!("-{number}");
        format!("{}{suffix}", &name[..name.len().min(NAME_MAX - suffix.len())])
    };
    let mut candidates = std::iter::once(name.to_owned()).chain((2..).map(numbered));
    candidates.find(|name| !is_taken(name)).unwrap_or_default()
}

/// The name of a peer that a text of others makes; `None` when nothing of it can be used.
fn peer_name(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars().take(256) {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => name.push(c),
            c @ ('_' | '.' | '-') if !name.is_empty() => name.push(c),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    name.truncate(NAME_MAX);
    let name = name.trim_end_matches(['-', '.', '_']);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::is_peer_name;

    #[test]
    fn any_text_makes_a_name_that_fits_or_none() {
        for (text, name) in [
            ("studio", "studio"),
            ("Alice's MacBook Pro.local", "alice-s-macbook-pro.local"),
            ("a@b/../c\u{1b}[2J", "a-b-..-c-2j"),
            ("--x--", "x"),
        ] {
            assert_eq!(peer_name(text).as_deref(), Some(name), "{text}");
        }
        for none in ["", "@", "äöü", "..."] {
            assert_eq!(peer_name(none), None, "{none}");
        }
        assert!(is_peer_name(&peer_name(&"x".repeat(500)).unwrap()));
    }

    #[test]
    fn the_second_of_a_name_gets_a_number() {
        let taken = ["dev".to_owned(), "dev-2".to_owned(), "x".repeat(64)];
        let is_taken = |name: &str| taken.iter().any(|taken| taken == name);
        assert_eq!(free_name("dev", is_taken), "dev-3");
        let long = free_name(&"x".repeat(64), is_taken);
        assert!(is_peer_name(&long) && long.ends_with("x-2"), "{long}");
    }
}
