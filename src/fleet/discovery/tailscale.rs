//! Which devices of the tailnet are machines with a darkmux or a gmux.
//!
//! Each change of the tailnet is compared with what was known, by the devices' ids: what is new, came back, or has
//! another name or address is asked; what is none is asked again after [`COOLDOWN`] at the earliest; what left is forgotten.
//!
//! Invariants: only this user's devices and tagged ones are asked, and never with a token; a tagged device, which is of
//! no user and may be another's machine, is suggested and no more; a silent device stays what it was; at most [`AT_ONCE`]
//! are asked at one time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::ask::{Answer, Asked, Whom, ask};
use super::cache::{Cache, Devices, Kept};
use super::tailnet::{Device, Seen, Tailnet};
use super::{Access, Found, Origin};
use crate::util::Shutdown;

/// How long a device that is no member, or wants a token, is left alone.
pub const COOLDOWN: Duration = Duration::from_mins(5);

/// Devices that are asked at one time.
const AT_ONCE: usize = 16;

/// What is known of one device.
#[derive(Debug, Clone, Default)]
struct Known {
    /// As the tailnet told it last; `None` for one of the cache that was not seen yet.
    device: Option<Device>,
    member: Option<Answer>,
    /// Whether it has tags.
    tagged: bool,
    /// When the last question was sent.
    asked: Option<Instant>,
    /// Whether an answer is being waited for.
    asking: bool,
}

/// Finds machines in the tailnet.
#[derive(Debug, Clone)]
pub struct Finder {
    /// Where daemons listen, most likely first.
    pub ports: Vec<u16>,
    /// What was found before.
    pub cache: Cache,
    /// What the tailnet is.
    pub seen: watch::Receiver<Seen>,
}

impl Finder {
    /// What was found before, by other runs of the daemon.
    pub fn kept(&self) -> Vec<Found> {
        list(&self.cache.read().into_iter().map(of_cache).collect())
    }

