//! Who may do what: every route and every kind of caller, tokens, cookies, codes, and their end.

use darkmux::serve::{Access, Route, routes};
use serde_json::json;

use crate::http_raw::{Answer, ask_socket, ask_with};
use crate::support::{Door, Home, forged};

/// What is read of one session or job, which is not there.
const OF_ONE: [&str; 6] = [
    "/v1/jobs/{id}/changes",
    "/v1/jobs/{id}/repository",
    "/v1/sessions/{id}",
    "/v1/sessions/{id}/result",
    "/v1/sessions/{id}/scrollback",
    "/ws/{id}",
];

/// What a route answers to somebody who may use it, with the body `{}` where its method has one. A route that is not
/// here fails the walk: who adds one says what it answers, and so looks at who may use it.
pub fn success(method: &str, path: &str) -> u16 {
    match (method, path) {
        (
            "GET",
            "/"
            | "/assets/{*path}"
            | "/favicon.ico"
            | "/fleet"
            | "/fleet/machines/live"
            | "/fleet/sessions/live"
            | "/flow"
            | "/flow/{date}"
            | "/flow/{date}/stream"
            | "/flow-days"
            | "/flow-status"
            | "/health"
            | "/inbox"
            | "/job/{id}"
            | "/jobs"
            | "/jobs/{id}"
            | "/machine/specs"
            | "/machine/{id}"
            | "/missions"
            | "/play/{date}"
            | "/queue"
            | "/session/{id}"
            | "/sessions"
            | "/sprints"
            | "/auth/login"
            | "/auth/login.css"
            | "/auth/login.js"
            | "/auth/signin.js"
            | "/auth/me"
            | "/v1/capabilities"
            | "/v1/discovery"
            | "/v1/events"
            | "/v1/frontend-config"
            | "/v1/health"
            | "/v1/openapi.json"
            | "/v1/projects"
            | "/v1/sessions",
        )
        | (
            "POST",
            "/auth/codes" | "/auth/logout" | "/v1/launch" | "/v1/sessions/{id}/read",
        ) => 200,
        ("POST", "/auth/code" | "/auth/login" | "/v1/register" | "/v1/deregister") => 400,
        ("GET", path) if OF_ONE.contains(&path) => 404,
        (
            "POST",
            "/v1/sessions/{id}/attach"
            | "/v1/sessions/{id}/dismiss"
            | "/v1/sessions/{id}/kill"
            | "/v1/sessions/{id}/rename"
            | "/v1/sessions/{id}/restart"
            | "/v1/sessions/{id}/resume"
            | "/v1/sessions/{id}/wait",
        ) => 404,
        // A machine without Redis has no queue.
        ("GET", "/v1/jobs/{id}/explain" | "/v1/jobs/{id}/output")
        | (
            "POST",
            "/v1/dead/{entry}/drop"
            | "/v1/dead/{entry}/requeue"
            | "/v1/dispatch"
            | "/v1/jobs/{id}/cancel"
            | "/v1/jobs/{id}/retry"
            | "/v1/machines/{id}/drain"
            | "/v1/machines/{id}/undrain"
            | "/v1/queue/pause"
            | "/v1/queue/resume"
            // No token here is of a machine that joined, and nobody else reaches a daemon on loopback.
            | "/fleet/leave"
            | "/fleet/invites",
        ) => 409,
        // Bytes, and no JSON.
        ("POST", "/fleet/join" | "/v1/sessions/{id}/clipboard" | "/v1/sessions/{id}/input") => 415,
        _ => panic!(
            "tests/it/http_auth.rs says nothing of {method} {path}: who may use it, and what is answered?"
        ),
    }
}

/// A way to ask: the header lines, and what is expected for `{}` as JSON.
struct Way {
    name: &'static str,
    headers: Vec<String>,
    expected: fn(&Case) -> u16,
}

struct Case {
    access: Access,
    is_read: bool,
    success: u16,
}

impl Case {
    fn needs_token(&self) -> bool {
        matches!(self.access, Access::Watch | Access::Act)
    }
}

