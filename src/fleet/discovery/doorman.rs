//! Who comes in from the tailnet: Tailscale knows whose device an address is, and vouches for it.
//!
//! Invariants: without a clear answer nobody is known; a device is never let in by its name alone; an answer counts
//! for [`FRESH`]; the questions at one time and the answers that are kept are bounded.
//!
//! Not here: which connections may be asked about (`serve::auth`).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::local_api::Places;
use super::local_http::LocalError;
use super::tailnet::{Own, Somebody};
use crate::config::TailscaleConfig;
use crate::util::visible_line;

/// How long an answer counts.
pub const FRESH: Duration = Duration::from_secs(10);

/// How long asking may take altogether.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers that are kept, and questions at one time.
const KEPT: usize = 1024;
const AT_ONCE: usize = 8;

/// Somebody at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guest {
    /// May come in; who it is, in words.
    Welcome(String),
    /// May not; who it is, in words.
    Unwelcome(String),
    /// Nobody can say; why.
    Unknown(String),
}

/// Asks Tailscale who somebody is.
#[derive(Debug)]
pub struct Doorman {
    places: Places,
    /// Further logins and tags that may come in, in lower case; `None` when nobody is let in by the tailnet.
    allow: Mutex<Option<Vec<String>>>,
    answers: Mutex<HashMap<IpAddr, (Instant, Guest)>>,
    gate: Semaphore,
}

impl Doorman {
    /// Lets in nobody until it is told otherwise.
    pub fn new(places: Places) -> Self {
        let (allow, answers) = (Mutex::default(), Mutex::default());
        Self { places, allow, answers, gate: Semaphore::new(AT_ONCE) }
    }

    /// Lets in this device's user and whom the configuration names: logins (`alice@example.com`) and tags
    /// (`tag:server`); or nobody from now on.
    pub fn set(&self, config: &TailscaleConfig) {
        let allow = || config.allow.iter().map(|entry| entry.trim().to_lowercase()).collect();
        *self.allow() = config.enabled.then(allow);
        self.answers().clear();
    }

    /// Whether anybody is let in by the tailnet.
    pub fn is_open(&self) -> bool {
        self.allow().is_some()
    }