    /// Looks for as long as it is polled; says what was found whenever it is something else.
    pub async fn look(mut self, told: watch::Sender<Vec<Found>>, shutdown: Shutdown) {
        let cache = self.cache.clone();
        let kept = shutdown.spawn_blocking(move || cache.read()).await.unwrap_or_default();
        let mut known: BTreeMap<String, Known> = kept.into_iter().map(of_cache).collect();
        let gate = Arc::new(Semaphore::new(AT_ONCE));
        let mut asking: JoinSet<(String, Asked)> = JoinSet::new();
        let mut kept = to_cache(&known);
        loop {
            if let Seen::Tailnet(tailnet) = self.seen.borrow_and_update().clone() {
                compare(&mut known, &tailnet);
            }
            for (id, whom) in due(&mut known, &self.ports, Instant::now()) {
                let gate = Arc::clone(&gate);
                asking.spawn(async move {
                    let Ok(_permit) = gate.acquire().await else { return (id, Asked::Silent) };
                    let asked = ask(&whom).await;
                    (id, asked)
                });
            }
            told.send_if_modified(|before| {
                let now = list(&known);
                let is_new = *before != now;
                *before = now;
                is_new
            });
            let now = to_cache(&known);
            if now != kept {
                kept.clone_from(&now);
                let cache = self.cache.clone();
                let written = shutdown.spawn_blocking(move || cache.write(now)).await;
                if let Ok(Err(error)) = written {
                    tracing::warn!(%error, "what was found in the tailnet can't be kept");
                }
            }
            let now = Instant::now();
            let next = known.values().filter_map(|one| one.due_at(now)).min();
            tokio::select! {
                changed = self.seen.changed() => if changed.is_err() { return },
                Some(Ok((id, asked))) = asking.join_next() => settle(&mut known, &id, asked),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }
}

impl Known {
    /// When it is to be asked, at the earliest `now`; `None` as long as it is off, is being asked, or is somebody else's.
    fn due_at(&self, now: Instant) -> Option<Instant> {
        let device = self.device.as_ref().filter(|device| device.online && device.ours)?;
        let lets_in = self.member.as_ref().is_some_and(|member| member.lets_in);
        match self.asked {
            _ if self.asking || device.addresses.is_empty() => None,
            None => Some(now),
            Some(_) if lets_in => None,
            Some(asked) => Some(asked + COOLDOWN),
        }
    }
}

/// Takes over how the tailnet is now.
fn compare(known: &mut BTreeMap<String, Known>, tailnet: &Tailnet) {
    if !tailnet.is_running {
        // Signed out or switched off: nothing is known of anybody, and nobody left.
        for device in known.values_mut().filter_map(|known| known.device.as_mut()) {
            device.online = false;
        }
        return;
    }
    let mut before = std::mem::take(known);
    for device in &tailnet.devices {
        let mut one = before.remove(&device.id).unwrap_or_default();
        let is_same = one.device.as_ref().is_some_and(|was| {
            // Who comes back may be something else by now.
            let came_back = device.online && !was.online;
            !came_back
                && was.name == device.name
                && was.addresses == device.addresses
                && was.ours == device.ours
        });
        if !is_same {
            one.asked = None;
        }
        if !device.ours {
            one.member = None;
        }
        one.tagged = device.tagged;
        one.device = Some(device.clone());
        known.insert(device.id.clone(), one);
    }
}

/// Whom to ask now. They count as asked from here on.
fn due(known: &mut BTreeMap<String, Known>, ports: &[u16], now: Instant) -> Vec<(String, Whom)> {
    let mut due = Vec::new();
    for (id, one) in known {
        if one.due_at(now).is_none_or(|at| at > now) {
            continue;
        }
        let Some(device) = &one.device else { continue };
        let (name, addresses) = (device.name.clone(), device.addresses.clone());
        due.push((id.clone(), Whom { name, addresses, ports: ports.to_vec() }));
        (one.asked, one.asking) = (Some(now), true);
    }
    due
}

/// Takes over what became of asking.
fn settle(known: &mut BTreeMap<String, Known>, id: &str, asked: Asked) {
    let Some(one) = known.get_mut(id) else { return };
    one.asking = false;
    match asked {
        // It changed, or left and came back, while it was asked: ask again.
        _ if one.asked.is_none() => {}
        Asked::Member(answer) => one.member = Some(answer),
        Asked::NoMember if one.device.as_ref().is_some_and(|device| device.online) => one.member = None,
        Asked::NoMember | Asked::Silent => {}
    }
}

/// The members, each under its name; whoever was known first under it keeps it.
fn list(known: &BTreeMap<String, Known>) -> Vec<Found> {
    known
        .iter()
        .filter_map(|(id, one)| {
            let member = one.member.as_ref()?;
            let device = one.device.as_ref();
            Some(Found {
                name: member.name.clone(),
                url: member.url.clone(),
                kind: member.kind,
                node_id: member.node_id.clone(),
                origin: Origin::Tailscale {
                    device: id.clone(),
                    host: device.map(|device| device.name.clone()).unwrap_or_default(),
                    online: device.is_none_or(|device| device.online),
                },
                access: if member.lets_in && !one.tagged { Access::Identity } else { Access::Suggestion },
                local: false,
            })
        })
        .collect()
}

fn of_cache((id, kept): (String, Kept)) -> (String, Known) {
    let Kept { name, url, kind, lets_in, node_id, tagged, .. } = kept;
    let member = Some(Answer { name, url, kind, lets_in, node_id });
    (id, Known { member, tagged, ..Known::default() })
}

fn to_cache(known: &BTreeMap<String, Known>) -> Devices {
    let kept = |(id, one): (&String, &Known)| {
        let Answer { name, url, kind, lets_in, node_id } = one.member.clone()?;
        let host = one.device.as_ref().map(|device| device.name.clone()).unwrap_or_default();
        Some((id.clone(), Kept { host, name, url, kind, lets_in, node_id, tagged: one.tagged }))
    };
    known.iter().filter_map(kept).collect()
}
