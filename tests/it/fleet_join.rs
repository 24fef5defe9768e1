//! `fleet invite`, `fleet join`, `fleet leave`: two real daemons with empty homes become machines of one fleet.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::http_raw::ask_with;
use crate::redis_tls::Certificates;
use crate::support::{Daemon, Home, RedisServer, Tty, describe, free_port, wait_for};

/// A password that nobody else has.
const PASSWORD: &str = "canary-Jn4W";

/// An empty home whose daemon keeps its port.
fn machine(name: &str) -> Home {
    Home::new()
        .with("DARKMUX_MACHINE_ID", name)
        .with("DARKMUX_SERVE_PORT", free_port().to_string())
        .with("DARKMUX_RUNNER_ACCEPT", "*")
        .with("DARKMUX_QUEUE_LEASE", "1s")
        .with("DARKMUX_QUEUE_BEAT", "200ms")
        .with("DARKMUX_QUEUE_RECONCILE", "150ms")
}

fn serve(home: &Home) -> Daemon {
    Daemon::start_with(home, ["serve"])
}

/// Where other daemons of this computer reach this one.
fn address(home: &Home) -> String {
    let info: Value = serde_json::from_str(&read(home, "daemon.json")).unwrap();
    format!("127.0.0.1:{}", info["port"])
}

fn invite(home: &Home) -> String {
    home.ok(["fleet", "invite", "--address", &address(home)]).trim().to_owned()
}

