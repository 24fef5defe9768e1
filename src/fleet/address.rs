//! Where another machine's daemon listens: read from what the operator typed, resolved once, and refused where
//! no machine of a fleet can be.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The port of a daemon that was given none.
pub const DEFAULT_PORT: u16 = 8765;

/// Longest host name, in bytes.
const NAME_MAX: usize = 253;

/// Most addresses of one name that are tried.
const RESOLVED_MAX: usize = 4;

/// Addresses at which clouds (and Tailscale's own resolver) answer about the machine that asks.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The port of a daemon behind a proxy with TLS.
const TLS_PORT: u16 = 443;

/// What stands before an address that is reached by TLS.
const TLS: &str = "https://";

/// The address of a peer: a host name or an IP address, and a port; `https://` before it where a proxy with TLS stands
/// before its daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    host: Host,
    port: u16,
    tls: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// Why a text is no address of a peer. Says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It has another shape.
    #[error("`{}` is no address: write host, host:port, ip:port, [v6]:port, or https://host", .0.escape_debug())]
    Shape(String),
    /// It is a URL.
    #[error("`{}` is a URL: leave out the path, and the scheme unless it is https, as in studio:8765 or https://studio", .0.escape_debug())]
    Url(String),
    /// No machine of a fleet can be there.
    #[error("{0} is {1}: no machine of a fleet is there; give its LAN or tailnet address")]
    Refused(IpAddr, &'static str),
    /// The name means nothing.
    #[error("the name {0} is not known: {1}")]
    Unknown(String, String),
}

impl PeerAddress {
    /// Whether only this machine reaches it: a loopback address, or its name.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Ip(ip) => ip.to_canonical().is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }

    /// Whether a proxy with TLS answers there.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// What paths are put behind.
    pub fn origin(&self) -> String {
        if self.tls { self.to_string() } else { format!("http://{self}") }
    }

    /// As requests name it in `Host`.
    pub fn authority(&self) -> String {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) if self.is_usual() => format!("[{ip}]"),
            Host::Ip(ip) if self.is_usual() => ip.to_string(),
            Host::Name(name) if self.is_usual() => name.clone(),
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).to_string(),
            Host::Name(name) => format!("{name}:{}", self.port),
        }
    }

    /// The name, where it is no IP address.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Ip(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// Whether the port goes without saying.
    fn is_usual(&self) -> bool {
        self.tls && self.port == TLS_PORT
    }

    /// The addresses behind it, asked for now, without those that are refused.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, AddressError> {
        let name = match &self.host {
            Host::Ip(ip) => return Ok(vec![SocketAddr::new(allowed(*ip)?, self.port)]),
            Host::Name(name) => name,
        };
        resolve_name(name, self.port).await
    }
}

/// The addresses behind a name, asked for now, without those that are refused.
pub async fn resolve_name(name: &str, port: u16) -> Result<Vec<SocketAddr>, AddressError> {
    let unknown = |why: String| AddressError::Unknown(name.to_owned(), why);
    let found = tokio::net::lookup_host((name, port)).await;
    let found = found.map_err(|error| unknown(crate::util::visible_line(&error.to_string()).into_owned()))?;
    let mut good = Vec::new();
    let mut refused = None;
    for address in found {
        match allowed(address.ip()) {
            Ok(ip) => good.push(SocketAddr::new(ip, port)),
            Err(error) => refused = Some(error),
        }
    }
    good.truncate(RESOLVED_MAX);
    match (good.is_empty(), refused) {
        (false, _) => Ok(good),
        (true, Some(error)) => Err(error),
        (true, None) => Err(unknown("it has no address".to_owned())),
    }
}

