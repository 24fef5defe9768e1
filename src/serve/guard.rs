//! The outermost layer: `Host` of every request, and the headers and the shape of every answer.
//!
//! A page on the web can give us a name of its own (DNS rebinding), but it can't choose `Host`, which must be ours.
//! A proxy on this machine can: whoever it speaks for is nowhere near, whatever `Host` and address say.
//! Who asks, and from which page, is the matter of `auth`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::Peer;
use super::error::in_envelope;
use super::{ApiError, App};

/// The values of `Host` that are this daemon.
#[derive(Debug, Clone)]
pub struct Hosts {
    own: Vec<String>,
    further: Vec<String>,
}

impl Hosts {
    /// Loopback on `port`, and what the user configured (`host`, or `host:port`).
    pub fn new(port: u16, configured: &[String]) -> Self {
        let names = ["127.0.0.1", "localhost", "[::1]"];
        let mut own: Vec<String> = names.iter().map(|name| format!("{name}:{port}")).collect();
        if port == 80 {
            own.extend(names.map(str::to_owned));
        }
        let further = configured
            .iter()
            .map(|name| name.trim().to_ascii_lowercase())
            .flat_map(|name| [format!("{name}:{port}"), name])
            .collect();
        Self { own, further }
    }

    fn is_own(&self, host: &str) -> bool {
        self.own.iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    fn is_further(&self, host: &str) -> bool {
        self.further.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Whether a request by this name is answered, whichever address of ours it came to.
    pub(super) fn answers_to(&self, host: &str) -> bool {
        self.is_own(host) || self.is_further(host)
    }

    fn allows(&self, host: &str, peer: &Peer) -> bool {
        self.answers_to(host) || is_address(host, peer)
    }

    /// Whether the request came by a name that others may use as well: a proxy's, or an address that is not
    /// loopback. Then nothing is open.
    pub(super) fn is_exposed(&self, host: &str, peer: &Peer) -> bool {
        !matches!(peer, Peer::Socket) && !self.is_own(host)
    }

    /// Whether a page of `origin` is our own page, asked for as `host`. A configured name may stand for a proxy
    /// that speaks TLS.
    pub(super) fn is_origin(&self, origin: &str, host: &str) -> bool {
        let of =
            |scheme: &str| origin.strip_prefix(scheme).is_some_and(|name| name.eq_ignore_ascii_case(host));
        of("http://") || (self.is_further(host) && of("https://"))
    }
}

/// Whether `Host` is the very address that was connected to. No page can have it as its name.
fn is_address(host: &str, peer: &Peer) -> bool {
    matches!(peer, Peer::Tcp { local, .. } if !local.ip().is_unspecified()
        && (host == local.to_string() || host == SocketAddr::new(local.ip().to_canonical(), local.port()).to_string()))
}

/// By what a proxy says that it speaks for somebody else. nginx and Apache add some only where they are told to, and any
/// one of them counts: who connects to loopback by itself has no reason to send it.
const FORWARDED: [&str; 7] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
];

/// Whether a proxy brings the request.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}

/// `Host`, when there is exactly one.
pub(super) fn host_of(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

/// The outermost layer: refuses what is not for us and marks every answer.
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    guarded(&app.hosts, request, next).await
}

/// The same where there is no daemon.
pub async fn guard_hosts(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    guarded(&hosts, request, next).await
}

async fn guarded(hosts: &Hosts, request: Request, next: Next) -> Response {
    let asked =
        tracing::enabled!(tracing::Level::DEBUG).then(|| format!("{} {}", request.method(), request.uri()));
    let peer = request.extensions().get::<Peer>().copied();
    let checked = check_host(hosts, peer, request.uri(), request.headers());
    let is_v1 = request.uri().path().starts_with("/v1/");
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    if !is_json(&response) && (response.status().is_client_error() || response.status().is_server_error()) {
        response = in_words(response.status()).into_response();
    }
    if is_v1 {
        response = in_envelope(response);
    }
    mark(response.headers_mut());
    if let Some(asked) = asked {
        let asked = crate::util::visible_line(&asked);
        tracing::debug!(%asked, status = response.status().as_u16(), "answered");
    }
    response
}

fn is_json(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
}

/// A refusal of the framework's own, in our shape.
fn in_words(status: StatusCode) -> ApiError {
    let reason = status.canonical_reason().unwrap_or("refused").to_lowercase();
    ApiError::new(status, "bad_request", format!("the request can't be read: {reason}"))
}

fn check_host(hosts: &Hosts, peer: Option<Peer>, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let peer = peer.ok_or_else(|| ApiError::internal("asking who asks", &"there is no other end"))?;
    if peer == Peer::Socket {
        // No page reaches the socket, whatever it calls us.
        return Ok(());
    }
    let target = uri.authority().is_none_or(|authority| hosts.allows(authority.as_str(), &peer));
    if target && host_of(headers).is_some_and(|host| hosts.allows(host, &peer)) {
        return Ok(());
    }
    let message = "this is not the host you asked for; use http://localhost with the daemon's port, \
        or add the name to `serve.hosts`";
    Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", message))
}

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

fn mark(headers: &mut HeaderMap) {
    let fixed = [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pairs: &[(&str, &str)]) -> u16 {
        let peer =
            Peer::Tcp { remote: "127.0.0.1:5".parse().unwrap(), local: "100.64.0.9:8765".parse().unwrap() };
        verdict_of(peer, pairs)
    }

    fn verdict_of(peer: Peer, pairs: &[(&str, &str)]) -> u16 {
        let hosts = Hosts::new(8765, &["box.example".to_owned(), "other.example:1".to_owned()]);
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        match check_host(&hosts, Some(peer), &"/health".parse().unwrap(), &headers) {
            Ok(()) => 200,
            Err(error) => error.into_response().status().as_u16(),
        }
    }

    #[test]
    fn only_our_own_names_are_hosts() {
        for good in ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765", "box.example"] {
            assert_eq!(verdict(&[("host", good)]), 200, "{good}");
        }
        assert_eq!(verdict(&[("host", "box.example:8765")]), 200);
        assert_eq!(verdict(&[("host", "other.example:1")]), 200);
        for bad in ["evil.example", "127.0.0.1", "localhost:80", "0.0.0.0:8765", "localhost:8765.evil", ""] {
            assert_eq!(verdict(&[("host", bad)]), 421, "{bad}");
        }
        assert_eq!(verdict(&[]), 421);
        assert_eq!(verdict(&[("host", "localhost:8765"), ("host", "localhost:8765")]), 421);
    }

