//! Who comes from the tailnet, by Tailscale's word: in a network of its own, where this machine has an address of a
//! tailnet and others call from theirs.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use darkmux::serve::Access;
use darkmux::serve::routes;
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::http_auth::{success, tries};
use crate::http_raw::{Answer, ask_with, connect};
use crate::support::hub::write_host;
use crate::support::local::{ALICE, BOB, Engine, Tailscale, container, whois};
use crate::support::{Daemon, Home, PATIENCE, describe, wait_for};

/// This machine, its user's phone, somebody else's, a server that has tags, one that Tailscale does not know, one whose tag
/// is named, and one of another tailnet that calls a tag of its own so.
pub const OWN: &str = "100.64.0.1";
const PHONE: &str = "100.64.0.2";
const FOREIGN: &str = "100.64.0.3";
const SERVER: &str = "100.64.0.4";
const STRANGER: &str = "100.64.0.5";
const FRIEND: &str = "100.64.0.6";
const SHAREE: &str = "100.64.0.7";

/// Runs a test, which is ignored elsewhere, in a network of its own. Linux only.
pub fn in_a_network(test: &str) {
    let exe = std::env::current_exe().unwrap();
    let run = |program: &str, first: &[&str]| {
        let mut command = Command::new(program);
        command.args(first).arg(&exe).args(["--exact", test, "--ignored", "--nocapture"]);
        command.output().expect("a network needs `unshare -rn` to work, or `sudo -n`")
    };
    let probe = Command::new("unshare").args(["-rn", "true"]).status().expect("unshare runs");
    let output = if probe.success() {
        run("unshare", &["-rn"])
    } else {
        run("sudo", &["-n", "--preserve-env", "unshare", "-n"])
    };
    assert!(output.status.success(), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{}", describe(&output));
}

/// Gives this network loopback and all addresses.
pub fn make_network() {
    let ip = |args: &[&str]| {
        let output = Command::new("ip").args(args).output().expect("`ip` of iproute2 runs");
        assert!(output.status.success(), "ip {args:?}: {}", describe(&output));
    };
    ip(&["link", "set", "lo", "up"]);
    for address in [OWN, PHONE, FOREIGN, SERVER, STRANGER, FRIEND, SHAREE] {
        ip(&["addr", "add", &format!("{address}/32"), "dev", "lo"]);
    }
}

/// A connection of another machine with this one's address in the tailnet.
fn connection(from: &str, port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = |ip: &str, port: u16| SocketAddr::new(ip.parse().unwrap(), port);
    socket.bind(&address(from, 0).into()).unwrap();
    socket.connect(&address(OWN, port).into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Follows the events of sessions from another machine; whether that ends within some signs of life.
fn is_cut_off(from: &str, port: u16) -> bool {
    let mut stream = connection(from, port);
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: {OWN}:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let begun = std::time::Instant::now();
    let mut buffer = [0; 4096];
    while begun.elapsed() < std::time::Duration::from_secs(100) {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return true;
            }
            _ => {}
        }
    }
    false
}

/// Asks this machine's address in the tailnet from another one.
fn ask_from(from: &str, port: u16, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = connection(from, port);
    let host = format!("Host: {OWN}:{port}");
    let length = format!("Content-Length: {}", body.len());
    let mut lines = vec![host.as_str(), "Connection: close"];
    lines.extend((!body.is_empty()).then_some(length.as_str()));
    lines.extend_from_slice(headers);
    let text = format!("{method} {path} HTTP/1.1\r\n{}\r\n\r\n{body}", lines.join("\r\n"));
    let _ = stream.write_all(text.as_bytes());
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{text}: {error}"),
        _ => {}
    }
    Answer::parse(&bytes).unwrap_or_else(|| panic!("no answer to {text}"))
}

struct Box {
    home: Home,
    daemon: Daemon,
    tailscale: Tailscale,
}