    /// Who has this address.
    pub async fn ask(&self, address: SocketAddr) -> Guest {
        let ip = address.ip().to_canonical();
        if !self.is_open() {
            return Guest::Unwelcome("everybody from the tailnet".to_owned());
        }
        let fresh = |(at, guest): &(Instant, Guest)| (at.elapsed() < FRESH).then(|| guest.clone());
        if let Some(guest) = self.answers().get(&ip).and_then(fresh) {
            return guest;
        }
        let asked = timeout(PATIENCE, async {
            let _permit = self.gate.acquire().await;
            self.look(SocketAddr::new(ip, address.port())).await
        });
        let guest = match asked.await {
            Ok(Ok(guest)) => guest,
            Ok(Err(error)) => Guest::Unknown(visible_line(&error.to_string()).into_owned()),
            Err(_) => Guest::Unknown("Tailscale does not answer".to_owned()),
        };
        match &guest {
            Guest::Unwelcome(who) => tracing::warn!(%who, %ip, "came from the tailnet and is not let in"),
            Guest::Unknown(why) => tracing::warn!(%why, %ip, "nobody can say who comes from the tailnet"),
            Guest::Welcome(who) => tracing::debug!(%who, %ip, "came from the tailnet"),
        }
        let mut answers = self.answers();
        if answers.len() >= KEPT {
            answers.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if answers.len() < KEPT {
            answers.insert(ip, (Instant::now(), guest.clone()));
        }
        guest
    }

    async fn look(&self, address: SocketAddr) -> Result<Guest, LocalError> {
        let api = self.places.find()?;
        let (own, who) = tokio::join!(api.status(false), api.whois(address));
        let own = own?.read();
        if !own.is_running {
            return Ok(Guest::Unknown("Tailscale is not connected".to_owned()));
        }
        Ok(match who? {
            None => Guest::Unknown("Tailscale knows no such device".to_owned()),
            // As it is now: it may have been changed meanwhile.
            Some(who) => match &*self.allow() {
                Some(allow) => judge(&own.own, &who.read(), allow),
                None => Guest::Unknown("nobody is let in by the tailnet any more".to_owned()),
            },
        })
    }

    fn allow(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.allow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<IpAddr, (Instant, Guest)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the tags of a device are those of our own tailnet, whose owner alone gives them: whoever has another tailnet can
/// call a tag there what they like, and share a device with us. `WhoIs` says that it was shared (`Node.Sharer`,
/// `Node.Hostinfo.ShareeNode`); and a device of another tailnet keeps that one's domain, which ours must have.
fn has_our_tags(own: &Own, who: &Somebody) -> bool {
    let domain = |name: &str| name.split_once('.').map(|(_, domain)| domain.to_ascii_lowercase());
    let ours = own.name.as_deref().and_then(domain);
    !who.is_shared && ours.is_some() && ours == domain(&who.device)
}

fn judge(own: &Own, who: &Somebody, allow: &[String]) -> Guest {
    let is_allowed = |name: &str| !name.is_empty() && allow.contains(&name.to_lowercase());
    let (is_in, name) = match &who.user {
        // On this device there may be other people, and programs that are not to have a terminal.
        _ if who.id.is_empty() || who.id == own.id => (false, "this device itself".to_owned()),
        None => {
            let is_named = who.tags.iter().any(|tag| is_allowed(tag));
            (is_named && has_our_tags(own, who), who.tags.join(","))
        }
        Some((id, login)) => {
            let is_owner = *id != 0 && own.user.as_ref().is_some_and(|(own, _)| own == id);
            (is_owner || is_allowed(login), login.clone())
        }
    };
    let words: String = visible_line(&format!("{name} on {}", who.device)).chars().take(300).collect();
    if is_in { Guest::Welcome(words) } else { Guest::Unwelcome(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody(id: &str, user: Option<(i64, &str)>, tags: &[&str]) -> Somebody {
        Somebody {
            id: id.to_owned(),
            device: "phone.tail.ts.net".to_owned(),
            user: user.map(|(id, login)| (id, login.to_owned())),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            is_shared: false,
        }
    }

    #[test]
    fn the_same_user_and_who_is_named_come_in_and_nobody_else() {
        let user = |id, login: &str| Some((id, login.to_owned()));
        let name = Some("box.tail.ts.net".to_owned());
        let own = |user| Own { id: "me".to_owned(), user, name: name.clone(), ..Own::default() };
        let alice = own(user(7, "alice@example.com"));
        let is_in = |own: &Own, who: Somebody, allow: &[&str]| {
            let allow: Vec<String> = allow.iter().map(|entry| entry.to_lowercase()).collect();
            matches!(judge(own, &who, &allow), Guest::Welcome(_))
        };
        assert!(is_in(&alice, somebody("a", Some((7, "alice@example.com")), &[]), &[]));
        assert!(!is_in(&alice, somebody("a", Some((8, "bob@example.com")), &[]), &[]));
        assert!(!is_in(&alice, somebody("a", Some((8, "alice@example.com")), &[]), &[]));
        assert!(is_in(&alice, somebody("a", Some((8, "Bob@example.com")), &[]), &["bob@Example.com"]));
        assert!(!is_in(&alice, somebody("me", Some((7, "alice@example.com")), &[]), &["alice@example.com"]));
        assert!(!is_in(&alice, somebody("", Some((7, "alice@example.com")), &[]), &[]));
        assert!(!is_in(&alice, somebody("a", None, &["tag:server"]), &[]));
        assert!(is_in(&alice, somebody("a", None, &["tag:server"]), &["tag:server"]));
        // A tag of another tailnet is no tag of ours, whatever it is called.
        let server = || somebody("a", None, &["tag:server"]);
        for stranger in [
            Somebody { is_shared: true, ..server() },
            Somebody { device: "phone.other.ts.net".to_owned(), ..server() },
            Somebody { device: "phone".to_owned(), ..server() },
            Somebody { device: String::new(), ..server() },
        ] {
            assert!(!is_in(&alice, stranger.clone(), &["tag:server"]), "{stranger:?}");
            let nameless = Own { name: None, ..alice.clone() };
            assert!(!is_in(&nameless, stranger, &["tag:server"]));
        }
        // A user is the same in all tailnets.
        let bobs = Somebody { is_shared: true, ..somebody("a", Some((8, "bob@example.com")), &[]) };
        assert!(is_in(&alice, bobs, &["bob@example.com"]));
        // A tagged device of ours has no user: whom it lets in is named.
        assert!(!is_in(&own(None), somebody("a", Some((0, "")), &[]), &[""]));
        assert!(!is_in(&own(user(0, "")), somebody("a", Some((0, "")), &[]), &[]));
    }
}
