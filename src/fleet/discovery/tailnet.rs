//! The tailnet as Tailscale's daemon tells it, and following how it changes.
//!
//! Invariants: what is kept is bounded; names that are no host names are left out; the daemon may come, go, restart
//! and hang at any time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::local_api::Places;
use super::local_http::LocalError;
use crate::util::{Backoff, visible_line};

/// Most devices that are looked at, and most addresses of one.
const DEVICES_MAX: usize = 4096;
const ADDRESSES_MAX: usize = 8;

/// Longest name, in bytes.
const NAME_MAX: usize = 253;

/// Messages of the bus within this time count as one.
const TOGETHER: Duration = Duration::from_millis(250);

/// How often one looks without being told: with a bus, and without one.
const LOOK: Duration = Duration::from_mins(5);
const LOOK_WITHOUT_BUS: Duration = Duration::from_secs(30);

/// How long to wait before looking for a daemon that was not there, or went away: first, and at most.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_mins(1);

/// `/localapi/v0/status`, and what `tailscale status --json` prints.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Status {
    backend_state: String,
    #[serde(rename = "Self")]
    own: Option<Node>,
    peer: Option<BTreeMap<String, Node>>,
    user: Option<BTreeMap<String, Profile>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "HostName")]
    host_name: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    #[serde(rename = "UserID")]
    user: i64,
    #[serde(rename = "TailscaleIPs")]
    addresses: Option<Vec<IpAddr>>,
    #[serde(rename = "Online")]
    online: bool,
    #[serde(rename = "Tags")]
    tags: Option<Vec<String>>,
    #[serde(rename = "ShareeNode")]
    is_sharee: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Profile {
    #[serde(rename = "ID")]
    id: i64,
    #[serde(rename = "LoginName")]
    login: String,
}

/// `/localapi/v0/whois`: a device (`tailcfg.Node`) and its user (`tailcfg.UserProfile`).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WhoIs {
    node: WhoIsNode,
    user_profile: Profile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WhoIsNode {
    #[serde(rename = "StableID")]
    id: String,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Tags")]
    tags: Option<Vec<String>>,
    /// Who shared the device with us, where it is of another tailnet; left out where nobody did.
    #[serde(rename = "Sharer")]
    sharer: i64,
    #[serde(rename = "Hostinfo")]
    host: Option<HostInfo>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HostInfo {
    /// Set for a device that is seen only because a device of ours was shared with its user.
    #[serde(rename = "ShareeNode")]
    is_sharee: bool,
}

/// Somebody who is in the tailnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Somebody {
    /// Their device.
    pub id: String,
    /// Its name.
    pub device: String,
    /// The user; `None` for a tagged device, which has none.
    pub user: Option<(i64, String)>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it is of another tailnet: shared with us, or one that something of ours was shared with.
    pub is_shared: bool,
}

impl WhoIs {
    /// Who it is.
    pub fn read(self) -> Somebody {
        let tags = self.node.tags.unwrap_or_default();
        let user = tags.is_empty().then_some((self.user_profile.id, self.user_profile.login));
        let is_shared = self.node.sharer != 0 || self.node.host.is_some_and(|host| host.is_sharee);
        let device = self.node.name.trim_end_matches('.').to_owned();
        Somebody { id: self.node.id, device, user, tags, is_shared }
    }
}

/// This device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// Its id, which stays.
    pub id: String,
    /// Its addresses in the tailnet.
    pub addresses: Vec<IpAddr>,
    /// Its full name.
    pub name: Option<String>,
    /// Its user and how they sign in; `None` for a tagged device.
    pub user: Option<(i64, String)>,
}

/// Another device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id, which stays.
    pub id: String,
    /// Its full name, without a dot at the end.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is connected.
    pub online: bool,
    /// Whether it is of this device's user, or has tags and so no user.
    pub ours: bool,
    /// Whether it has tags: then nobody says whose it is.
    pub tagged: bool,
}