fn start(host_toml: &str) -> Box {
    make_network();
    let home = Home::new();
    let tailscale = Tailscale::start(&home.path().join("tailscaled.sock"));
    tailscale.change(|tailnet| {
        tailnet.whois = vec![
            (OWN, whois("nSelf", "box", ALICE, &[])),
            (PHONE, whois("n2", "phone", ALICE, &[])),
            (FOREIGN, whois("n3", "foreign", BOB, &[])),
            (SERVER, whois("n4", "server", 0, &["tag:server"])),
            (FRIEND, whois("n6", "friend", 0, &["tag:friend"])),
            (SHAREE, whois("n7", "friend", 0, &["tag:friend"])),
        ];
        tailnet.whois[5].1["Node"]["Hostinfo"] = json!({ "OS": "linux", "ShareeNode": true });
    });
    std::fs::create_dir_all(home.darkmux()).unwrap();
    std::fs::write(home.darkmux().join("host.toml"), host_toml).unwrap();
    let daemon = Daemon::start(&home);
    Box { home, daemon, tailscale }
}

impl Box {
    fn ask(&self, from: &str, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        ask_from(from, self.daemon.port, method, path, headers, body)
    }

    fn wait_until_served(&self) {
        let address = SocketAddr::new(OWN.parse().unwrap(), self.daemon.port);
        wait_for("the tailnet to be served", || TcpStream::connect(address).ok());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn every_route_knows_people_by_the_tailnet_and_only_them() {
    in_a_network("discovery_door::every_route");
}

#[test]
#[ignore = "run by every_route_knows_people_by_the_tailnet_and_only_them, in a network of its own"]
fn every_route() {
    let it = start("[tailscale]\nenabled = true\nallow = [\"tag:friend\"]\n");
    it.wait_until_served();
    let kind = "Content-Type: application/json";
    for route in routes() {
        for (method, sent, body) in tries(route) {
            let what = format!("{method} {}", route.path);
            let success = success(method, route.path);
            let open = route.access == Access::Open;
            let status = |from: &str, headers: &[&str]| {
                let answer = it.ask(from, sent, route.sample, &[headers, &[kind]].concat(), body);
                assert!(answer.header("content-security-policy").is_some(), "{what}: {answer:?}");
                answer.status
            };
            // A code would count from elsewhere, too.
            let gives_codes = ["/auth/codes", "/fleet/invites"].contains(&route.path);
            let known = if gives_codes { 403 } else { success };
            assert_eq!((status(PHONE, &[]), status(FRIEND, &[])), (known, known), "{what} by this user");
            // Signing in is for pages: what is no page has nothing to sign in with.
            let own_page = format!("Origin: http://{OWN}:{}", it.daemon.port);
            assert_eq!(status(PHONE, &[&own_page]), known, "{what} by this user's page");
            for (name, page) in [("foreign", "Origin: http://evil.example"), ("sandboxed", "Origin: null")] {
                assert_eq!(status(PHONE, &[page]), 403, "{what} by a {name} page");
            }
            assert_eq!(status(PHONE, &["Sec-Fetch-Site: cross-site"]), 403, "{what} from another page");
            let page = &[own_page.as_str()];
            for unwelcome in [FOREIGN, SERVER, SHAREE] {
                assert_eq!(
                    status(unwelcome, page),
                    if open { success } else { 403 },
                    "{what} by {unwelcome}"
                );
            }
            for nobody in [STRANGER, OWN] {
                assert_eq!(status(nobody, page), if open { success } else { 401 }, "{what} by {nobody}");
            }
        }
    }
    let upgrade = ["Upgrade: websocket", "Connection: upgrade", "Origin: http://evil.example"];
    assert_eq!(it.ask(PHONE, "GET", "/ws/none", &upgrade, "").status, 403);
    assert_eq!(it.ask(PHONE, "GET", "/auth/me", &[], "").json(), json!({ "scope": "act", "via": "tailnet" }));
    // A token opens from everywhere.
    let token = std::fs::read_to_string(it.home.darkmux().join("auth-token")).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    assert_eq!(it.ask(FOREIGN, "GET", "/v1/health", &[&bearer], "").status, 200);
    assert_eq!(it.ask(FOREIGN, "GET", "/v1/health", &["Authorization: Bearer x"], "").status, 401);
    // Names that a proxy of Tailscale would add are anybody's to write.
    let said = ["Tailscale-User-Login: alice@example.com", "X-Forwarded-For: 100.64.0.2"];
    assert_eq!(it.ask(STRANGER, "GET", "/v1/health", &said, "").status, 401);
    let host = format!("Host: localhost:{}", it.daemon.port);
    let near = ask_with(it.daemon.port, "GET", "/v1/health", &[&[host.as_str()], &said[..]].concat(), "");
    assert_eq!(near.status, 401);
    // Nor does a proxy on a device of this user speak for them.
    for proxy in [said[1], "Via: 1.1 proxy"] {
        assert_eq!(it.ask(PHONE, "GET", "/v1/health", &[proxy], "").status, 401, "{proxy}");
        assert_eq!(it.ask(PHONE, "GET", "/v1/health", &[proxy, &bearer], "").status, 200, "{proxy}");
    }
    let message = it.ask(FOREIGN, "GET", "/v1/health", &[], "").json()["error"]["message"].to_string();
    assert!(message.contains("bob@example.com on foreign.tail1.ts.net"), "{message}");
    let log = std::fs::read_to_string(it.home.path().join("serve.log")).unwrap();
    assert!(log.contains("bob@example.com") && log.contains("tag:server"), "{log}");
    assert!(it.tailscale.state().asked_whois < 100, "each request asked");
}

#[cfg(target_os = "linux")]
#[test]
fn who_is_not_let_in_any_more_is_out_and_a_mute_tailscale_lets_nobody_in() {
    in_a_network("discovery_door::doubts");
}

#[test]
#[ignore = "run by who_is_not_let_in_any_more_is_out_and_a_mute_tailscale_lets_nobody_in, in a network of its own"]
fn doubts() {
    let it = start("[tailscale]\nenabled = true\n");
    it.wait_until_served();
    let health = |from: &str| it.ask(from, "GET", "/v1/health", &[], "").status;
    assert_eq!((health(PHONE), health(FOREIGN)), (200, 403));
    let port = it.daemon.port;
    let follows = std::thread::spawn(move || is_cut_off(PHONE, port));
    wait_for("its stream", || (it.ask(PHONE, "GET", "/v1/health", &[], "").status == 200).then_some(()));
    it.tailscale.change(|tailnet| tailnet.whois[1].1 = whois("n2", "phone", BOB, &[]));
    wait_for("the phone's new user to be noticed", || (health(PHONE) == 403).then_some(()));
    // A device that has tags has no user of its own, so nobody is the same one.
    it.tailscale.change(|tailnet| {
        tailnet.whois[2].1 = whois("n3", "foreign", ALICE, &[]);
        tailnet.running = false;
    });
    wait_for("a tailnet that is switched off to let nobody in", || (health(FOREIGN) == 401).then_some(()));
    it.tailscale.change(|tailnet| (tailnet.running, tailnet.mute) = (true, true));
    assert_eq!(it.ask(STRANGER, "GET", "/health", &[], "").status, 200);
    // Others are answered while Tailscale is waited for.
    drop(connect(it.daemon.port));
    it.tailscale.change(|tailnet| tailnet.mute = false);
    wait_for("Tailscale to be believed again", || (health(FOREIGN) == 200).then_some(()));
    // Who stays is asked about once a minute, also while only signs of life go out.
    assert!(follows.join().unwrap(), "the phone's stream goes on");
}

#[cfg(target_os = "linux")]
#[test]
fn without_being_switched_on_nothing_listens_in_the_tailnet() {
    in_a_network("discovery_door::switched_off");
}

#[test]
#[ignore = "run by without_being_switched_on_nothing_listens_in_the_tailnet, in a network of its own"]
fn switched_off() {
    let it = start("[tailscale]\nenabled = false\nallow = [\"alice@example.com\"]\n");
    let found = || it.home.json(["fleet", "discover", "--json"]);
    wait_for("the tailnet to be seen", || (found()["tailscale"]["state"] == "on").then_some(()));
    let address = SocketAddr::new(OWN.parse().unwrap(), it.daemon.port);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // Listening there by hand asks everybody for a token.
    drop(it.daemon);
    let daemon = Daemon::start_with(&it.home, ["serve", "--bind", OWN, "--port", "0"]);
    assert_eq!(ask_from(PHONE, daemon.port, "GET", "/v1/health", &[], "").status, 401);
    assert_eq!(it.tailscale.state().asked_whois, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn the_door_follows_the_file() {
    in_a_network("discovery_door::follows");
}

#[test]
#[ignore = "run by the_door_follows_the_file, in a network of its own"]
fn follows() {
    let it = start("[discovery]\ntailscale = false\n");
    let address = SocketAddr::new(OWN.parse().unwrap(), it.daemon.port);
    let health = |from: &str| it.ask(from, "GET", "/v1/health", &[], "").status;
    let write = |text: &str| write_host(&it.home, text);
    assert!(TcpStream::connect(address).is_err());
    write("[discovery]\ntailscale = false\n[tailscale]\nenabled = true\n");
    it.wait_until_served();
    assert_eq!((health(PHONE), health(FOREIGN)), (200, 403));
    write("[discovery]\ntailscale = false\n[tailscale]\nenabled = true\nallow = [\"bob@example.com\"]\n");
    wait_for("who is named now to be let in", || (health(FOREIGN) == 200).then_some(()));
    // What is not understood changes nothing.
    write("[tailscale]\nenabled = \"perhaps\"\n");
    wait_for("the mistake to be seen", || {
        let log = std::fs::read_to_string(it.home.path().join("serve.log")).unwrap();
        log.contains("stay as they were").then_some(())
    });
    assert_eq!(health(FOREIGN), 200);
    write("[discovery]\ntailscale = false\n");
    wait_for("the door to be shut", || TcpStream::connect(address).is_err().then_some(()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_container_is_a_peer_as_soon_as_it_runs_and_none_when_it_is_gone() {
    in_a_network("discovery_door::container_peer");
}

#[test]
#[ignore = "run by a_container_is_a_peer_as_soon_as_it_runs_and_none_when_it_is_gone, in a network of its own"]
fn container_peer() {
    const BRIDGE: &str = "172.30.0.2";
    make_network();
    let added = Command::new("ip").args(["addr", "add", &format!("{BRIDGE}/32"), "dev", "lo"]).status();
    assert!(added.unwrap().success());
    let inside = Home::new().with("DARKMUX_MACHINE_ID", "inside").with("DARKMUX_SERVE_BIND", "0.0.0.0");
    let port = crate::support::free_port();
    let _inside = Daemon::start_with(&inside, ["serve", "--i-know", "--port", &port.to_string()]);
    let token = std::fs::read_to_string(inside.darkmux().join("auth-token")).unwrap();
    let home = Home::new();
    let engine = Engine::start(&home.path().join("docker.sock"));
    let daemon = Daemon::start(&home);
    let id = "c".repeat(64);
    engine.change("start", |containers| {
        let env = ["DARKMUX_SERVE_BIND=0.0.0.0", &format!("DARKMUX_SERVE_PORT={port}")];
        containers.all = vec![(container(&id, "/home/alice/app", BRIDGE, &env), Some(token.clone()))];
    });
    let own = std::fs::read_to_string(home.darkmux().join("auth-token")).unwrap();
    let bearer = format!("Authorization: Bearer {}", own.trim());
    let host = format!("Host: localhost:{}", daemon.port);
    let peers = || {
        let answer = ask_with(daemon.port, "GET", "/v1/health", &[&host, &bearer], "");
        answer.json()["data"]["peers"].as_array().cloned().unwrap_or_default()
    };
    let peer = wait_for("the container to be connected", || {
        peers().into_iter().find(|peer| peer["status"] == "connected")
    });
    assert_eq!(
        (&peer["name"], &peer["origin"], &peer["local"]),
        (&json!("app"), &json!("devcontainer"), &json!(true))
    );
    engine.change("die", |containers| containers.all.clear());
    wait_for("the container to be gone", || peers().is_empty().then_some(()));
    let log = std::fs::read_to_string(home.path().join("serve.log")).unwrap();
    assert!(!log.contains(token.trim()), "{log}");
}