/// Runs darkmux with this text on its standard input.
fn typed<const N: usize>(home: &Home, args: [&str; N], text: &str) -> Output {
    let mut command = home.cmd(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who is refused before it reads has closed it.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    child.wait_with_output().unwrap()
}

fn join(home: &Home, code: &str) -> Output {
    typed(home, ["fleet", "join", "--yes"], code)
}

fn joined(home: &Home, code: &str) -> Output {
    let output = join(home, code);
    assert!(output.status.success(), "{}", describe(&output));
    output
}

fn refused(output: &Output, says: &str) {
    assert!(!output.status.success(), "{}", describe(output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(says), "{says}: {}", describe(output));
}

fn read(home: &Home, name: &str) -> String {
    let path = home.darkmux().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim().to_owned()
}

fn exists(home: &Home, name: &str) -> bool {
    home.darkmux().join(name).exists()
}

/// What the daemon answers to somebody with this token.
fn status_with(daemon: &Daemon, token: &str) -> u16 {
    let host = format!("Host: localhost:{}", daemon.port);
    let bearer = format!("Authorization: Bearer {token}");
    ask_with(daemon.port, "GET", "/v1/sessions", &[&host, &bearer], "").status
}

fn probe_state(home: &Home, id: &str) -> Value {
    let status = home.json(["fleet", "status", "--deep", "--json"]);
    let found = status["machines"].as_array().unwrap().iter().find(|machine| machine["id"] == id).cloned();
    found.map_or(Value::Null, |machine| machine["probe_state"].clone())
}

#[test]
fn a_daemon_that_nobody_reaches_invites_nobody() {
    let hub = machine("hub");
    let _daemon = serve(&hub);
    let output = hub.run(["fleet", "invite"]);
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{}", describe(&output));
    refused(&output, "darkmux config set serve.bind ");
    assert!(!exists(&hub, "fleet-key"), "a refusal makes nothing");
}

#[test]
fn two_empty_homes_become_one_fleet() {
    let server = RedisServer::with(&["--save", "", "--appendonly", "no", "--requirepass", PASSWORD]);
    let url = format!("redis://default:{PASSWORD}@127.0.0.1:{}", server.port());
    let hub = machine("hub").with("DARKMUX_REDIS_URL", url);
    let laptop = machine("laptop");
    let (hub_daemon, laptop_daemon) = (serve(&hub), serve(&laptop));
    let code = invite(&hub);
    let output = joined(&laptop, &code);
    assert!(describe(&output).contains("start this machine's daemon anew"), "{}", describe(&output));

    // Each has a token of its own for the other, and the same key.
    let (to_hub, to_laptop) = (read(&laptop, "peers/hub.token"), read(&hub, "peers/laptop.token"));
    assert_ne!(to_hub, to_laptop);
    assert_eq!((status_with(&hub_daemon, &to_hub), status_with(&laptop_daemon, &to_laptop)), (200, 200));
    assert_eq!((status_with(&hub_daemon, &to_laptop), status_with(&laptop_daemon, &to_hub)), (401, 401));
    assert_eq!(read(&hub, "fleet-key"), read(&laptop, "fleet-key"));
    assert_eq!(probe_state(&hub, "laptop"), "answers");
    assert_eq!(probe_state(&laptop, "hub"), "answers");
    for (home, name) in [(&hub, "peers/laptop.token"), (&laptop, "fleet-key"), (&laptop, "redis-password")] {
        let mode = std::fs::metadata(home.darkmux().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    // Jobs go both ways once the daemon has read what came.
    drop(laptop_daemon);
    let _laptop_daemon = serve(&laptop);
    for (from, to) in [(&hub, "laptop"), (&laptop, "hub")] {
        let text = from.ok(["crew", "dispatch", "shell", "--pin", to, "-m", "echo $DARKMUX_MACHINE_ID"]);
        assert_eq!(text.trim(), to, "{text}");
    }
    let said = laptop.json(["config", "get", "redis.url", "--json"]);
    assert_eq!(said["value"], format!("redis://default@127.0.0.1:{}", server.port()));

    // Leaving takes all of it back, on both sides.
    let left = laptop.json(["fleet", "leave", "--yes", "hub", "--json"]);
    assert_eq!(left["left"][0]["told"], true, "{left:#}");
    assert_eq!(status_with(&hub_daemon, &to_hub), 401);
    for (home, names) in [
        (&hub, &["peers/laptop.token", "peers/laptop.json"][..]),
        (&laptop, &["peers/hub.token", "peers/hub.json", "fleet-key", "redis-password"]),
    ] {
        for name in names {
            assert!(!exists(home, name), "{name}");
        }
    }
    assert_eq!(laptop.run(["config", "get", "redis.url"]).status.code(), Some(1));
    assert_eq!(laptop.json(["fleet", "list", "--json"])["machines"], json!([]));
    let again = laptop.run(["fleet", "leave", "--yes", "hub"]);
    assert_eq!(again.status.code(), Some(2), "{}", describe(&again));
}

#[test]
fn a_code_is_good_once_in_time_and_for_who_has_it() {
    let (hub, laptop, third) = (machine("hub"), machine("laptop"), machine("third"));
    let mut hub_daemon = serve(&hub);
    let code = invite(&hub);
    let wrong = format!("{}@{}", "0".repeat(64), code.split_once('@').unwrap().1);
    refused(&join(&laptop, &wrong), "not known here");
    refused(&join(&laptop, "nonsense"), "no invitation");
    joined(&laptop, &code);
    refused(&join(&third, &code), "used by laptop already");
    refused(&join(&laptop, &code), "used by laptop already");
    assert!(!exists(&third, "peers") && !exists(&third, "fleet.json"));

    let short = hub.json(["fleet", "invite", "--address", &address(&hub), "--expires", "5s", "--json"]);
    let expired = wait_for("the invitation to expire", || {
        let output = typed(&third, ["fleet", "join", "--dry-run"], short["code"].as_str().unwrap());
        (!output.status.success()).then_some(output)
    });
    refused(&expired, "expired at ");
    let code = invite(&hub);
    hub_daemon.process.kill();
    refused(&join(&third, &code), "can't be reached");
    assert_eq!(join(&third, &code).status.code(), Some(3));
    let _daemon = serve(&hub);
    refused(&join(&third, &code), "a restart of the daemon ends them");
    let forever = hub.run(["fleet", "invite", "--expires", "48h"]);
    assert_eq!(forever.status.code(), Some(2), "{}", describe(&forever));
}

#[test]
fn a_look_changes_nothing_and_nobody_joins_unasked() {
    let (hub, laptop) = (machine("hub"), machine("laptop"));
    let (_hub_daemon, _laptop_daemon) = (serve(&hub), serve(&laptop));
    let invited = hub.json(["fleet", "invite", "--address", &address(&hub), "--json"]);
    assert_eq!((&invited["expires_in"], &invited["machine_id"]), (&json!(600), &json!("hub")));
    let url = invited["url"].as_str().unwrap();
    assert!(url.contains("/#join=") && !url.contains('?'), "{url}");
    for _ in 0..3 {
        let look = laptop.json(["fleet", "join", url, "--dry-run", "--json"]);
        assert_eq!((&look["joined"], &look["fleet_key"]), (&json!(false), &json!("take")), "{look:#}");
        assert_eq!(look["machine"]["machine_id"], "hub");
        assert!(look["files"].as_array().unwrap().len() >= 4, "{look:#}");
    }
    assert!(!exists(&laptop, "peers") && !exists(&laptop, "fleet-key") && !exists(&hub, "peers"));
    let unasked = laptop.run(["fleet", "join", url]);
    assert_eq!(unasked.status.code(), Some(2), "{}", describe(&unasked));
    refused(&unasked, "--yes");
    let done = laptop.json(["fleet", "join", url, "--yes", "--json"]);
    assert_eq!((&done["joined"], &done["in_roster_there"]), (&json!(true), &json!(true)), "{done:#}");
    // When it ends, the link is up: the next command finds the other machine.
    assert_eq!((&done["linked"], &done["link_error"]), (&json!(true), &Value::Null), "{done:#}");
    let id = laptop.ok(["session", "new", "-d", "--machine", "hub", "--", "cat"]);
    assert!(id.trim().ends_with("@hub"), "{id}");
    laptop.ok(["session", "send", id.trim(), "x"]);
}

#[test]
fn who_joins_without_a_daemon_is_told_that_nothing_shows_yet() {
    let (hub, laptop) = (machine("hub"), machine("laptop"));
    let _hub_daemon = serve(&hub);
    let output = joined(&laptop, &invite(&hub));
    assert!(describe(&output).contains("do not show here yet: no daemon runs"), "{}", describe(&output));
}

#[tokio::test]
async fn leaving_says_what_goes_and_asks() {
    let (hub, laptop) = (machine("hub"), machine("laptop"));
    let (_hub_daemon, _laptop_daemon) = (serve(&hub), serve(&laptop));
    joined(&laptop, &invite(&hub));
    for args in [&["fleet", "leave"][..], &["fleet", "leave", "hub"]] {
        let unasked = laptop.command(crate::support::BIN).args(args).output().unwrap();
        assert_eq!(unasked.status.code(), Some(2), "{}", describe(&unasked));
        refused(&unasked, "--yes leaves");
    }
    let look = laptop.run(["fleet", "leave", "--dry-run"]);
    assert!(look.status.success(), "{}", describe(&look));
    for words in ["hub at 127.0.0.1:", "tokens", "the fleet's key"] {
        assert!(describe(&look).contains(words), "{words}: {}", describe(&look));
    }
    let look = laptop.json(["fleet", "leave", "--dry-run", "--json"]);
    assert_eq!((&look["would_leave"], &look["left"]), (&json!(["hub"]), &json!([])), "{look:#}");
    let mut tty = Tty::start(&laptop, ["fleet", "leave"]);
    tty.expect("leave hub?").await;
    tty.press("n\r").await;
    tty.expect("nothing was changed").await;
    assert!(!tty.wait().await.is_success());
    assert!(exists(&laptop, "peers/hub.token") && exists(&laptop, "fleet-key"));
    let mut tty = Tty::start(&laptop, ["fleet", "leave"]);
    tty.expect("[y/N]").await;
    tty.press("y\r").await;
    tty.expect("left hub").await;
    assert!(tty.wait().await.is_success());
    assert!(!exists(&laptop, "peers/hub.token") && !exists(&laptop, "fleet-key"));
}

#[test]
fn machines_that_do_not_fit_are_told_and_nothing_changes() {
    let hub = machine("hub");
    let _daemon = serve(&hub);
    let twin = machine("hub");
    refused(&join(&twin, &invite(&hub)), "both machines are called hub");
    refused(&join(&hub, &invite(&hub)), "is hub's own");
    // A fleet of its own is not left unasked.
    let other = machine("other");
    std::fs::create_dir_all(other.darkmux()).unwrap();
    std::fs::write(other.darkmux().join("fleet-key"), "0a".repeat(32)).unwrap();
    let code = invite(&hub);
    refused(&join(&other, &code), "--replace");
    assert_eq!(read(&other, "fleet-key"), "0a".repeat(32));
    let output = typed(&other, ["fleet", "join", "--yes", "--replace"], &code);
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!(read(&other, "fleet-key"), read(&hub, "fleet-key"));
    // Another machine of that name.
    refused(&join(&machine("other"), &invite(&hub)), "another machine joined as other");
}

#[test]
fn a_machine_that_nobody_reaches_joins_one_way() {
    let (hub, laptop) = (machine("hub"), machine("laptop"));
    let hub_daemon = serve(&hub);
    // No daemon runs there: what listens on its port is not known.
    let output = joined(&laptop, &invite(&hub));
    assert!(describe(&output).contains("hub does not reach this machine"), "{}", describe(&output));
    assert_eq!(status_with(&hub_daemon, &read(&laptop, "peers/hub.token")), 200);
    assert_eq!(hub.json(["fleet", "list", "--json"])["machines"], json!([]));
    assert!(!exists(&hub, "peers/laptop.token") && exists(&hub, "peers/laptop.json"));
    // Joining again, with its daemon, makes it both ways.
    let laptop_daemon = serve(&laptop);
    joined(&laptop, &invite(&hub));
    assert_eq!(status_with(&laptop_daemon, &read(&hub, "peers/laptop.token")), 200);
    // The hub ends it, while the other one is away.
    drop(laptop_daemon);
    let left = hub.json(["fleet", "leave", "--yes", "--json"]);
    assert_eq!(left["left"][0]["told"], false);
    assert!(left["left"][0]["not_undone"][0].as_str().unwrap().contains("fleet leave hub"), "{left:#}");
    assert_eq!(status_with(&hub_daemon, &read(&laptop, "peers/hub.token")), 401);
    assert_eq!(probe_state(&laptop, "hub"), "auth");
    let said = laptop.run(["fleet", "status"]);
    assert!(describe(&said).contains("refuses the token"), "{}", describe(&said));
    // The laptop can leave although the hub knows it no more.
    let left = laptop.json(["fleet", "leave", "--yes", "--json"]);
    assert_eq!(left["left"][0]["told"], true, "{left:#}");
    assert!(!exists(&laptop, "fleet-key") && !exists(&laptop, "peers/hub.token"));
}

/// A machine that says it listens where another one does is not taken for it: that one would get its token.
#[test]
fn a_machine_that_names_another_ones_address_joins_one_way() {
    let (hub, laptop, third) = (machine("hub"), machine("laptop"), machine("laptop"));
    let (_hub_daemon, _laptop_daemon, _third_daemon) = (serve(&hub), serve(&laptop), serve(&third));
    let args = ["fleet", "join", "--yes", "--own-address", &address(&third)];
    let output = typed(&laptop, args, &invite(&hub));
    assert!(describe(&output).contains("another machine answers"), "{}", describe(&output));
    assert_eq!(hub.json(["fleet", "list", "--json"])["machines"], json!([]));
    assert!(!exists(&hub, "peers/laptop.token"));
}

#[test]
fn who_is_left_by_the_hub_gives_back_what_came_from_it() {
    let (hub, laptop) = (machine("hub"), machine("laptop"));
    let (_hub_daemon, laptop_daemon) = (serve(&hub), serve(&laptop));
    joined(&laptop, &invite(&hub));
    let to_laptop = read(&hub, "peers/laptop.token");
    let left = hub.json(["fleet", "leave", "--yes", "laptop", "--json"]);
    assert_eq!(left["left"][0]["told"], true, "{left:#}");
    assert_eq!(status_with(&laptop_daemon, &to_laptop), 401);
    assert!(exists(&hub, "fleet-key"), "it is the hub's own");
    assert!(!exists(&laptop, "peers/hub.token") && exists(&laptop, "fleet-key"));
    assert_eq!(laptop.json(["fleet", "list", "--json"])["machines"], json!([]));
    laptop.ok(["fleet", "leave", "--yes", "hub"]);
    assert!(!exists(&laptop, "fleet-key") && !exists(&laptop, "peers/hub.json"));
}

#[tokio::test]
async fn on_a_terminal_there_is_a_picture_and_a_question() {
    let (hub, laptop) = (machine("hub"), machine("laptop"));
    let _daemon = serve(&hub);
    let mut tty = Tty::start(&hub, ["fleet", "invite", "--address", &address(&hub)]);
    tty.expect("darkmux fleet join").await;
    tty.expect("\u{2580}").await;
    let code = invite(&hub);
    for (answer, says) in [("n", "nothing was changed"), ("y", "joined")] {
        let mut tty = Tty::start(&laptop, ["fleet", "join"]);
        tty.expect("the code that").await;
        tty.press(&format!("{code}\r")).await;
        tty.expect("[y/N]").await;
        assert!(!exists(&laptop, "peers/hub.token"), "nobody said yes");
        tty.press(&format!("{answer}\r")).await;
        tty.expect(says).await;
    }
    wait_for("the join to end", || (!exists(&laptop, "peers/.joining")).then_some(()));
    assert!(exists(&laptop, "peers/hub.token"));
}

#[test]
fn remove_ends_exactly_one_machines_token() {
    let hub = machine("hub");
    let hub_daemon = serve(&hub);
    let (a, b) = (machine("a"), machine("b"));
    for home in [&a, &b] {
        joined(home, &invite(&hub));
    }
    hub.ok(["fleet", "remove", "a"]);
    let status = |home: &Home| status_with(&hub_daemon, &read(home, "peers/hub.token"));
    wait_for("the token to end", || (status(&a) == 401).then_some(()));
    assert_eq!(status(&b), 200);
    assert!(!read(&hub, "auth-machines.json").contains(&read(&b, "peers/hub.token")));
}

/// A network between the joiner and the hub: keeps what passes, and on the first connection passes so many answers and no more.
fn tap(hub: Home, most: Option<usize>) -> (Home, String, Arc<Mutex<Vec<u8>>>) {
    let of_hub = hub.vars().find(|(name, _)| *name == "DARKMUX_SERVE_PORT").unwrap().1;
    let to: u16 = of_hub.parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    std::thread::spawn(move || {
        for (at, mut client) in listener.incoming().flatten().enumerate() {
            let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let (there, back) = (kept.clone(), kept.clone());
            std::thread::spawn(move || pass(&mut client, &mut server, &there, None));
            std::thread::spawn(move || pass(&mut back_from, &mut back_to, &back, most.filter(|_| at == 0)));
        }
    });
    // As for every proxy, the daemon is told the name by which it is asked.
    let address = format!("127.0.0.1:{port}");
    (hub.with("DARKMUX_SERVE_HOSTS", &address), address, seen)
}

/// Passes bytes on; of answers at most `most`, then the connection ends.
fn pass(from: &mut TcpStream, to: &mut TcpStream, seen: &Mutex<Vec<u8>>, most: Option<usize>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut answers = 0;
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        let piece = &buffer[..count];
        seen.lock().unwrap().extend_from_slice(piece);
        answers += usize::from(piece.starts_with(b"HTTP/1.1 "));
        if count == 0 || most.is_some_and(|most| answers > most) || to.write_all(piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    let (laptop, thief) = (machine("laptop"), machine("thief"));
    // The greeting passes; what answers the join does not.
    let (hub, through, _) = tap(machine("hub"), Some(1));
    let hub_daemon = serve(&hub);
    let code = invite(&hub);
    let lost = typed(&laptop, ["fleet", "join", "--yes", "--address", &through], &code);
    assert_eq!(lost.status.code(), Some(3), "{}", describe(&lost));
    assert!(exists(&hub, "peers/laptop.json") && !exists(&laptop, "peers/hub.token"));
    refused(&join(&thief, &code), "used by laptop already");
    joined(&laptop, &code);
    assert_eq!(status_with(&hub_daemon, &read(&laptop, "peers/hub.token")), 200);
    assert!(!exists(&laptop, "peers/.joining"));
}

#[test]
fn nothing_secret_passes_in_the_clear_or_is_left_anywhere() {
    let server = RedisServer::with(&["--save", "", "--appendonly", "no", "--requirepass", PASSWORD]);
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port());
    let hub = machine("hub").with("DARKMUX_REDIS_URL", url).with("DARKMUX_LOG", "debug");
    let (hub, through, seen) = tap(hub, None);
    let laptop = machine("laptop").with("DARKMUX_LOG", "debug");
    let (_hub_daemon, _laptop_daemon) = (serve(&hub), serve(&laptop));
    let invited = hub.json(["fleet", "invite", "--address", &through, "--json"]);
    let code = invited["code"].as_str().unwrap();
    let output = typed(&laptop, ["fleet", "join", "--yes", "--json"], code);
    assert!(output.status.success(), "{}", describe(&output));
    let (to_hub, to_laptop) = (read(&laptop, "peers/hub.token"), read(&hub, "peers/laptop.token"));
    let key = read(&hub, "fleet-key");
    let secret = code.split('@').next().unwrap();
    let secrets = [PASSWORD, &to_hub, &to_laptop, &key, secret];
    let mut passed = seen.lock().unwrap().clone();
    // What comes after joining is the link of two peers: its requests carry a token, on a network that encrypts.
    let link = passed.windows(8).position(|window| window == b"GET /v1/");
    passed.truncate(link.unwrap_or(passed.len()));
    assert!(passed.windows(16).any(|window| window == b"POST /fleet/join"), "the tap saw it");
    let clean = |place: &str, bytes: &[u8], secrets: &[&str]| {
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {place}");
        }
    };
    clean("the network", &passed, &secrets);
    clean("stdout", &output.stdout, &secrets);
    clean("stderr", &output.stderr, &secrets);
    for (home, holds) in [
        (&hub, &["peers/laptop.token", "fleet-key"][..]),
        (&laptop, &["peers/hub.token", "fleet-key", "redis-password"]),
    ] {
        let of: Vec<_> = holds.iter().map(|name| home.darkmux().join(name)).collect();
        let is_left = |path: &Path| !of.iter().any(|holder| holder == path);
        for entry in walkdir::WalkDir::new(home.path()).into_iter().flatten() {
            if entry.file_type().is_file() && is_left(entry.path()) {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                clean(&entry.path().display().to_string(), &bytes, &secrets);
            }
        }
        let left = ["fleet", "leave", "--yes"];
        for verb in [&["fleet", "list", "--json"][..], &["fleet", "status", "--json"], &left] {
            let output = home.command(crate::support::BIN).args(verb).output().unwrap();
            assert!(output.status.success(), "{}", describe(&output));
            clean("a verb", &[output.stdout, output.stderr].concat(), &secrets);
        }
    }
}

#[test]
fn guesses_are_counted_and_garbage_is_refused() {
    let hub = machine("hub");
    let daemon = serve(&hub);
    let code = invite(&hub);
    let host = format!("Host: localhost:{}", daemon.port);
    let own = format!("Origin: http://localhost:{}", daemon.port);
    let kind = "Content-Type: application/octet-stream";
    let post = |body: &str| ask_with(daemon.port, "POST", "/fleet/join", &[&host, &own, kind], body).status;
    assert_eq!((post(""), post("\u{1}short"), post(&"\u{3}".repeat(80))), (400, 400, 400));
    assert_eq!(post(&"\u{1}".repeat(20_000)), 413);
    let guess = |n: u8| post(&format!("\u{1}{}", char::from(b'a' + n).to_string().repeat(80)));
    for n in 0..10 {
        assert_eq!(guess(n), 401);
    }
    assert_eq!(guess(11), 429);
    // The one who has the code comes from the same address here, and is nobody who guesses.
    joined(&machine("laptop"), &code);
    assert_eq!(guess(12), 429);
}

#[test]
fn an_invitation_ends_with_the_token_that_made_it() {
    let (hub, laptop) = (machine("hub"), machine("laptop"));
    let daemon = serve(&hub);
    let code = invite(&hub);
    let kept = hub.ok(["auth", "show", "--print"]);
    joined(&laptop, &invite(&hub));
    // Made with the laptop's token, it ends with that, and with no other.
    let token = read(&laptop, "peers/hub.token");
    let (host, bearer) =
        (format!("Host: localhost:{}", daemon.port), format!("Authorization: Bearer {token}"));
    let kind = "Content-Type: application/json";
    let ask = json!({ "address": address(&hub) }).to_string();
    let of_laptop = ask_with(daemon.port, "POST", "/fleet/invites", &[&host, &bearer, kind], &ask);
    assert_eq!(of_laptop.status, 200, "{of_laptop:?}");
    let of_laptop = of_laptop.json()["code"].as_str().unwrap().to_owned();
    laptop.ok(["fleet", "leave", "--yes"]);
    assert_eq!(status_with(&daemon, &token), 401);
    refused(&join(&machine("second"), &of_laptop), "ended with the token that made it");

    hub.ok(["auth", "rotate"]);
    assert_ne!(hub.ok(["auth", "show", "--print"]), kept);
    let third = machine("third");
    refused(&join(&third, &code), "ended with the token that made it");
    assert!(!exists(&third, "peers") && !exists(&third, "fleet.json"));
    joined(&third, &invite(&hub));
}

/// TLS before a daemon, as `tailscale serve` and other proxies put it there. Ends with the test's process.
fn tls_proxy(certificates: &Certificates, to: u16) -> u16 {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::copy_bidirectional;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = CertificateDer::from_pem_file(certificates.path("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificates.path("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![chain], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut near) = acceptor.accept(stream).await else { return };
                    let Ok(mut far) = tokio::net::TcpStream::connect(("127.0.0.1", to)).await else { return };
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    });
    port
}

#[test]
fn a_daemon_behind_a_proxy_with_tls_is_joined_and_left_by_https() {
    let certificates = Certificates::new();
    let ca = certificates.path("ca.pem");
    let port = free_port();
    let proxy = tls_proxy(&certificates, port);
    let address = format!("https://localhost:{proxy}");
    let hub = Home::new()
        .with("DARKMUX_MACHINE_ID", "hub")
        .with("DARKMUX_SERVE_PORT", port.to_string())
        .with("DARKMUX_SERVE_HOSTS", format!("localhost:{proxy}"));
    let _hub_daemon = serve(&hub);
    let code = hub.ok(["fleet", "invite", "--address", &address]).trim().to_owned();
    assert!(code.ends_with(&format!("@{address}")), "{}", code.len());
    // Who does not trust its certificate joins nothing.
    refused(&join(&machine("stranger"), &code), "certificate");
    let laptop = machine("laptop").with("SSL_CERT_FILE", ca.display().to_string());
    let _laptop_daemon = serve(&laptop);
    let output = joined(&laptop, &code);
    assert!(!describe(&output).contains("do not show here yet"), "{}", describe(&output));
    let id = hub.ok(["session", "new", "-d", "--", "sleep", "60"]).trim().to_owned();
    wait_for("the hub's session", || {
        laptop.ok(["session", "ls", "--machine", "hub"]).contains(&id).then_some(())
    });
    assert_eq!(probe_state(&laptop, "hub"), "answers");
    let listed = laptop.json(["fleet", "list", "--json"]);
    assert_eq!(listed["machines"][0]["address"], address);
    laptop.ok(["session", "kill", "--machine", "hub", &id]);
    let left = laptop.json(["fleet", "leave", "--yes", "hub", "--json"]);
    assert_eq!(left["left"][0]["told"], true, "{left:#}");
}
