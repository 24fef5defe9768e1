//! `darkmux hub`: a real Redis that a machine keeps for its fleet.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::discovery_door::{OWN, in_a_network, make_network};
use crate::support::managers::Managers;
use crate::support::{Daemon, Home, RedisServer, describe, free_port, is_alive, signal, wait_for};

/// A home without a service manager, whose hub ends with it.
struct Hub {
    home: Home,
    port: u16,
    _managers: Managers,
}

impl Hub {
    fn new() -> Self {
        let managers = Managers::none();
        let home = managers.home().with("DARKMUX_SERVE_PORT", free_port().to_string());
        Self { home, port: free_port(), _managers: managers }
    }

    fn up(&self) -> Output {
        self.home.run(["hub", "up", "--port", &self.port.to_string()])
    }

    fn status(&self) -> Value {
        let output = self.home.run(["hub", "status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", describe(&output)))
    }

    fn pid(&self) -> i64 {
        let text = fs::read_to_string(self.home.darkmux().join("hub/redis.pid")).expect("a pid file");
        text.trim().parse().expect("a pid")
    }

    /// `redis-cli` as this user, or as nobody.
    fn cli(&self, user: Option<&str>, args: &[&str]) -> String {
        cli(&self.home, self.port, user, args)
    }
}

fn cli(home: &Home, port: u16, user: Option<&str>, args: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string()]);
    if let Some(user) = user {
        let file = if user == "default" { "admin-password" } else { "password" };
        let password = fs::read_to_string(home.darkmux().join("hub").join(file)).expect("a password");
        command.args(["--no-auth-warning", "--user", user]).env("REDISCLI_AUTH", password.trim());
    }
    let output = command.args(args).output().expect("redis-cli runs");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        .trim()
        .to_owned()
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.home.darkmux().join("hub/redis.pid")) {
            signal(pid.trim().parse().unwrap_or(0), "KILL");
        }
    }
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", describe(output));
    describe(output)
}

#[test]
fn a_hub_asks_for_passwords_keeps_what_it_took_and_is_used() {
    let hub = Hub::new();
    let port = hub.port.to_string();
    assert_eq!(hub.home.run(["hub", "status"]).status.code(), Some(1));
    let shown = hub.home.ok(["hub", "up", "--dry-run", "--port", &port]);
    assert!(shown.contains("redis.url") && !hub.home.darkmux().exists(), "{shown}");

    let said = ok(&hub.up());
    assert!(
        said.contains("no service manager answers here") && said.contains("darkmux hub up --bind"),
        "{said}"
    );
    let first = hub.pid();
    assert!(is_alive(first));
    for file in ["password", "admin-password"] {
        let password = fs::read_to_string(hub.home.darkmux().join("hub").join(file)).unwrap();
        assert!(password.trim().len() == 64 && !said.contains(password.trim()), "{said}");
    }
    assert!(hub.cli(None, &["PING"]).contains("NOAUTH"));
    assert_eq!(hub.cli(Some("darkmux"), &["SET", "darkmux:x", "1"]), "OK");
    for beyond in [&["SET", "other", "1"][..], &["CONFIG", "GET", "dir"], &["SHUTDOWN"], &["FLUSHALL"]] {
        assert!(hub.cli(Some("darkmux"), beyond).contains("NOPERM"), "{beyond:?}");
    }
    let config = hub.cli(Some("default"), &["CONFIG", "GET", "append*"])
        + &hub.cli(Some("default"), &["CONFIG", "GET", "max*"]);
    for word in ["appendonly\nyes", "appendfsync\neverysec", "maxmemory-policy\nnoeviction"] {
        assert!(config.contains(word), "{word} in {config}");
    }

    // This machine uses it, and finds nothing to say against it.
    let status = hub.status();
    assert_eq!((&status["up"], &status["used"]), (&true.into(), &true.into()), "{status:#}");
    let report: Value = serde_json::from_slice(&hub.home.run(["doctor", "--json"]).stdout).unwrap();
    let check =
        report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "redis").unwrap().clone();
    assert_eq!(check["state"], "pass", "{check}");
    assert!(hub.home.darkmux().join("fleet-key").exists());

    // Again is nothing new, also without the port.
    ok(&hub.home.run(["hub", "up"]));
    assert_eq!(hub.pid(), first);

    // What was accepted is there afterwards.
    assert!(ok(&hub.home.run(["hub", "down"])).contains("its data stays"));
    assert!(!is_alive(first));
    assert_eq!(hub.home.run(["config", "get", "redis.url"]).status.code(), Some(1), "it works alone again");
    assert_eq!(hub.home.run(["hub", "status"]).status.code(), Some(3));
    ok(&hub.home.run(["hub", "up"]));
    signal(hub.pid(), "KILL");
    wait_for("its end", || (!is_alive(hub.pid())).then_some(()));
    let report: Value = serde_json::from_slice(&hub.home.run(["doctor", "--json"]).stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let redis = checks.iter().find(|check| check["name"] == "redis").unwrap();
    assert_eq!((&redis["state"], &redis["fix"]), (&"fail".into(), &"darkmux hub up".into()), "{redis}");
    ok(&hub.home.run(["hub", "up"]));
    assert_eq!(hub.cli(Some("darkmux"), &["GET", "darkmux:x"]), "1");

    let purge = hub.home.run(["hub", "down", "--purge"]);
    assert!(purge.status.code() == Some(2) && is_alive(hub.pid()), "{}", describe(&purge));
    ok(&hub.home.run(["hub", "down", "--purge", "--yes"]));
    assert!(!hub.home.darkmux().join("hub").exists());
    assert!(describe(&hub.home.run(["hub", "down"])).contains("no hub"));
}