fn ways(door: &Door) -> Vec<Way> {
    let (host, own) = (door.host(), door.own());
    let bearer = format!("Authorization: Bearer {}", door.token);
    let read_only = format!("Authorization: bearer {}", door.read_only);
    let (signed, watching) = (door.sign_in(&door.token), door.sign_in(&door.read_only));
    let wrong = format!("Authorization: Bearer {}", "0".repeat(64));
    let (null, evil) = ("Origin: null", "Origin: http://evil.example");
    let (same, cross) = ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site");
    let way = |name, headers: &[&str], expected| Way {
        name,
        headers: headers.iter().map(|line| (*line).to_owned()).collect(),
        expected,
    };
    let as_nobody = |case: &Case| if case.needs_token() { 401 } else { case.success };
    // The gate asks who it is before it asks from which page.
    vec![
        way("nobody", &[&host], |case| match (case.needs_token(), case.is_read) {
            (true, _) => 401,
            (false, true) => case.success,
            (false, false) => 403,
        }),
        way(
            "nobody, our page",
            &[&host, &own, same],
            |case| if case.needs_token() { 401 } else { case.success },
        ),
        way("nobody, foreign page", &[&host, evil], |case| if case.needs_token() { 401 } else { 403 }),
        way("nobody, sandboxed page", &[&host, null], |case| if case.needs_token() { 401 } else { 403 }),
        way("nobody, embedded", &[&host, cross, "Sec-Fetch-Mode: no-cors"], |case| {
            if case.needs_token() { 401 } else { 403 }
        }),
        way("wrong token", &[&host, &wrong], |_| 401),
        way("no cookie", &[&host, &own, "Cookie: darkmux-1=act.1.x.y"], as_nobody),
        way("wrong cookie", &[&host, &own, &forged(&signed, "mac")], as_nobody),
        way("late cookie", &[&host, &own, &forged(&signed, "expires")], as_nobody),
        way("cookie that wants more", &[&host, &own, &forged(&watching, "scope")], as_nobody),
        way("two tokens", &[&host, &bearer, &wrong], |_| 401),
        way("token", &[&host, &bearer], |case| case.success),
        way("token, foreign page", &[&host, &bearer, evil, cross], |case| case.success),
        way("read-only token", &[&host, &read_only], |case| {
            if case.access == Access::Act { 403 } else { case.success }
        }),
        way("cookie, our page", &[&host, &signed, same], |case| case.success),
        way("cookie, our origin", &[&host, &signed, &own], |case| case.success),
        way("cookie, of no page", &[&host, &signed], |case| if case.is_read { case.success } else { 403 }),
        way("cookie, by hand", &[&host, &signed, "Sec-Fetch-Site: none"], |case| {
            if case.is_read { case.success } else { 403 }
        }),
        way("cookie, foreign page", &[&host, &signed, evil], |_| 403),
        way("cookie, sandboxed page", &[&host, &signed, null, same], |_| 403),
        way("cookie, cross-site", &[&host, &signed, &own, cross], |_| 403),
        way("cookie, same site", &[&host, &signed, "Sec-Fetch-Site: same-site"], |_| 403),
        way("cookie, upgrade of no page", &[&host, &signed, "Upgrade: websocket"], |_| 403),
        way("read-only cookie", &[&host, &watching, same], |case| {
            if case.access == Access::Act { 403 } else { case.success }
        }),
        way("foreign host", &["Host: evil.example", &bearer], |_| 421),
        way("no host", &[&bearer], |_| 421),
        way("two hosts", &[&host, &host, &bearer], |_| 421),
    ]
}

fn look(answer: &Answer, what: &str) {
    assert!(answer.header("content-security-policy").is_some(), "{what}: {answer:?}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{what}");
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{what}");
    assert!(answer.header("cache-control").is_some(), "{what}");
    assert!(!answer.head.to_lowercase().contains("access-control"), "{what}: {answer:?}");
    if answer.status >= 400 && !answer.body.is_empty() {
        assert!(answer.json()["error"]["code"].is_string(), "{what}: {answer:?}");
    }
}

/// The methods of a route to try, with the body of each. The body of a stream does not end by itself.
pub fn tries(route: &'static Route) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let of = |method: &&'static str| match *method {
        "GET" if ["/stream", "/events"].iter().any(|end| route.sample.ends_with(end)) => ("GET", "HEAD", ""),
        "GET" => ("GET", "GET", ""),
        other => (other, other, "{}"),
    };
    route.methods.iter().filter(|method| **method != "HEAD").map(of)
}

#[test]
fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let door = Door::new();
    let port = door.daemon.port;
    let ways = ways(&door);
    for route in routes() {
        for (method, sent, body) in tries(route) {
            let case =
                Case { access: route.access, is_read: method == "GET", success: success(method, route.path) };
            let kind = "Content-Type: application/json";
            for way in &ways {
                let mut headers: Vec<&str> = way.headers.iter().map(String::as_str).collect();
                headers.push(kind);
                let answer = ask_with(port, sent, route.sample, &headers, body);
                let what = format!("{method} {} by {}", route.path, way.name);
                assert_eq!(answer.status, (way.expected)(&case), "{what}: {answer:?}");
                look(&answer, &what);
            }
            let what = format!("{method} {}", route.path);
            let answer = ask_socket(&door.socket(), sent, route.sample, &["Host: any", kind], body);
            assert_eq!(answer.status, case.success, "{what} over the socket: {answer:?}");
            if method != "GET" {
                let bearer = format!("Authorization: Bearer {}", door.token);
                for wrong in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
                    let wrong = format!("Content-Type: {wrong}");
                    let answer = door.ask(sent, route.sample, &[&bearer, &wrong], body);
                    assert_eq!(answer.status, 415, "{what} as {wrong}: {answer:?}");
                }
                let answer = door.ask(sent, route.sample, &[&bearer], "");
                // Where JSON is the wrong kind, no kind is right: it is the session that is not there, or no message.
                let bare = match (case.success, route.path) {
                    (415, "/fleet/join") => 400,
                    (415, _) => 404,
                    (success, _) => success,
                };
                assert_eq!(answer.status, bare, "{what} without a body: {answer:?}");
            }
        }
        for method in ["OPTIONS", "DELETE", "TRACE", "PROPFIND"] {
            let answer = door.ask(method, route.sample, &["Origin: http://evil.example"], "");
            assert_eq!(answer.status, 405, "{method} {}: {answer:?}", route.path);
            assert!(answer.header("allow").is_some_and(|allow| !allow.contains(method)), "{answer:?}");
            look(&answer, route.path);
        }
    }
}

