//! Tokens, cookies, one-time codes, the daemon's socket: how they are given, what they are worth, and their end.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::http_raw::{Events, ask_socket, send};
use crate::support::{Daemon, Door, Home, cookie, describe, signal, wait_for};

#[test]
fn a_code_signs_in_once_and_a_cookie_says_what_it_may() {
    let door = Door::new();
    let own = door.own();
    let code = door.code("{}");
    let first = door.post("/auth/code", &[&own], &json!({ "code": code }));
    let second = door.post("/auth/code", &[&own], &json!({ "code": code }));
    assert_eq!(second.status, 401, "{second:?}");
    assert_eq!(door.me(&[&cookie(&first)]), json!({ "scope": "act", "via": "cookie" }));
    let watching = door.post("/auth/code", &[&own], &json!({ "code": door.code("{\"read_only\":true}") }));
    assert_eq!(door.me(&[&cookie(&watching)]), json!({ "scope": "watch", "via": "cookie" }));
    assert_eq!(door.me(&[]), json!({ "scope": "none", "via": "nothing" }));
    let bearer = format!("Authorization: Bearer {}", door.read_only);
    assert_eq!(door.me(&[&bearer]), json!({ "scope": "watch", "via": "bearer" }));
    let over = ask_socket(&door.socket(), "GET", "/auth/me", &["Host: x"], "");
    assert_eq!(over.json(), json!({ "scope": "act", "via": "socket" }));
    let out = door.post("/auth/logout", &[&own, &cookie(&first)], &json!({}));
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"), "{out:?}");
}

#[test]
fn a_new_token_ends_cookies_and_open_streams_at_once() {
    let door = Door::new();
    let signed = door.sign_in(&door.token);
    let watching = door.sign_in(&door.read_only);
    let path = "/flow/2026-11-22/stream";
    let port = door.daemon.port;
    let mut of_cookie = Events::open(port, path, &[&signed]);
    let mut of_watcher = Events::open(port, path, &[&watching]);
    let mut of_nobody = Events::open(port, path, &[]);
    door.home.ok(["auth", "rotate"]);
    wait_for("the stream of the old token to end", || (!of_cookie.fill()).then_some(()));
    assert!(of_nobody.fill() && of_watcher.fill(), "others go on");
    assert_eq!(door.me(&[&signed])["scope"], "none");
    let old = format!("Authorization: Bearer {}", door.token);
    assert_eq!(door.ask("GET", "/auth/me", &[&old], "").status, 401);
    let new = door.home.ok(["auth", "show", "--print"]);
    assert_eq!(door.me(&[&format!("Authorization: Bearer {}", new.trim())])["scope"], "act");

    assert_eq!(door.me(&[&watching])["scope"], "watch");
    door.home.ok(["auth", "revoke", "watcher"]);
    wait_for("the stream of the revoked token to end", || (!of_watcher.fill()).then_some(()));
    assert_eq!(door.me(&[&watching])["scope"], "none");
    assert!(of_nobody.fill());
}

#[test]
fn a_file_that_was_changed_by_hand_counts_without_a_restart() {
    let door = Door::new();
    let file = door.home.darkmux().join("auth-token");
    let signed = door.sign_in(&door.token);
    let mut stream = Events::open(door.daemon.port, "/flow/2026-11-22/stream", &[&signed]);
    // Open to others: it opens nothing any more, and nobody has to ask for something to notice.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    wait_for("the stream to end", || (!stream.fill()).then_some(()));
    assert_eq!(door.me(&[&signed])["scope"], "none");
    let refused = door.home.run(["auth", "show", "--print"]);
    assert_eq!(refused.status.code(), Some(1), "{}", describe(&refused));
    assert!(!describe(&refused).contains(&door.token));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(door.me(&[&signed])["scope"], "act");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(door.me(&[&signed])["scope"], "none");
}

#[test]
fn tokens_of_the_environment_and_of_the_fleet_count_too() {
    let given = "0123456789abcdef".repeat(4);
    let door = Door::of(Home::new().with("DARKMUX_SERVE_TOKEN", &given));
    let fleet = "fedcba98".repeat(8);
    let file = door.home.darkmux().join("fleet-token");
    std::fs::write(&file, &fleet).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    for token in [&given, &fleet, &door.token] {
        assert_eq!(door.me(&[&format!("Authorization: Bearer {token}")])["scope"], "act");
    }
    let weak = Home::new().with("DARKMUX_SERVE_TOKEN", "secret");
    let refused = weak.run(["serve", "--port", "0"]);
    assert_eq!(refused.status.code(), Some(2), "{}", describe(&refused));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("DARKMUX_SERVE_TOKEN") && said.contains("64") && !said.contains("secret"),
        "{said}"
    );
}

