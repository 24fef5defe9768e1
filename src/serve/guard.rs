//! Who may ask: `Host`, method and `Origin` of every request, and the headers of every answer.
//!
//! A page on the web can make the user's browser send requests here (DNS rebinding, forms, sandboxed frames).
//! It can choose neither `Host` nor `Origin`, so both must be ours.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

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

    fn allows(&self, host: &str) -> bool {
        self.is_own(host) || self.is_further(host)
    }

    /// Whether a page of `origin` is our own page, asked for as `host`. A configured name may stand for a proxy
    /// that speaks TLS.
    fn is_origin(&self, origin: &str, host: &str) -> bool {
        let of =
            |scheme: &str| origin.strip_prefix(scheme).is_some_and(|name| name.eq_ignore_ascii_case(host));
        of("http://") || (self.is_further(host) && of("https://"))
    }
}

/// The outermost layer: refuses what is not for us and marks every answer.
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let asked =
        tracing::enabled!(tracing::Level::DEBUG).then(|| format!("{} {}", request.method(), request.uri()));
    let checked = check(&app.hosts, request.method(), request.uri(), request.headers());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    if !is_json(&response) && (response.status().is_client_error() || response.status().is_server_error()) {
        response = in_words(response.status()).into_response();
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

fn check(hosts: &Hosts, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let host = check_host(hosts, uri, headers)?;
    if method != Method::GET && method != Method::HEAD {
        let message = "this daemon answers GET and HEAD only";
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message));
    }
    check_origin(hosts, host, headers)
}

fn check_host<'a>(hosts: &Hosts, uri: &Uri, headers: &'a HeaderMap) -> Result<&'a str, ApiError> {
    let mut values = headers.get_all(header::HOST).iter();
    let host = match (values.next(), values.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let target = uri.authority().is_none_or(|authority| hosts.allows(authority.as_str()));
    host.filter(|host| target && hosts.allows(host)).ok_or_else(|| {
        let message = "this is not the host you asked for; use http://localhost with the daemon's port, \
            or add the name to `serve.hosts`";
        ApiError::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", message)
    })
}

fn check_origin(hosts: &Hosts, host: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = |message: &str| Err(ApiError::new(StatusCode::FORBIDDEN, "foreign_origin", message));
    for origin in headers.get_all(header::ORIGIN) {
        if !origin.to_str().is_ok_and(|origin| hosts.is_origin(origin, host)) {
            return refused("only the daemon's own pages may ask; other origins are refused");
        }
    }
    let fetch = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let foreign = fetch("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    // Following a link to us is fine; being embedded or fetched by another page is not.
    let link = fetch("sec-fetch-mode") == Some("navigate") && fetch("sec-fetch-dest") == Some("document");
    if foreign && !link {
        return refused("another page may link here, but not embed or fetch it");
    }
    Ok(())
}

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'";

fn mark(headers: &mut HeaderMap) {
    let fixed = [
        ("content-security-policy", CSP),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pairs: &[(&str, &str)]) -> u16 {
        let hosts = Hosts::new(8765, &["box.example".to_owned(), "other.example:1".to_owned()]);
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        match check(&hosts, &Method::GET, &"/health".parse().unwrap(), &headers) {
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
    fn only_our_own_pages_may_ask() {
        let host = ("host", "localhost:8765");
        assert_eq!(verdict(&[host, ("origin", "http://localhost:8765")]), 200);
        for bad in ["null", "https://localhost:8765", "http://127.0.0.1:8765", "http://evil.example", ""] {
            assert_eq!(verdict(&[host, ("origin", bad)]), 403, "{bad}");
        }
        assert_eq!(verdict(&[("host", "box.example"), ("origin", "https://box.example")]), 200);
        for (site, expected) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
        {
            assert_eq!(verdict(&[host, ("sec-fetch-site", site)]), expected, "{site}");
        }
        let link = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(verdict(&[&link[..], &[("sec-fetch-dest", "document")]].concat()), 200);
        assert_eq!(verdict(&[&link[..], &[("sec-fetch-dest", "iframe")]].concat()), 403);
    }
}