/// The tailnet at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tailnet {
    /// Whether this device is connected.
    pub is_running: bool,
    /// This device.
    pub own: Own,
    /// The others, by id.
    pub devices: Vec<Device>,
}

impl Status {
    /// What of it counts.
    pub fn read(self) -> Tailnet {
        let users = self.user.unwrap_or_default();
        let own = self.own.unwrap_or_default();
        let user = own.tags.as_deref().unwrap_or_default().is_empty().then_some(own.user);
        let login = |id: i64| users.get(&id.to_string()).map(|user| user.login.clone()).unwrap_or_default();
        let mut devices: Vec<Device> =
            self.peer.into_iter().flatten().filter_map(|(_, n)| n.read(user)).collect();
        devices.sort_by(|a, b| a.id.cmp(&b.id));
        devices.dedup_by(|a, b| a.id == b.id);
        devices.truncate(DEVICES_MAX);
        let own = Own {
            user: user.filter(|_| !own.id.is_empty()).map(|id| (id, login(id))),
            name: host_name(&own.dns_name),
            addresses: bounded(own.addresses),
            id: own.id,
        };
        Tailnet { is_running: self.backend_state == "Running", own, devices }
    }
}

impl Node {
    fn read(self, user: Option<i64>) -> Option<Device> {
        let has_tags = self.tags.as_deref().is_some_and(|tags| !tags.is_empty());
        // A device without a name in the tailnet's DNS has at least its own.
        let name = host_name(&self.dns_name).or_else(|| host_name(&self.host_name))?;
        let is_id = (1..=64).contains(&self.id.len()) && self.id.bytes().all(|byte| byte.is_ascii_graphic());
        let ours = !self.is_sharee && (has_tags || user == Some(self.user));
        let addresses = bounded(self.addresses);
        is_id.then_some(Device { id: self.id, name, addresses, online: self.online, ours, tagged: has_tags })
    }
}

fn bounded(addresses: Option<Vec<IpAddr>>) -> Vec<IpAddr> {
    addresses.into_iter().flatten().take(ADDRESSES_MAX).collect()
}

fn host_name(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    ((1..=NAME_MAX).contains(&text.len()) && text.bytes().all(is_part)).then_some(text)
}

/// What is known now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing yet.
    Unknown,
    /// Tailscale can't be asked, and why.
    Away(String),
    /// The tailnet.
    Tailnet(Arc<Tailnet>),
}

/// Follows the tailnet for as long as it is polled.
pub async fn keep(places: Places, told: watch::Sender<Seen>) {
    let mut backoff = Backoff::new(RETRY, RETRY_MAX);
    loop {
        let Err(error) = follow(&places, &told).await;
        if matches!(*told.borrow(), Seen::Tailnet(_)) {
            backoff.reset();
        }
        let said = Seen::Away(visible_line(&error.to_string()).into_owned());
        told.send_if_modified(|seen| replace(seen, said));
        sleep(backoff.pause()).await;
    }
}

async fn follow(places: &Places, told: &watch::Sender<Seen>) -> Result<std::convert::Infallible, LocalError> {
    let api = places.find()?;
    let mut bus = api.bus().await?;
    loop {
        let tailnet = Seen::Tailnet(Arc::new(api.status(true).await?.read()));
        told.send_if_modified(|seen| replace(seen, tailnet));
        match &mut bus {
            // No message within the time is a reason to look, too.
            Some(bus) => {
                if let Ok(changed) = timeout(LOOK, bus.changed()).await {
                    changed?;
                    let end = Instant::now() + TOGETHER;
                    while let Ok(more) = timeout_at(end, bus.changed()).await {
                        more?;
                    }
                }
            }
            None => sleep(LOOK_WITHOUT_BUS).await,
        }
    }
}

fn replace(seen: &mut Seen, by: Seen) -> bool {
    let is_new = *seen != by;
    *seen = by;
    is_new
}
