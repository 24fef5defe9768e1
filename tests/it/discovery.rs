//! Machines that nobody added: devices of a tailnet and development containers, told by stand-ins for their daemons.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::http_raw::{Events, ask_with};
use crate::support::api::{Api, data};
use crate::support::hub::write_host;
use crate::support::local::{ALICE, BOB, Engine, Tailscale, container, device, read_request};
use crate::support::{Daemon, Home, describe, free_port, wait_for};

/// A machine in the tailnet: answers `/v1/health` as told, and remembers what it was sent.
struct Device {
    says: Arc<Mutex<(&'static str, Value)>>,
    asked: Arc<AtomicUsize>,
    heads: Arc<Mutex<String>>,
}

impl Device {
    fn new(ip: &str, port: u16, status: &'static str, says: Value) -> Self {
        let listener = TcpListener::bind((ip, port)).expect("Linux has all of 127.0.0.0/8");
        let device =
            Self { says: Arc::new(Mutex::new((status, says))), asked: Arc::default(), heads: Arc::default() };
        let (says, asked, heads) =
            (Arc::clone(&device.says), Arc::clone(&device.asked), Arc::clone(&device.heads));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let Some((head, _)) = read_request(&mut stream) else { continue };
                heads.lock().unwrap().push_str(&head);
                // The hub that connects to it finds no events, and so asks nothing else.
                let (status, body) = if head.starts_with("GET /v1/health ") {
                    asked.fetch_add(1, Ordering::SeqCst);
                    says.lock().unwrap().clone()
                } else {
                    ("404 Not Found", json!({}))
                };
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        device
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// What gmuxd 1.6 says to a device whose user it knows.
fn gmuxd(hostname: &str) -> Value {
    json!({ "ok": true, "data": {
        "service": "gmuxd", "version": "1.6.0", "node_id": "node-local", "status": "ready", "hostname": hostname,
        "listen": "127.0.0.1:8790", "default_launcher": "shell", "launchers": [],
        "sessions": { "local_alive": 0, "remote_alive": 0, "dead": 0 },
    } })
}

fn home_in_tailnet() -> (Home, PathBuf) {
    let home = Home::new();
    let socket = home.path().join("tailscaled.sock");
    (home, socket)
}

fn found(home: &Home) -> Value {
    home.json(["fleet", "discover", "--json"])
}

fn names(found: &Value) -> Vec<(String, String)> {
    let text = |machine: &Value, key: &str| machine[key].as_str().unwrap().to_owned();
    let machines = found["machines"].as_array().unwrap();
    machines.iter().map(|machine| (text(machine, "name"), text(machine, "access"))).collect()
}

fn wait_for_names(home: &Home, expected: &[(&str, &str)]) -> Value {
    let expected: Vec<_> =
        expected.iter().map(|(name, access)| ((*name).to_owned(), (*access).to_owned())).collect();
    let mut last = Value::Null;
    let mut look = || {
        last = found(home);
        (names(&last) == expected).then(|| last.clone())
    };
    wait_for(&format!("{expected:?}"), &mut look)
}

fn one<'a>(found: &'a Value, name: &str) -> &'a Value {
    found["machines"].as_array().unwrap().iter().find(|machine| machine["name"] == name).unwrap()
}

#[test]
fn machines_of_the_tailnet_are_found_change_leave_and_come_back() {
    let (home, socket) = home_in_tailnet();
    let port = free_port();
    // A real daemon that knows nobody by the tailnet, a gmux that does, something else, and a device of somebody else.
    let studio = Home::new().with("DARKMUX_MACHINE_ID", "studio").with("DARKMUX_SERVE_BIND", "127.0.0.2");
    let _studio = Daemon::start_with(&studio, ["serve", "--i-know", "--port", &port.to_string()]);
    let desk = Device::new("127.0.0.3", port, "200 OK", gmuxd("Desk Top"));
    let printer = Device::new("127.0.0.4", port, "404 Not Found", json!({}));
    let foreign = Device::new("127.0.0.5", port, "200 OK", gmuxd("bobs"));
    let tailscale = Tailscale::start(&socket);
    tailscale.change(|tailnet| {
        tailnet.peers = vec![
            device("n1", "studio", "127.0.0.2", ALICE),
            device("n2", "desktop", "127.0.0.3", ALICE),
            device("n3", "printer", "127.0.0.4", ALICE),
            device("n4", "bobs", "127.0.0.5", BOB),
        ];
    });
    let daemon = Daemon::start_with(&home, ["serve", "--port", &port.to_string()]);
    let list = wait_for_names(&home, &[("studio", "suggestion"), ("desk-top", "identity")]);
    let url = format!("http://127.0.0.2:{port}");
    assert_eq!(
        (&one(&list, "studio")["url"], &one(&list, "studio")["kind"]),
        (&json!(url), &json!("darkmux"))
    );
    assert!(one(&list, "studio")["join"].as_str().unwrap().contains("darkmux fleet join"), "{list:#}");
    assert_eq!(one(&list, "desk-top")["kind"], "gmux");
    assert_eq!(list["tailscale"]["state"], "on");
    let text = home.ok(["fleet", "discover"]);
    assert!(text.contains("to be joined") && text.contains("tailnet: desktop.tail1.ts.net"), "{text}");
    wait_for("the printer to be asked", || (printer.asked() == 1).then_some(()));

    // A change of another device asks nobody anew; a new name does.
    tailscale.change(|tailnet| tailnet.peers[0]["Online"] = json!(false));
    let list = wait_for("studio to be off", || {
        Some(found(&home)).filter(|list| one(list, "studio")["online"] == false)
    });
    assert_eq!(names(&list).len(), 2);
    assert_eq!((desk.asked(), printer.asked(), foreign.asked()), (1, 1, 0));
    *printer.says.lock().unwrap() = ("200 OK", gmuxd("printer"));
    tailscale.change(|tailnet| tailnet.peers[2]["DNSName"] = json!("press.tail1.ts.net."));
    let list =
        wait_for_names(&home, &[("studio", "suggestion"), ("desk-top", "identity"), ("printer", "identity")]);
    assert_eq!(one(&list, "printer")["host"], "press.tail1.ts.net");

    // Who comes back is asked again, and may be something else.
    *desk.says.lock().unwrap() = ("404 Not Found", json!({}));
    tailscale.change(|tailnet| tailnet.peers[1]["Online"] = json!(false));
    wait_for("the desk to be off", || {
        Some(found(&home)).filter(|list| one(list, "desk-top")["online"] == false)
    });
    // It was a peer, which is off and not just away.
    let there = home.run(["session", "ls", "--machine", "desk-top"]);
    assert_eq!(there.status.code(), Some(3), "{}", describe(&there));
    assert!(String::from_utf8_lossy(&there.stderr).contains("it is off"), "{}", describe(&there));
    tailscale.change(|tailnet| tailnet.peers[1]["Online"] = json!(true));
    wait_for_names(&home, &[("studio", "suggestion"), ("printer", "identity")]);
    tailscale.change(|tailnet| {
        tailnet.peers.remove(0);
    });
    wait_for_names(&home, &[("printer", "identity")]);
    assert_eq!(foreign.asked(), 0);
    for head in [&desk, &printer].map(|device| device.heads.lock().unwrap().to_lowercase()) {
        assert!(!head.contains("authorization") && !head.contains("cookie"), "{head}");
    }
    drop(daemon);
}

/// Who follows the events is told, and asks then.
#[test]
fn a_machine_that_is_found_is_told_to_who_listens() {
    let (home, socket) = home_in_tailnet();
    let port = free_port();
    let _desk = Device::new("127.0.0.3", port, "200 OK", gmuxd("desk"));
    let tailscale = Tailscale::start(&socket);
    let daemon = Daemon::start_with(&home, ["serve", "--port", &port.to_string()]);
    let hub = Api {
        token: std::fs::read_to_string(home.darkmux().join("auth-token")).unwrap().trim().to_owned(),
        home,
        daemon,
    };
    let (mut viewer, mut of_a_hub) = (hub.events(None), hub.events_with("", &["Darkmux-Via: node-of-else"]));
    let told = |stream: &mut Events, name: &str| {
        stream.fill();
        stream.take().iter().any(|event| event.name == name)
    };
    for stream in [&mut viewer, &mut of_a_hub] {
        wait_for("the first part", || told(stream, "session-snapshot").then_some(()));
    }
    tailscale.change(|tailnet| tailnet.peers = vec![device("n2", "desktop", "127.0.0.3", ALICE)]);
    wait_for("an event that leads to the machine", || {
        let found = told(&mut viewer, "discovery").then(|| data(&hub.get("/v1/discovery")))?;
        (found["machines"][0]["name"] == "desk").then_some(())
    });
    let id = hub.launch(&["true"]);
    wait_for("a hub to hear of sessions", || {
        of_a_hub.fill();
        let events = of_a_hub.take();
        assert!(events.iter().all(|event| event.name != "discovery"), "no hub asks what was found here");
        events.iter().any(|event| event.data.contains(&id)).then_some(())
    });
}

#[test]
fn what_is_found_takes_no_name_and_no_place() {
    let (home, socket) = home_in_tailnet();
    let port = free_port();
    let health_of = |daemon: &Daemon| {
        let token = std::fs::read_to_string(home.darkmux().join("auth-token")).unwrap();
        let host = format!("Host: localhost:{}", daemon.port);
        let bearer = format!("Authorization: Bearer {}", token.trim());
        ask_with(daemon.port, "GET", "/v1/health", &[&host, &bearer], "").json()["data"].take()
    };
    let own =
        health_of(&Daemon::start_with(&home, ["serve", "--port", &port.to_string()]))["node_id"].clone();
    assert!(own.is_string());
    // A roster machine without a token has its name all the same.
    home.ok(["fleet", "add", "studio", "--address", "127.0.0.99:1"]);
    let health = |name: &str, node: &Value| {
        let mut health = gmuxd(name);
        (health["data"]["node_id"], health["data"]["machine_id"]) = (node.clone(), json!(name));
        health
    };
    let node = |name: &str| json!(format!("node-of-{name}"));
    let says = [
        ("127.0.0.3", health("desk", &node("desk"))),
        ("127.0.0.4", health("studio", &node("somebody"))),
        ("127.0.0.5", health("testbox", &node("another"))),
        ("127.0.0.6", health("mirror", &own)),
        ("127.0.0.7", health("server", &node("server"))),
    ];
    let devices: Vec<Device> =
        says.into_iter().map(|(ip, says)| Device::new(ip, port, "200 OK", says)).collect();
    let tailscale = Tailscale::start(&socket);
    tailscale.change(|tailnet| {
        let peer = |(n, ip): (usize, &str)| device(&format!("n{n}"), &format!("host{n}"), ip, ALICE);
        let ips = ["127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7"];
        tailnet.peers = ips.into_iter().enumerate().map(peer).collect();
        // Tagged: it is of no user.
        tailnet.peers[4]["Tags"] = json!(["tag:server"]);
    });
    let port_text = port.to_string();
    let mut daemon = Daemon::start_with(&home, ["serve", "--port", &port_text]);
    let expected =
        [("desk", "identity"), ("studio", "taken"), ("testbox", "taken"), ("server", "suggestion")];
    let list = wait_for_names(&home, &expected);
    let why = |name: &str| one(&list, name)["taken"].as_str().unwrap().to_owned();
    assert!(why("studio").contains("fleet remove studio"), "{list:#}");
    assert!(why("testbox").contains("machine_id"), "{list:#}");
    // The lists that people look at say so, too.
    for verb in ["discover", "status"] {
        let said = describe(&home.run(["fleet", verb]));
        assert!(
            said.contains("studio, found at http://127.0.0.4:") && said.contains("is not connected to"),
            "{said}"
        );
    }
    wait_for("all to be asked", || devices.iter().all(|device| device.asked() > 0).then_some(()));
    let peers = |daemon: &Daemon| {
        let health = health_of(daemon);
        let peers = health["peers"].as_array().into_iter().flatten();
        peers.map(|peer| peer["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_for("the one peer that needs nothing", || (peers(&daemon) == ["desk"]).then_some(()));
    // What was kept says it too, before Tailscale is there.
    daemon.process.kill();
    std::fs::remove_file(&socket).unwrap();
    let daemon = Daemon::start_with(&home, ["serve", "--port", &port_text]);
    wait_for("what was kept", || (peers(&daemon) == ["desk"]).then_some(()));
    assert_eq!(names(&found(&home)).len(), 4);
}

#[test]
fn what_was_found_is_back_at_once_and_a_restart_of_tailscale_costs_nothing() {
    let (home, socket) = home_in_tailnet();
    let port = free_port();
    let desk = Device::new("127.0.0.3", port, "200 OK", gmuxd("desk"));
    let tailscale = Tailscale::start(&socket);
    tailscale.change(|tailnet| tailnet.peers = vec![device("n2", "desktop", "127.0.0.3", ALICE)]);
    let port_text = port.to_string();
    let mut daemon = Daemon::start_with(&home, ["serve", "--port", &port_text]);
    wait_for_names(&home, &[("desk", "identity")]);
    let cache = home.darkmux().join("discovery.json");
    wait_for("the cache", || cache.exists().then_some(()));
    assert_eq!(std::fs::metadata(&cache).unwrap().mode() & 0o777, 0o600);

    tailscale.cut_bus();
    tailscale.state().peers.push(device("n3", "late", "127.0.0.6", ALICE));
    let _late = Device::new("127.0.0.6", port, "200 OK", gmuxd("desk"));
    wait_for_names(&home, &[("desk", "identity"), ("desk-2", "identity")]);

    // What is shown is kept a moment later.
    wait_for("both in the cache", || {
        std::fs::read_to_string(&cache).is_ok_and(|kept| kept.contains("late")).then_some(())
    });

    // Without Tailscale, what was known stays.
    daemon.process.kill();
    std::fs::remove_file(&socket).unwrap();
    let asked = desk.asked();
    let _daemon = Daemon::start_with(&home, ["serve", "--port", &port_text]);
    let list = found(&home);
    assert_eq!(names(&list).len(), 2, "{list:#}");
    assert_eq!((&list["tailscale"]["state"], desk.asked()), (&json!("away"), asked));
    let said = home.run(["fleet", "discover"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("can't be looked at"), "{said:?}");
}

#[test]
fn looking_can_be_switched_off_and_on_while_the_daemon_runs() {
    let (home, socket) = home_in_tailnet();
    let port = free_port();
    let desk = Device::new("127.0.0.3", port, "200 OK", gmuxd("desk"));
    let tailscale = Tailscale::start(&socket);
    tailscale.change(|tailnet| tailnet.peers = vec![device("n2", "desktop", "127.0.0.3", ALICE)]);
    std::fs::create_dir_all(home.darkmux()).unwrap();
    let text = "[discovery]\ntailscale = false\ndevcontainers = false\n";
    std::fs::write(home.darkmux().join("host.toml"), text).unwrap();
    let _daemon = Daemon::start_with(&home, ["serve", "--port", &port.to_string()]);
    let list = found(&home);
    assert_eq!(
        (&list["tailscale"]["state"], &list["devcontainers"]["state"]),
        (&json!("off"), &json!("off"))
    );
    assert_eq!((names(&list).len(), desk.asked()), (0, 0));

    write_host(&home, "[discovery]\ndevcontainers = false\n");
    let list = wait_for_names(&home, &[("desk", "identity")]);
    assert_eq!((&list["tailscale"]["state"], &list["devcontainers"]["state"]), (&json!("on"), &json!("off")));
    wait_for("the link", || {
        home.run(["session", "ls", "--machine", "desk"]).status.code().filter(|code| *code == 3)
    });
    write_host(&home, text);
    wait_for_names(&home, &[]);
    assert_eq!(found(&home)["tailscale"]["state"], "off");
    wait_for("it to be no peer", || {
        home.run(["session", "ls", "--machine", "desk"]).status.code().filter(|code| *code == 2)
    });
    let asked = desk.asked();
    tailscale.change(|tailnet| tailnet.peers[0]["DNSName"] = json!("other.tail1.ts.net."));
    // What was found is known again at once, before anybody is asked.
    write_host(&home, "[discovery]\ntailscale = true\n");
    wait_for_names(&home, &[("desk", "identity")]);
    wait_for("it to be asked anew", || (desk.asked() > asked).then_some(()));
}

#[test]
fn containers_are_found_with_their_token_and_go_when_they_are_gone() {
    let home = Home::new();
    let engine = Engine::start(&home.path().join("docker.sock"));
    let token = "a".repeat(64);
    let (ours, gmux) = (["DARKMUX_SERVE_BIND=0.0.0.0"], ["GMUXD_LISTEN=0.0.0.0"]);
    let (first, second, third) = ("1".repeat(64), "2".repeat(64), "3".repeat(64));
    engine.change("start", |containers| {
        let one = container(&first, "/home/alice/My Project", "172.17.0.2", &ours);
        let other = container(&third, "/home/alice/database", "172.17.0.4", &["PATH=/bin"]);
        containers.all = vec![(one, Some(token.clone())), (other, Some(token.clone()))];
    });
    let _daemon = Daemon::start(&home);
    let list = wait_for_names(&home, &[("my-project", "token")]);
    let one = one(&list, "my-project");
    assert_eq!((&one["url"], &one["local"]), (&json!("http://172.17.0.2:8765"), &json!(true)));
    assert_eq!(one["folder"], "/home/alice/My Project");
    assert!(!list.to_string().contains(&token), "{list:#}");

    // A second of the same folder; its token is not there yet, which delays nobody.
    engine.change("start", |containers| {
        let two = container(&second, "/mnt/My Project", "172.17.0.3", &gmux);
        containers.all.push((two, None));
    });
    wait_for("a try for the second one's token", || {
        engine
            .state()
            .run
            .iter()
            .any(|(id, command)| *id == second && command.contains("gmux/auth-token"))
            .then_some(())
    });
    assert_eq!(names(&found(&home)).len(), 1);
    engine.state().all[2].1 = Some("b".repeat(64));
    let list = wait_for_names(&home, &[("my-project", "token"), ("my-project-2", "token")]);
    assert!(list.to_string().contains("http://172.17.0.3:8790"), "{list:#}");

    // Started again: another address, the same name, the token read anew.
    let before = engine.state().run.len();
    engine.change("die", |containers| {
        let one = &mut containers.all[0].0;
        one["State"]["StartedAt"] = json!("2026-11-22T11:00:00Z");
        one["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] = json!("172.17.0.9");
    });
    wait_for("the new address", || found(&home).to_string().contains("http://172.17.0.9:8765").then_some(()));
    assert_eq!(names(&found(&home)).len(), 2);
    assert_eq!(engine.state().run.len(), before + 1, "only the one that was started again was looked into");

    // What ended while the engine was away is gone at the next look.
    engine.state().all.remove(0);
    engine.cut_events();
    wait_for_names(&home, &[("my-project-2", "token")]);
    engine.change("die", |containers| containers.all.clear());
    wait_for_names(&home, &[]);
    assert!(
        !engine.state().run.iter().any(|(id, _)| *id == third),
        "a container that is none was looked into"
    );
    let log = std::fs::read_to_string(home.path().join("serve.log")).unwrap();
    assert!(!log.contains(&token), "{log}");
}