#[test]
fn who_guesses_is_told_to_wait_and_the_others_are_not() {
    let door = Door::new();
    let (own, signed) = (door.own(), door.sign_in(&door.token));
    let guess = |n: u32| door.ask("GET", "/health", &[&format!("Authorization: Bearer {n:064x}")], "");
    // A program with an old token asks for ever.
    for _ in 0..15 {
        assert_eq!(guess(1).status, 401);
    }
    for n in 2..=10 {
        assert_eq!(guess(n).status, 401, "{n}");
    }
    let refused = guess(11);
    assert_eq!(refused.status, 429, "{refused:?}");
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&seconds), "{seconds}");
    assert_eq!(door.post("/auth/login", &[&own], &json!({ "token": "x" })).status, 429);
    assert_eq!(door.post("/auth/code", &[&own], &json!({ "code": "x" })).status, 429);
    // Who has the right one is nobody who guesses, also behind the same proxy.
    assert_eq!(door.me(&[&format!("Authorization: Bearer {}", door.token)])["scope"], "act");
    assert_eq!(door.me(&[&door.sign_in(&door.token)])["scope"], "act");
    let code = door.code("{}");
    assert_eq!(door.post("/auth/code", &[&own], &json!({ "code": code })).status, 200);
    assert_eq!(guess(12).status, 429, "a right one forgives none");
    // A browser that is signed in, and whoever needs no token, go on.
    assert_eq!(door.me(&[&signed])["scope"], "act");
    assert_eq!(door.ask("GET", "/flow-days", &[], "").status, 200);
    assert_eq!(ask_socket(&door.socket(), "GET", "/health", &["Host: x"], "").status, 200);
    let log = std::fs::read_to_string(door.home.path().join("serve.log")).unwrap();
    assert_eq!(log.matches("wrong tokens").count(), 1, "{log}");
}

