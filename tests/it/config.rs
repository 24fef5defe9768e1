//! Configuration as a user meets it.

use std::os::unix::fs::MetadataExt;

use crate::support::{Daemon, Home, describe};

#[test]
fn a_set_value_is_kept_listed_with_its_origin_and_beaten_by_the_environment() {
    let home = Home::new();
    home.ok(["config", "set", "serve.port", "9000"]);
    assert_eq!(home.ok(["config", "get", "serve.port"]), "9000\n");
    let listed = home.ok(["config", "list", "--origin"]);
    let row = listed.lines().find(|line| line.starts_with("serve.port")).unwrap();
    assert!(row.contains("9000") && row.contains("file"), "{row}");

    let home = home.with("DARKMUX_SERVE_PORT", "9001");
    let port = home.json(["config", "get", "serve.port", "--json"]);
    assert_eq!(port["value"], 9001);
    assert_eq!(port["origin"], "env DARKMUX_SERVE_PORT");
    let file = home.darkmux().join("config.json");
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(home.darkmux()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    let home = Home::new();
    for output in [home.run(["config", "set", "serve.prot", "1"]), {
        std::fs::create_dir_all(home.darkmux()).unwrap();
        std::fs::write(home.darkmux().join("config.json"), r#"{"serve":{"prot":1}}"#).unwrap();
        home.run(["config", "list"])
    }] {
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("serve.prot") && said.contains("did you mean `serve.port`?"), "{said}");
    }
}

#[test]
fn keys_that_attach_would_refuse_are_not_set() {
    let home = Home::new();
    for keys in ["bogus", "d", "", "ctrl-a b c d"] {
        let output = home.run(["config", "set", "session.detach_key", keys]);
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("session.detach_key") && said.contains("ctrl-a d"), "{said}");
    }
    assert_eq!(home.ok(["config", "get", "session.detach_key"]), "ctrl-\\\n");
    home.ok(["config", "set", "session.detach_key", "ctrl-a d"]);
    assert_eq!(home.ok(["config", "get", "session.detach_key"]), "ctrl-a d\n");
    home.ok(["config", "set", "session.detach_key", "--unset"]);
    assert_eq!(home.ok(["config", "get", "session.detach_key"]), "ctrl-\\\n");
}

#[test]
fn a_config_of_1_9_is_valid() {
    let home = Home::new();
    std::fs::create_dir_all(home.darkmux()).unwrap();
    let file = r#"{"schema_version":"1.0","machine_id":"studio","orchestrator":"claude-code",
        "dirs":{"flows":"~/flows"},"redis":{"enabled":false,"host":"127.0.0.1","port":6379,"db":0,
        "stream":"darkmux:flow","maxlen":10000},"audit":{"enabled":false},"runtime":{"max_turns":50}}"#;
    std::fs::write(home.darkmux().join("config.json"), file).unwrap();
    assert_eq!(home.ok(["config", "get", "orchestrator"]), "claude-code\n");
}

#[test]
fn a_folder_of_the_current_directory_is_never_asked() {
    let home = Home::new();
    let here = home.path().join("project");
    std::fs::create_dir_all(here.join(".darkmux")).unwrap();
    std::fs::write(here.join(".darkmux/config.json"), r#"{"serve":{"port":1}}"#).unwrap();
    let output = home.cmd(["config", "get", "serve.port"]).current_dir(&here).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "8765\n", "{}", describe(&output));
}

#[test]
fn the_machine_id_that_was_made_is_shown_and_none_is_made_for_showing_it() {
    let home = Home::new().with("DARKMUX_MACHINE_ID", "");
    let kept = home.darkmux().join("machine-id");
    let shown = || home.json(["config", "get", "machine_id", "--json"]);
    assert_eq!(home.run(["config", "get", "machine_id"]).status.code(), Some(1));
    home.ok(["config", "list", "--origin"]);
    assert!(!kept.exists(), "a look makes no machine id");

    home.ok(["flow", "note", "hello"]);
    let made = std::fs::read_to_string(&kept).unwrap();
    assert_eq!(home.ok(["config", "get", "machine_id"]), made);
    let listed = home.ok(["config", "list", "--origin"]);
    let row = listed.lines().find(|line| line.starts_with("machine_id")).unwrap();
    assert!(row.contains(made.trim()) && row.contains("machine-id file"), "{row}");
    assert_eq!(shown()["origin"], "machine-id file");

    home.ok(["config", "set", "machine_id", "studio"]);
    assert_eq!((shown()["value"].as_str(), shown()["origin"].as_str()), (Some("studio"), Some("file")));
}

#[test]
fn what_is_unset_leaves_no_empty_group_and_everything_else() {
    let home = Home::new();
    let file = home.darkmux().join("config.json");
    let text = || serde_json::from_slice::<serde_json::Value>(&std::fs::read(&file).unwrap()).unwrap();
    home.ok(["config", "set", "serve.port", "9000"]);
    home.ok(["config", "set", "serve.bind", "127.0.0.1"]);
    home.ok(["config", "set", "--unset", "serve.port"]);
    assert_eq!(text(), serde_json::json!({ "serve": { "bind": "127.0.0.1" } }));
    home.ok(["config", "set", "--unset", "serve.bind"]);
    home.ok(["config", "set", "--unset", "session.grace"]);
    assert_eq!(text(), serde_json::json!({}));
}

#[test]
fn a_setting_says_that_the_daemon_reads_it_at_its_start_and_doctor_says_so_until_then() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let pid = daemon.process.pid();
    let set = |value: &str| {
        let output = home.run(["config", "set", "runner.slots", value]);
        String::from_utf8(output.stderr).unwrap()
    };
    let said = set("3");
    assert!(
        said.contains(&format!("the daemon (pid {pid}) reads this at its next start: kill {pid}")),
        "{said}"
    );
    assert_eq!(set("3"), "", "nothing is different");
    let check = || {
        let output = home.run(["doctor", "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == "daemon").unwrap().clone()
    };
    let found = check();
    assert!(
        found["state"] == "warn" && found["finding"].as_str().unwrap().contains("config.json"),
        "{found}"
    );
    drop(daemon);
    assert_eq!(set("4"), "", "none runs");
    let _daemon = Daemon::start(&home);
    assert_eq!(check()["state"], "pass");
}

#[test]
fn a_mistake_in_the_file_does_not_hide_behind_its_variable() {
    let home = Home::new().with("DARKMUX_SERVE_PORT", "0");
    std::fs::create_dir_all(home.darkmux()).unwrap();
    std::fs::write(home.darkmux().join("config.json"), r#"{"serve":{"port":"abc"}}"#).unwrap();
    let output = home.run(["config", "list"]);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
}

#[test]
fn what_the_disk_refuses_is_no_mistake_and_what_is_unset_is_said() {
    let home = Home::new().with("DARKMUX_MACHINE_ID", "");
    let output = home.run(["config", "get", "machine_id"]);
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{}", describe(&output));
    assert!(describe(&output).contains("machine_id is not set"), "{}", describe(&output));
    // Nobody makes folders there.
    let home = home.with("DARKMUX_HOME", "/proc/darkmux");
    let output = home.run(["crew", "dispatch", "shell", "-m", "true"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(
        describe(&output).contains("set DARKMUX_HOME to a folder that can be written"),
        "{}",
        describe(&output)
    );
}