#[test]
fn jobs_go_over_a_hub_and_its_move_leaves_one_server() {
    let hub = Hub::new();
    ok(&hub.up());
    let first = hub.pid();
    let daemon = Daemon::start(&hub.home);
    hub.home.ok(["config", "set", "runner.accept", "*"]);
    // The daemon of before is told about, and not ended.
    let other = free_port().to_string();
    let said = ok(&hub.home.run(["hub", "up", "--port", &other]));
    assert!(said.contains(&format!("kill {}", daemon.process.pid())), "{said}");
    assert!(!is_alive(first) && is_alive(hub.pid()));
    assert!(hub.home.ok(["config", "get", "redis.url"]).contains(&other));
    drop(daemon);
    let _daemon = Daemon::start(&hub.home);
    let ran = hub.home.run(["crew", "dispatch", "shell", "--fleet", "-m", "echo over-the-hub"]);
    assert!(ok(&ran).contains("over-the-hub"));
}

#[test]
fn what_stands_in_the_way_is_named_and_left_alone() {
    let hub = Hub::new();
    let run = |args: &[&str], code: i32, says: &str| {
        let output = hub.home.command(crate::support::BIN).args(args).output().unwrap();
        let said = describe(&output);
        assert!(output.status.code() == Some(code) && said.contains(says), "{args:?}: {said}");
        assert!(!hub.home.darkmux().join("hub").exists(), "{args:?}");
    };
    for bind in ["0.0.0.0", "::", "192.0.2.7"] {
        run(&["hub", "up", "--bind", bind], 2, "--i-know");
    }
    let other = RedisServer::start();
    run(&["hub", "up", "--port", &other.port().to_string()], 1, "something else listens");
    hub.home.ok(["config", "set", "redis.url", &other.url()]);
    run(&["hub", "up", "--port", &hub.port.to_string()], 1, "--replace");
    assert!(hub.home.ok(["config", "get", "redis.url"]).contains(&other.port().to_string()));
    let output = hub.home.run(["hub", "up", "--replace", "--port", &hub.port.to_string()]);
    ok(&output);
    assert!(hub.home.ok(["config", "get", "redis.url"]).contains(&hub.port.to_string()));

    // A server without a password takes any, and is not ours for that.
    let output = hub.home.run(["hub", "up", "--port", &other.port().to_string()]);
    assert!(output.status.code() == Some(1), "{}", describe(&output));
    assert!(describe(&output).contains("something else listens"), "{}", describe(&output));
    assert_eq!(other.cli(&["PING"]), "PONG");

    let bare = Home::new().with("PATH", "/nowhere");
    let output = bare.run(["hub", "up"]);
    let said = describe(&output);
    assert!(output.status.code() == Some(1) && said.contains("apt install redis-server"), "{said}");
}

