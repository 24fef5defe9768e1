//! Where a peer is: the origin of a URL, refused where no machine of a fleet can be.

use std::fmt;
use std::str::FromStr;

use crate::fleet::{AddressError, PeerAddress};

/// Longest URL, in bytes.
const URL_MAX: usize = 512;

/// Why a text is no URL of a peer. Says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It has another shape.
    #[error("`{}` is no URL of a machine: write http://host:port or https://host", .0.escape_debug())]
    Shape(String),
    /// It names more than a machine.
    #[error("`{}` names more than a machine: leave out user, path, query and fragment", .0.escape_debug())]
    More(String),
    /// The machine in it is none.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// The origin of a peer: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerUrl {
    tls: bool,
    address: PeerAddress,
}

impl PeerUrl {
    /// Whether what is sent there is encrypted by TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host and the port.
    pub fn address(&self) -> &PeerAddress {
        &self.address
    }
}

impl FromStr for PeerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let trimmed = text.trim();
        let quoted = || trimmed.chars().take(80).collect::<String>();
        let (scheme, rest) = trimmed.split_once("://").ok_or_else(|| UrlError::Shape(quoted()))?;
        let (tls, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(UrlError::Shape(quoted())),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.is_empty() || trimmed.len() > URL_MAX {
            return Err(UrlError::Shape(quoted()));
        }
        if host.contains(['/', '?', '#', '@', '\\']) {
            return Err(UrlError::More(quoted()));
        }
        // What follows the brackets of an IPv6 address, or the whole of anything else, may name the port.
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        let whole = if after.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
        Ok(Self { tls, address: whole.parse()? })
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("https", ":443") } else { ("http", ":80") };
        let address = self.address.to_string();
        write!(f, "{scheme}://{}", address.strip_suffix(usual).unwrap_or(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_origin() {
        for (text, shown) in [
            ("https://gmux-server.your-tailnet.ts.net", "https://gmux-server.your-tailnet.ts.net"),
            ("HTTP://Studio:8790/", "http://studio:8790"),
            ("http://100.64.1.5", "http://100.64.1.5"),
            ("https://[fd7a::1]", "https://[fd7a::1]"),
            ("http://[::1]:8765", "http://[::1]:8765"),
            (" http://box:80 ", "http://box"),
        ] {
            let url: PeerUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse(), Ok(url));
        }
    }

    #[test]
    fn what_is_none_is_refused_in_words() {
        for (bad, says) in [
            ("", "http://host"),
            ("studio:8765", "http://host"),
            ("ftp://studio", "http://host"),
            ("http://", "http://host"),
            ("http://a/b", "leave out"),
            ("http://me:pw@a", "leave out"),
            ("http://a?x", "leave out"),
            ("http://a:0", "write host"),
            ("http://a\nb", "write host"),
            ("http://169.254.169.254", "metadata"),
            ("http://[fe80::1]", "link-local"),
            ("http://2130706433", "write host"),
        ] {
            let said = bad.parse::<PeerUrl>().unwrap_err().to_string();
            assert!(said.contains(says), "{bad:?}: {said}");
        }
    }
}