#[test]
fn bodies_are_bounded() {
    let door = Door::new();
    let bearer = format!("Authorization: Bearer {}", door.token);
    let large = door.post("/auth/codes", &[&bearer], &json!({ "x": "x".repeat(5000) }));
    assert_eq!(large.status, 413, "{large:?}");
    let kind = "Content-Type: application/json";
    let announced = ["Content-Length: 99999999999", kind, &bearer];
    assert_eq!(door.ask("POST", "/auth/codes", &announced, "").status, 413);
    let chunked = ["Transfer-Encoding: chunked", kind, &bearer];
    let host = door.host();
    let mut request = format!("POST /auth/codes HTTP/1.1\r\nConnection: close\r\n{host}\r\n");
    for line in chunked {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request.push_str("\r\n2000\r\n");
    request.push_str(&"x".repeat(0x2000));
    let answer = send(door.daemon.port, request.as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn the_socket_is_ours_alone_goes_with_the_daemon_and_may_be_left_over() {
    let mut door = Door::new();
    let socket = door.socket();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    door.daemon.process.kill();
    assert!(socket.exists(), "killed");
    let mut daemon = Daemon::start(&door.home);
    assert_eq!(ask_socket(&socket, "GET", "/health", &["Host: x"], "").status, 200);
    signal(daemon.process.pid(), "TERM");
    daemon.process.0.wait().unwrap();
    assert!(!socket.exists(), "stopped");
}

#[test]
fn a_token_that_others_may_read_keeps_the_daemon_from_starting() {
    let home = Home::new();
    drop(Daemon::start(&home));
    let file = home.darkmux().join("auth-token");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let token = std::fs::read_to_string(&file).unwrap();
    let refused = home.run(["serve", "--port", "0"]);
    assert_eq!(refused.status.code(), Some(1), "{}", describe(&refused));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("auth rotate"), "{}", describe(&refused));
    home.ok(["auth", "rotate"]);
    drop(Daemon::start(&home));
    assert_ne!(std::fs::read_to_string(&file).unwrap(), token);
}

#[test]
fn open_starts_the_browser_with_a_code_or_prints_it() {
    let door = Door::new();
    let own = door.own();
    let of = |url: &str| {
        let (page, code) = url.trim().split_once("/#code=").expect("a code");
        assert_eq!(page, format!("http://localhost:{}", door.daemon.port));
        cookie(&door.post("/auth/code", &[&own], &json!({ "code": code })))
    };
    assert_eq!(door.me(&[&of(&door.home.ok(["open", "--print"]))])["scope"], "act");
    assert_eq!(door.me(&[&of(&door.home.ok(["open", "--print", "--read-only"]))])["scope"], "watch");
    // No desktop: printed.
    of(&door.home.ok(["open"]));

    let browser = door.home.path().join("browser");
    std::fs::write(&browser, "#!/bin/sh\nprintf '%s' \"$2\" > \"$1\"\n").unwrap();
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    let opened = door.home.path().join("opened");
    let with = |browser: String| {
        let mut command = door.home.cmd(["open"]);
        command.env("BROWSER", browser).output().unwrap()
    };
    let output = with(format!("{} {}", browser.display(), opened.display()));
    assert!(output.status.success() && output.stdout.is_empty(), "{}", describe(&output));
    assert!(!describe(&output).contains("code="), "{}", describe(&output));
    // The code is in a file for us alone, not in anybody's arguments.
    let asked = std::fs::read_to_string(&opened).unwrap();
    let ticket = std::path::PathBuf::from(asked.strip_prefix("file://").expect("a file"));
    assert_eq!(std::fs::metadata(&ticket).unwrap().permissions().mode() & 0o777, 0o600);
    let page = std::fs::read_to_string(&ticket).unwrap();
    let url = page.split_once("0;url=").unwrap().1.split_once('"').unwrap().0;
    assert_eq!(door.me(&[&of(url)])["scope"], "act");
    let output = with("false".to_owned());
    of(&String::from_utf8(output.stdout).unwrap());

    let alone = Home::new().run(["open"]);
    assert_eq!(alone.status.code(), Some(3), "{}", describe(&alone));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("darkmux serve"), "{}", describe(&alone));
}

#[test]
fn a_sessions_page_is_opened_by_what_names_the_session() {
    let door = Door::new();
    let id = door.home.ok(["session", "new", "-d", "--name", "build it", "--", "cat"]).trim().to_owned();
    let page = format!("http://localhost:{}/session/{id}#code=", door.daemon.port);
    for (text, scope) in [(id.as_str(), "act"), ("build it", "act"), (&id[..id.len() - 2], "watch")] {
        let mut asked = vec!["session", "open", "--print", text];
        asked.extend((scope == "watch").then_some("--read-only"));
        let output = door.home.cmd(["session"]).args(&asked[1..]).output().unwrap();
        let url = String::from_utf8(output.stdout.clone()).unwrap();
        let code = url.trim().strip_prefix(&page).unwrap_or_else(|| panic!("{}", describe(&output)));
        let signed = cookie(&door.post("/auth/code", &[&door.own()], &json!({ "code": code })));
        assert_eq!(door.me(&[&signed])["scope"], scope);
    }
    let output = door.home.cmd(["session", "open", &id]).env("BROWSER", "true").output().unwrap();
    assert!(output.stdout.is_empty() && describe(&output).contains("opened http"), "{}", describe(&output));
    let none = door.home.run(["session", "open", "nothing"]);
    assert_eq!(none.status.code(), Some(1), "{}", describe(&none));
    drop(door.daemon);
    let alone = door.home.run(["session", "open", &id]);
    assert_eq!(alone.status.code(), Some(3), "{}", describe(&alone));
}

#[test]
fn the_token_is_printed_when_asked_for_and_nowhere_else() {
    let door = Door::new();
    let (home, token) = (&door.home, door.token.as_str());
    assert_eq!(home.ok(["auth", "show", "--print"]), format!("{token}\n"));
    let shown = home.json(["auth", "show", "--json"]);
    assert_eq!((&shown["exists"], &shown["read_only"][0]["name"]), (&json!(true), &json!("watcher")));
    let output = [
        describe(&home.run(["auth", "show"])),
        shown.to_string(),
        describe(&home.run(["auth", "ls"])),
        describe(&home.run(["doctor"])),
        describe(&home.run(["config", "list", "--origin"])),
        describe(&home.run(["auth", "rotate"])),
        std::fs::read_to_string(home.path().join("serve.log")).unwrap(),
    ];
    let next = home.ok(["auth", "show", "--print"]);
    for text in output {
        for secret in [token, &door.read_only, next.trim()] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert_eq!(home.run(["auth", "new", "--read-only", "watcher"]).status.code(), Some(1));
    assert_eq!(home.run(["auth", "new", "phone"]).status.code(), Some(2));
    assert_eq!(home.run(["auth", "revoke", "nobody"]).status.code(), Some(2));
    assert_eq!(home.ok(["auth", "ls", "--json"]).matches("created_at").count(), 1);
}