    #[test]
    fn a_proxy_shows_by_any_of_its_headers() {
        let is = |name: &str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            is_forwarded(&headers)
        };
        for name in
            ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"]
        {
            assert!(is(name, "127.0.0.1") && is(name, ""), "{name}");
        }
        assert!(!is("Darkmux-Via", "a") && !is("User-Agent", "x") && !is_forwarded(&HeaderMap::new()));
    }

    #[test]
    fn an_address_of_ours_is_a_host_for_who_connected_to_it() {
        assert_eq!(verdict(&[("host", "100.64.0.9:8765")]), 200);
        for bad in ["100.64.0.8:8765", "100.64.0.9", "100.64.0.9:80"] {
            assert_eq!(verdict(&[("host", bad)]), 421, "{bad}");
        }
        let mapped = Peer::Tcp {
            remote: "[::1]:5".parse().unwrap(),
            local: "[::ffff:10.0.0.1]:8765".parse().unwrap(),
        };
        assert_eq!(verdict_of(mapped, &[("host", "10.0.0.1:8765")]), 200);
        let hosts = Hosts::new(8765, &["box.example".to_owned()]);
        assert!(hosts.is_exposed("10.0.0.1:8765", &mapped) && hosts.is_exposed("box.example", &mapped));
        assert!(!hosts.is_exposed("localhost:8765", &mapped) && !hosts.is_exposed("any", &Peer::Socket));
        assert_eq!(verdict_of(Peer::Socket, &[("host", "any")]), 200);
    }
}
