//! Listening on this machine's addresses in its tailnet, as soon as it has them.
//!
//! Only for a daemon that knows people by the tailnet; what it asks of them is the gate's matter, as everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{App, reach, run};
use crate::config::HostConfig;
use crate::fleet::discovery::{Doorman, Seen};

/// When an address that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// Who comes from the tailnet, and where they are answered.
pub struct TailnetDoor {
    /// Who says who is let in.
    pub door: Arc<Doorman>,
    /// What the tailnet is, while `host.toml` opens the door.
    pub seen: watch::Receiver<Seen>,
    /// Where the daemon listens otherwise.
    pub main: SocketAddr,
    /// What is answered with.
    pub app: Arc<App>,
}

impl TailnetDoor {
    /// Keeps the door open or shut as `host.toml` says, until the daemon stops. Who is in and not let in any more is out
    /// when asked the next time.
    pub async fn keep(self, mut host: watch::Receiver<HostConfig>) {
        let shutdown = self.app.shutdown.clone();
        let mut stopped = std::pin::pin!(shutdown.stopped());
        let mut served: Option<Served> = None;
        loop {
            let now = host.borrow_and_update().tailscale.clone();
            self.door.set(&now);
            match (now.enabled, &served) {
                (true, None) => {
                    let listens = listen(self.seen.clone(), self.main, Arc::clone(&self.app));
                    served = Some(Served(shutdown.spawn(listens)));
                }
                (false, Some(_)) => {
                    tracing::info!("the tailnet is not served any more");
                    served = None;
                }
                _ => {}
            }
            tokio::select! {
                () = &mut stopped => return,
                changed = host.changed() => if changed.is_err() {
                    return stopped.await;
                },
            }
        }
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
struct Served(JoinHandle<()>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers on the addresses of the tailnet, on the port of `main`, until the daemon stops. What `main` covers is
/// left to it.
async fn listen(mut seen: watch::Receiver<Seen>, main: SocketAddr, app: Arc<App>) {
    let shutdown = app.shutdown.clone();
    let mut stopped = std::pin::pin!(shutdown.stopped());
    let (mut bound, mut complained) = (BTreeMap::new(), BTreeSet::new());
    let mut shut = None;
    loop {
        let mut missing = false;
        let addresses = {
            let seen = seen.borrow_and_update();
            let why = is_shut(&seen);
            if let Some(why) = why.as_ref().filter(|_| shut != why) {
                tracing::warn!(why, "`[tailscale] enabled`, and nobody can be let in by the tailnet now");
            }
            shut = why;
            own_addresses(&seen, main.ip())
        };
        for ip in addresses {
            if bound.contains_key(&ip) {
                continue;
            }
            let address = SocketAddr::new(ip, main.port());
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    tracing::info!(%address, "serving the tailnet");
                    bound.insert(ip, Served(shutdown.spawn(run(listener, Arc::clone(&app)))));
                }
                Err(error) => {
                    missing = true;
                    if complained.insert(ip) {
                        tracing::warn!(%address, %error, "the tailnet can't be served; trying again");
                    }
                }
            }
        }
        let patience = if missing { RETRY } else { Duration::MAX };
        let changed = tokio::select! {
            () = &mut stopped => return,
            changed = timeout(patience, seen.changed()) => changed,
        };
        if matches!(changed, Ok(Err(_))) {
            return stopped.await;
        }
    }
}

/// Why nobody of the tailnet can be known; `None` where they can be, or that is not known yet.
fn is_shut(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Away(why) => Some(why.clone()),
        Seen::Tailnet(tailnet) if !tailnet.is_running => Some("Tailscale is not connected".to_owned()),
        Seen::Tailnet(_) | Seen::Unknown => None,
    }
}

/// The addresses to listen on. One that is none of a tailnet is none of ours to open, whoever says so.
fn own_addresses(seen: &Seen, main: IpAddr) -> Vec<IpAddr> {
    let Seen::Tailnet(tailnet) = seen else { return Vec::new() };
    let is_covered = |ip: &IpAddr| *ip == main || (main.is_unspecified() && main.is_ipv4() == ip.is_ipv4());
    let own = tailnet.own.addresses.iter().copied();
    own.filter(|ip| tailnet.is_running && reach::is_tailnet(*ip) && !is_covered(ip)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::discovery::Tailnet;

    #[test]
    fn only_addresses_of_the_tailnet_are_opened_and_none_twice() {
        let mut tailnet = Tailnet { is_running: true, ..Tailnet::default() };
        let all = ["100.64.0.1", "fd7a:115c:a1e0::1", "192.168.0.2", "127.0.0.1"];
        tailnet.own.addresses = all.map(|ip| ip.parse().unwrap()).to_vec();
        let own = |tailnet: &Tailnet, main: &str| {
            own_addresses(&Seen::Tailnet(Arc::new(tailnet.clone())), main.parse().unwrap()).len()
        };
        assert_eq!(own(&tailnet, "127.0.0.1"), 2);
        assert_eq!((own(&tailnet, "100.64.0.1"), own(&tailnet, "0.0.0.0")), (1, 1));
        assert_eq!(is_shut(&Seen::Tailnet(Arc::new(tailnet.clone()))), None);
        tailnet.is_running = false;
        assert_eq!(own(&tailnet, "127.0.0.1"), 0);
        assert!(is_shut(&Seen::Tailnet(Arc::new(tailnet))).is_some_and(|why| why.contains("not connected")));
        assert_eq!(is_shut(&Seen::Away("no socket".to_owned())).as_deref(), Some("no socket"));
    }
}
