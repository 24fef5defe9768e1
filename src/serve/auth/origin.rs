//! Which page asks: a page on the web can make the user's browser send requests here, and with them the cookie.
//! It can choose neither `Origin` nor `Sec-Fetch-Site`.
//!
//! Who shows a token, or comes over the unix socket, is no browser that was tricked, and is not asked. Who is known by
//! a device of the tailnet may be one: any page that the device's user opens can send requests from there. Every browser
//! says `Origin` with what can change something, so without it no page has sent it.

use axum::http::{HeaderMap, Method, header};

use super::Caller;
use super::caller::Via;
use crate::serve::{ApiError, Hosts};

/// Refuses what another page sends.
pub fn check(
    hosts: &Hosts,
    caller: &Caller,
    method: &Method,
    host: &str,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    if matches!(caller.via(), Via::Socket | Via::Bearer) {
        return Ok(());
    }
    let refused = |message: &str| Err(ApiError::forbidden("foreign_origin", message));
    let mut origins = headers.get_all(header::ORIGIN).iter().peekable();
    let has_origin = origins.peek().is_some();
    if !origins.all(|origin| origin.to_str().is_ok_and(|origin| hosts.is_origin(origin, host))) {
        return refused("only the daemon's own pages may ask; other origins are refused");
    }
    let fetch = |name| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let site = fetch("sec-fetch-site");
    if changes(method, headers) {
        // A browser says at least one of the two, and what is no browser has a token, or is known by its device.
        return match site {
            Some("same-origin") => Ok(()),
            None if has_origin || caller.via() == Via::Tailnet => Ok(()),
            _ => refused("only the daemon's own pages may do this; programs show a token"),
        };
    }
    let is_foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    // Following a link to us is fine; being embedded or fetched by another page is not.
    let link = fetch("sec-fetch-mode") == Some("navigate") && fetch("sec-fetch-dest") == Some("document");
    if is_foreign && !link {
        return refused("another page may link here, but not embed or fetch it");
    }
    Ok(())
}

/// Whether a request can do more than read: an unsafe method, or an upgrade to a connection that can.
fn changes(method: &Method, headers: &HeaderMap) -> bool {
    !matches!(*method, Method::GET | Method::HEAD) || headers.contains_key(header::UPGRADE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;
    use axum::response::IntoResponse;

    fn verdict(method: &Method, pairs: &[(&str, &str)]) -> u16 {
        let hosts = Hosts::new(8765, &["box.example".to_owned()]);
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let host = headers.get("host").map_or("localhost:8765", |host| host.to_str().unwrap()).to_owned();
        match check(&hosts, &Caller::nobody(), method, &host, &headers) {
            Ok(()) => 200,
            Err(error) => error.into_response().status().as_u16(),
        }
    }

    #[test]
    fn only_our_own_pages_may_read() {
        let get = |pairs: &[(&str, &str)]| verdict(&Method::GET, pairs);
        assert_eq!(get(&[("origin", "http://localhost:8765")]), 200);
        for bad in ["null", "https://localhost:8765", "http://127.0.0.1:8765", "http://evil.example", ""] {
            assert_eq!(get(&[("origin", bad)]), 403, "{bad}");
        }
        assert_eq!(get(&[("host", "box.example"), ("origin", "https://box.example")]), 200);
        for (site, expected) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
        {
            assert_eq!(get(&[("sec-fetch-site", site)]), expected, "{site}");
        }
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(get(&[&link[..], &[("sec-fetch-dest", "document")]].concat()), 200);
        assert_eq!(get(&[&link[..], &[("sec-fetch-dest", "iframe")]].concat()), 403);
    }

    #[test]
    fn to_change_something_a_page_must_say_that_it_is_ours() {
        let own = ("origin", "http://localhost:8765");
        let cases: [(&[(&str, &str)], u16); 8] = [
            (&[], 403),
            (&[own], 200),
            (&[("sec-fetch-site", "same-origin")], 200),
            (&[own, ("sec-fetch-site", "same-origin")], 200),
            (&[own, ("sec-fetch-site", "cross-site")], 403),
            (&[("sec-fetch-site", "none")], 403),
            (&[("origin", "null"), ("sec-fetch-site", "same-origin")], 403),
            (&[own, ("origin", "http://evil.example")], 403),
        ];
        for (pairs, expected) in cases {
            assert_eq!(verdict(&Method::POST, pairs), expected, "{pairs:?}");
            let upgrade = [pairs, &[("upgrade", "websocket")]].concat();
            assert_eq!(verdict(&Method::GET, &upgrade), expected, "{upgrade:?}");
        }
    }
}
