//! Where the daemon may listen. It speaks plain HTTP, so beside loopback only where the network itself encrypts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sysinfo::Networks;

/// What names of interfaces begin with whose traffic is encrypted: WireGuard and tailnets.
const ENCRYPTED: &[&str] = &["wg", "utun", "tailscale"];

/// An interface of this machine: its name and one of its addresses.
pub type Interface = (String, IpAddr);

/// The interfaces of this machine, one entry an address; none where the system does not tell.
fn interfaces() -> Vec<Interface> {
    let mut interfaces = Vec::new();
    if let Ok(networks) = Networks::new_with_refreshed_list() {
        for (name, data) in &networks {
            let name = name.to_string_lossy();
            interfaces
                .extend(data.ip_networks().iter().map(|network| (name.clone().into_owned(), network.addr)));
        }
    }
    interfaces
}

/// Where others reach a daemon that listens there: on all addresses means by one of a tailnet or of WireGuard, else by one
/// of the other networks, where there is any.
pub fn outside(bind: IpAddr) -> IpAddr {
    if bind.is_unspecified() { best(bind, &interfaces()) } else { bind }
}

/// This machine's address in a tailnet or WireGuard, where it has one.
pub fn encrypted() -> Option<IpAddr> {
    let best = outside(Ipv4Addr::UNSPECIFIED.into());
    (is_safe(best) && !best.is_loopback()).then_some(best)
}

fn best(bind: IpAddr, interfaces: &[Interface]) -> IpAddr {
    let fits = |ip: &IpAddr| {
        let family = bind.is_ipv6() || ip.is_ipv4();
        let link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        family && !ip.is_loopback() && !link_local && !ip.is_unspecified() && !ip.is_multicast()
    };
    // Containers' bridges lead nowhere from another machine.
    let is_bridge = |name: &str| {
        ["docker", "br-", "veth", "virbr", "bridge"].iter().any(|prefix| name.starts_with(prefix))
    };
    let rank = |(name, ip): &&Interface| {
        let is_safe = is_tailnet(*ip) || is_encrypted(*ip, interfaces);
        (!is_safe, is_bridge(name), ip.is_ipv6(), *ip)
    };
    let found = interfaces.iter().filter(|(_, ip)| fits(ip)).min_by_key(rank);
    let loopback = if bind.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    found.map_or(loopback, |(_, ip)| *ip)
}

/// Whether this machine has the address itself.
pub fn is_own(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || interfaces().iter().any(|(_, own)| *own == ip)
}

/// Whether what is sent to this address of ours stays here or is encrypted on its way.
pub fn is_safe(bind: IpAddr) -> bool {
    bind.is_loopback() || is_tailnet(bind.to_canonical()) || is_encrypted(bind, &interfaces())
}

/// `Err` with why the daemon may not listen there, and what to do.
pub fn check(bind: IpAddr, i_know: bool) -> Result<(), String> {
    if i_know || is_safe(bind) {
        return Ok(());
    }
    let where_ = if bind.is_unspecified() {
        format!("{bind} is every network this machine is in")
    } else {
        format!("{bind} belongs to no tailnet and no WireGuard interface")
    };
    Err(format!(
        "{where_}, and darkmux speaks plain HTTP: whoever is on the way can read terminals and the token; bind to this \
         machine's address in a tailnet, reach 127.0.0.1 through ssh or a proxy with TLS (`serve.hosts`), or say \
         `--i-know`"
    ))
}

fn is_encrypted(ip: IpAddr, interfaces: &[Interface]) -> bool {
    let ip = ip.to_canonical();
    let of_interface = |(name, address): &Interface| {
        *address == ip && ENCRYPTED.iter().any(|prefix| name.starts_with(prefix))
    };
    interfaces.iter().any(of_interface)
}

/// The addresses that Tailscale gives out.
pub fn is_tailnet(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip & Ipv4Addr::new(255, 192, 0, 0) == Ipv4Addr::new(100, 64, 0, 0),
        IpAddr::V6(ip) => {
            let prefix = Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0);
            ip.segments()[..3] == prefix.segments()[..3]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_loopback_only_encrypted_networks_count() {
        for good in ["127.0.0.1", "127.8.8.8", "::1", "100.64.0.1", "100.127.255.255", "fd7a:115c:a1e0::9"] {
            assert_eq!(check(good.parse().unwrap(), false), Ok(()), "{good}");
        }
        for bad in ["0.0.0.0", "::", "100.63.0.1", "100.128.0.1", "192.0.2.7", "fd7b::1", "8.8.8.8"] {
            let bad = bad.parse().unwrap();
            assert!(check(bad, false).unwrap_err().contains("--i-know"), "{bad}");
            assert_eq!(check(bad, true), Ok(()), "{bad}");
        }
    }

    #[test]
    fn of_all_addresses_the_safest_is_told() {
        let all: Vec<Interface> = [
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("eth0", "fe80::1"),
            ("eth0", "192.168.1.7"),
            ("tailscale0", "fd7a:115c:a1e0::9"),
            ("tailscale0", "100.64.0.9"),
        ]
        .map(|(name, ip)| (name.to_owned(), ip.parse().unwrap()))
        .to_vec();
        let of = |bind: &str, count| best(bind.parse().unwrap(), &all[..count]).to_string();
        assert_eq!((of("0.0.0.0", 6), of("::", 6)), ("100.64.0.9".to_owned(), "100.64.0.9".to_owned()));
        assert_eq!((of("0.0.0.0", 5), of("0.0.0.0", 2)), ("192.168.1.7".to_owned(), "172.17.0.1".to_owned()));
        assert_eq!((of("0.0.0.0", 1), of("::", 1)), ("127.0.0.1".to_owned(), "::1".to_owned()));
        assert_eq!(outside("10.0.0.7".parse().unwrap()).to_string(), "10.0.0.7");
    }

    #[test]
    fn an_interface_tells_by_its_name() {
        let interfaces: Vec<Interface> = [("wg0", "10.9.0.2"), ("eth0", "10.0.0.2"), ("utun4", "fd00::2")]
            .map(|(name, ip)| (name.to_owned(), ip.parse().unwrap()))
            .to_vec();
        let is = |ip: &str| is_encrypted(ip.parse().unwrap(), &interfaces);
        assert!(is("10.9.0.2") && is("fd00::2") && is("::ffff:10.9.0.2"));
        assert!(!is("10.0.0.2") && !is("10.9.0.3"));
        assert!(super::interfaces().iter().any(|(_, ip)| ip.is_loopback()), "this machine has loopback");
    }
}
