//! The code of an invitation: 256 random bits and where to take them to.

use std::fmt;
use std::str::FromStr;

use super::seal::Psk;
use crate::fleet::{AddressError, PeerAddress};
use crate::util::Secret;

/// Digits of the secret part.
const DIGITS: usize = 64;

/// What stands before the secret in the fragment of the URL.
const FRAGMENT: &str = "/#join=";

/// What URLs begin with.
const SCHEMES: [&str; 2] = ["http://", "https://"];

/// An invitation: good once, at one daemon. Shown by [`InviteCode::text`] and [`InviteCode::url`] alone.
#[derive(Debug, Clone)]
pub struct InviteCode {
    secret: Secret,
    /// Where the daemon that made it listens.
    pub address: PeerAddress,
}

/// Why a text is no invitation. Never quotes it.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// It has another shape.
    #[error("this is no invitation: copy the whole code or URL that `darkmux fleet invite` printed")]
    Shape,
    /// It names no machine.
    #[error("this code names no machine; say where with --address HOST:PORT")]
    NoAddress,
    /// The address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The system gave no random bits.
    #[error("the system gave no random bits: {0}")]
    Random(#[from] std::io::Error),
}

impl InviteCode {
    /// A new one for the daemon at this address.
    pub fn generate(address: PeerAddress) -> Result<Self, CodeError> {
        Ok(Self { secret: Secret::generate()?, address })
    }

    /// What somebody typed or pasted: the code, its URL, or the secret part alone where `address` says the rest.
    pub fn parse(text: &str, address: Option<&PeerAddress>) -> Result<Self, CodeError> {
        let text = text.trim();
        let (secret, named) = if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            let (named, secret) = text.split_once(FRAGMENT).ok_or(CodeError::Shape)?;
            (secret, Some(named.strip_prefix(SCHEMES[0]).unwrap_or(named)))
        } else {
            match text.split_once('@') {
                Some((secret, named)) => (secret, Some(named)),
                None => (text, None),
            }
        };
        if secret.len() != DIGITS || !secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CodeError::Shape);
        }
        let address = match (address, named) {
            (Some(address), _) => address.clone(),
            (None, Some(named)) => PeerAddress::from_str(named)?,
            (None, None) => return Err(CodeError::NoAddress),
        };
        Ok(Self { secret: Secret::new(secret.to_ascii_lowercase()), address })
    }

    /// `<64 digits>@<host>:<port>`, or `@https://<host>`, for the one who may join.
    pub fn text(&self) -> String {
        format!("{}@{}", self.secret.expose(), self.address)
    }

    /// The same as a URL. The secret is in the fragment, which no browser sends.
    pub fn url(&self) -> String {
        format!("{}{FRAGMENT}{}", self.address.origin(), self.secret.expose())
    }

    /// What both sides make of it; the daemon keeps only this.
    pub fn psk(&self) -> Psk {
        Psk::of(&self.secret)
    }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "***@{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_its_url_and_its_secret_are_one_invitation() {
        let code = InviteCode::generate("studio:9".parse().unwrap()).unwrap();
        let secret = code.secret.expose().to_owned();
        let elsewhere = "10.0.0.1:7".parse().unwrap();
        for (text, address) in [
            (code.text(), None),
            (format!(" {}\n", code.url()), None),
            (secret.to_uppercase(), Some(&code.address)),
        ] {
            let read = InviteCode::parse(&text, address).unwrap();
            assert_eq!((read.text(), read.psk().id()), (code.text(), code.psk().id()));
        }
        assert_eq!(InviteCode::parse(&code.text(), Some(&elsewhere)).unwrap().address, elsewhere);
        assert!(!format!("{code} {code:?}").contains(&secret));
        assert!(code.url().starts_with("http://studio:9/#join="));
        let proxied = InviteCode::generate("https://studio.ts.net".parse().unwrap()).unwrap();
        assert!(proxied.url().starts_with("https://studio.ts.net/#join="));
        for text in [proxied.text(), proxied.url()] {
            let read = InviteCode::parse(&text, None).unwrap();
            assert_eq!((read.text(), read.address.is_tls()), (proxied.text(), true));
        }
    }

    #[test]
    fn what_is_none_is_refused_and_not_quoted() {
        let secret = "ab".repeat(32);
        for bad in [
            "",
            "studio",
            &secret,
            &secret[1..],
            &format!("{secret}0@studio"),
            &format!("{secret}@"),
            &format!("{secret}@169.254.169.254"),
            &format!("http://studio/?join={secret}"),
            &format!("https://studio/?join={secret}"),
            &format!("ftp://studio/#join={secret}"),
            &"x".repeat(10_000),
        ] {
            let error = InviteCode::parse(bad, None).unwrap_err().to_string();
            assert!(!error.contains(&secret[1..]) && error.len() < 300, "{error}");
        }
    }
}