/// The address as it is dialled, or why it is not.
fn allowed(ip: IpAddr) -> Result<IpAddr, AddressError> {
    // `::ffff:169.254.0.1` is 169.254.0.1.
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let what = if METADATA.contains(&ip) {
        "a metadata service"
    } else if ip.is_unspecified() {
        "the unspecified address"
    } else if ip.is_multicast() {
        "a multicast address"
    } else if ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        "the broadcast address"
    } else if link_local {
        "a link-local address"
    } else {
        return Ok(ip);
    };
    Err(AddressError::Refused(ip, what))
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // An error quotes at most this much of a text that may be hostile and long.
        let quoted = || text.chars().take(80).collect::<String>();
        let trimmed = text.trim();
        if let Some(rest) = trimmed.strip_prefix(TLS) {
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            if rest.contains('/') {
                return Err(AddressError::Url(quoted()));
            }
            let plain: Self = rest.parse()?;
            let host = rest.rsplit_once(']').map_or(rest, |(_, after)| after);
            let port =
                if host.contains(':') && rest.parse::<IpAddr>().is_err() { plain.port } else { TLS_PORT };
            return Ok(Self { port, tls: true, ..plain });
        }
        if trimmed.contains("://") || trimmed.contains('/') {
            return Err(AddressError::Url(quoted()));
        }
        let port_of =
            |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && !text.starts_with('+'));
        let shape = || AddressError::Shape(quoted());
        let (host, port) = if let Ok(ip) = trimmed.parse::<IpAddr>() {
            (Host::Ip(ip), DEFAULT_PORT)
        } else if let Some(rest) = trimmed.strip_prefix('[') {
            let (ip, rest) = rest.split_once(']').ok_or_else(shape)?;
            let ip: Ipv6Addr = ip.parse().map_err(|_| shape())?;
            let port = match rest.strip_prefix(':') {
                Some(port) => port_of(port).ok_or_else(shape)?,
                None if rest.is_empty() => DEFAULT_PORT,
                None => return Err(shape()),
            };
            (Host::Ip(ip.into()), port)
        } else {
            let (host, port) = match trimmed.split_once(':') {
                Some((host, port)) => (host, port_of(port).ok_or_else(shape)?),
                None => (trimmed, DEFAULT_PORT),
            };
            let host = match host.parse::<IpAddr>() {
                Ok(ip) => Host::Ip(ip),
                Err(_) if is_name(host) => Host::Name(host.to_ascii_lowercase()),
                Err(_) => return Err(shape()),
            };
            (host, port)
        };
        if let Host::Ip(ip) = host {
            allowed(ip)?;
        }
        Ok(Self { host, port, tls: false })
    }
}

/// A host name: labels of letters, digits, `-` and `_`, the last one not a number (which would be an address in
/// a shape that resolvers disagree about).
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let good = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && good && !label.starts_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    text.len() <= NAME_MAX && text.split('.').all(is_label) && !numeric
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { TLS } else { "" })?;
        f.write_str(&self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_an_address() {
        for (text, shown) in [
            ("studio", "studio:8765"),
            ("Studio.tail1234.ts.net:9000", "studio.tail1234.ts.net:9000"),
            ("my_mac.local.", "my_mac.local.:8765"),
            ("100.64.1.5", "100.64.1.5:8765"),
            ("100.64.1.5:8765", "100.64.1.5:8765"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("::1", "[::1]:8765"),
            ("[::1]", "[::1]:8765"),
            ("[fd7a:115c::1]:80", "[fd7a:115c::1]:80"),
            (" studio:8765 ", "studio:8765"),
            ("https://studio.tail1234.ts.net", "https://studio.tail1234.ts.net"),
            ("https://Studio:443/", "https://studio"),
            ("https://studio:8443", "https://studio:8443"),
            ("https://100.64.1.5", "https://100.64.1.5"),
            ("https://[fd7a:115c::1]", "https://[fd7a:115c::1]"),
            ("https://[fd7a:115c::1]:8443", "https://[fd7a:115c::1]:8443"),
        ] {
            assert_eq!(text.parse::<PeerAddress>().map(|address| address.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn what_is_none_is_refused_in_words() {
        for (bad, says) in [
            ("", "write host"),
            ("http://studio:8765", "scheme"),
            ("https://studio/x", "path"),
            ("https://https://studio", "path"),
            ("https://", "write host"),
            ("https://169.254.169.254", "metadata"),
            ("https://u:p@studio", "write host"),
            ("studio/x", "scheme"),
            ("studio:0", "write host"),
            ("studio:99999", "write host"),
            ("studio:+80", "write host"),
            ("a b", "write host"),
            ("-x", "write host"),
            ("host:1:2", "write host"),
            ("[::1", "write host"),
            ("[::1]8", "write host"),
            ("2130706433", "write host"),
            ("0x7f.1", "write host"),
            ("user@host", "write host"),
            ("a\u{1b}[2J", "write host"),
            ("0.0.0.0:1", "unspecified"),
            ("[::]:1", "unspecified"),
            ("169.254.169.254", "metadata"),
            ("[::ffff:169.254.169.254]:80", "metadata"),
            ("[fd00:ec2::254]", "metadata"),
            ("169.254.1.1", "link-local"),
            ("fe80::1", "link-local"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
            ("255.255.255.255", "broadcast"),
        ] {
            let said = bad.parse::<PeerAddress>().unwrap_err().to_string();
            assert!(said.contains(says), "{bad:?}: {said}");
            assert!(!said.contains('\u{1b}'), "{said}");
        }
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_one_that_is_none_is_said() {
        let local: PeerAddress = "localhost:7".parse().unwrap();
        assert!(local.resolve().await.unwrap().iter().all(|address| address.ip().is_loopback()));
        let none: PeerAddress = "no-such-name.invalid".parse().unwrap();
        let said = none.resolve().await.unwrap_err().to_string();
        assert!(said.contains("no-such-name.invalid"), "{said}");
    }
}