#[test]
fn who_comes_by_a_proxy_s_name_needs_a_token_for_everything_but_signing_in() {
    let door = Door::of(Home::new().with("DARKMUX_SERVE_HOSTS", "box.example"));
    let bearer = format!("Authorization: Bearer {}", door.token);
    let (host, own) = ("Host: box.example", "Origin: https://box.example");
    for route in routes() {
        for (method, sent, body) in tries(route) {
            let ask = |headers: &[&str]| {
                let headers = [headers, &["Content-Type: application/json"]].concat();
                ask_with(door.daemon.port, sent, route.sample, &headers, body)
            };
            let success = success(method, route.path);
            let (open, what) = (route.access == Access::Open, format!("{method} {}", route.path));
            assert_eq!(ask(&[host, own]).status, if open { success } else { 401 }, "{what}");
            assert_eq!(ask(&[host, own, &bearer]).status, success, "{what}");
        }
    }
    // The cookie of a page that came by TLS never travels without.
    let headers = [host, own, "Content-Type: application/json"];
    let body = json!({ "token": door.token }).to_string();
    let answer = ask_with(door.daemon.port, "POST", "/auth/login", &headers, &body);
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"), "{answer:?}");
    let nothing = ask_with(door.daemon.port, "GET", "/nothing", &[host], "");
    assert_eq!(nothing.status, 401, "{nothing:?}");
}

#[test]
fn who_comes_by_a_proxy_that_calls_itself_localhost_needs_a_token_too() {
    let door = Door::new();
    let (host, own) = (door.host(), door.own());
    let bearer = format!("Authorization: Bearer {}", door.token);
    let signed = door.sign_in(&door.token);
    let proxies = [
        "Forwarded: for=203.0.113.9;proto=https",
        "Via: 1.1 caddy",
        "X-Forwarded-For: 203.0.113.9",
        // Who sends it through the proxy can write anything there.
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "X-Forwarded-Proto: https",
    ];
    for route in routes() {
        for (method, sent, body) in tries(route) {
            let ask = |headers: &[&str]| {
                let headers = [&[host.as_str(), "Content-Type: application/json"], headers].concat();
                ask_with(door.daemon.port, sent, route.sample, &headers, body).status
            };
            let success = success(method, route.path);
            let what = format!("{method} {}", route.path);
            for proxy in proxies {
                let expected = if route.access == Access::Open { success } else { 401 };
                assert_eq!(ask(&[&own, proxy]), expected, "{what} with {proxy}");
                assert_eq!(ask(&[&bearer, proxy]), success, "{what} with {proxy} and a token");
            }
            assert_eq!(ask(&[&own, proxies[0], &signed]), success, "{what} with a cookie");
        }
    }
    assert_eq!(door.ask("GET", "/nothing", &[proxies[2]], "").status, 401);
    assert_eq!(door.ask("GET", "/flow-days", &[], "").status, 200, "without a proxy as before");
}

#[test]
fn with_a_token_for_everything_pages_lead_to_the_login() {
    let door = Door::of(Home::new().with("DARKMUX_SERVE_REQUIRE_TOKEN", "all"));
    let html = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
    let page = door.ask("GET", "/", &[html], "");
    assert_eq!((page.status, page.header("location")), (303, Some("/auth/login")), "{page:?}");
    // Who signed in comes to the page that was asked for.
    let page = door.ask("GET", "/session/sess-1@desk?view=raw&next=//other.example", &[html], "");
    let login = "/auth/login?next=%2Fsession%2Fsess-1@desk%3Fview%3Draw%26next%3D%2F%2Fother.example";
    assert_eq!((page.status, page.header("location")), (303, Some(login)), "{page:?}");
    for headers in [&["Accept: text/event-stream"][..], &["Accept: application/json"], &[]] {
        assert_eq!(door.ask("GET", "/flow-days", headers, "").status, 401, "{headers:?}");
    }
    // A token in an address is no token.
    let login = door.ask("GET", &format!("/auth/login?token={}", door.token), &[html], "");
    assert_eq!((login.status, login.header("set-cookie")), (200, None));
    for file in ["/auth/login.css", "/auth/login.js", "/auth/signin.js"] {
        assert_eq!(door.ask("GET", file, &[], "").status, 200, "{file}");
    }
    assert_eq!(door.ask("GET", "/health", &[], "").status, 200);
    assert_eq!(door.ask("GET", "/", &[&door.sign_in(&door.read_only), html], "").status, 200);
}