#[test]
fn a_service_manager_keeps_the_hub_running_and_the_daemon_learns_of_it() {
    let managers = Managers::of(&["launchctl"]);
    let home = managers.home().with("DARKMUX_SERVE_PORT", free_port().to_string());
    home.ok(["service", "install"]);
    let daemon = daemon_of(&home);
    let port = free_port();
    let said = ok(&home.run(["hub", "up", "--port", &port.to_string()]));
    assert!(said.contains("the daemon was started anew"), "{said}");
    assert!(wait_for("another daemon", || Some(daemon_of(&home)).filter(|pid| *pid != daemon)) > 0);
    let units =
        || -> Value { serde_json::from_slice(&fs::read(managers.state("units.json")).unwrap()).unwrap() };
    let redis = units()["com.darkmux.redis"]["pid"].as_i64().expect("a process");
    assert!(home.path().join("Library/LaunchAgents/com.darkmux.redis.plist").exists());
    managers.calls();
    ok(&home.run(["hub", "up"]));
    assert_eq!(managers.calls(), Vec::<String>::new());

    assert_eq!(cli(&home, port, Some("darkmux"), &["SET", "darkmux:x", "1"]), "OK");
    signal(redis, "KILL");
    wait_for("the next Redis", || {
        let answer = cli(&home, port, Some("darkmux"), &["PING"]);
        (answer == "PONG" && units()["com.darkmux.redis"]["pid"].as_i64() != Some(redis)).then_some(())
    });
    let status: Value = serde_json::from_slice(&home.run(["hub", "status", "--json"]).stdout).unwrap();
    assert_eq!(
        (&status["installed"], &status["service"]["restarts"]),
        (&true.into(), &1.into()),
        "{status:#}"
    );

    ok(&home.run(["hub", "down"]));
    assert!(!home.path().join("Library/LaunchAgents/com.darkmux.redis.plist").exists());
    assert!(cli(&home, port, None, &["PING"]).contains("Could not connect"));
    home.ok(["service", "uninstall"]);
}

fn daemon_of(home: &Home) -> i64 {
    wait_for("a daemon", || {
        let text = fs::read(home.darkmux().join("daemon.json")).ok()?;
        serde_json::from_slice::<Value>(&text).ok()?["pid"].as_i64()
    })
}

#[test]
#[cfg(target_os = "linux")]
fn a_hub_at_an_address_of_the_tailnet_invites_to_it() {
    in_a_network("service_hub::a_hub_invites_in_its_network");
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn a_hub_invites_in_its_network() {
    make_network();
    let hub = Hub::new();
    let port = hub.port.to_string();
    let up = |bind: &str| hub.home.ok(["hub", "up", "--bind", bind, "--port", &port]);
    let said = up(OWN);
    assert!(said.contains(&format!("serve.bind {OWN}")), "{said}");
    let _daemon = Daemon::start_with(&hub.home, ["serve"]);
    let code = hub.home.ok(["fleet", "invite"]);
    assert!(code.contains(&format!("@{OWN}:")), "{code}");
    // Whoever wants loopback has it.
    hub.home.ok(["config", "set", "serve.bind", "127.0.0.1"]);
    up(OWN);
    assert_eq!(hub.home.ok(["config", "get", "serve.bind"]), "127.0.0.1\n");
}
