//! `darkmux service`: units that real parsers take, run by stand-ins of launchd and systemd that do what those do.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::managers::{Managers, python};
use crate::support::{Daemon, Home, Running, describe, free_port, is_alive, signal, wait_for};

/// The managers, and the files that each needs for the daemon and the nightly check.
const MANAGERS: [(&str, &[&str]); 2] = [
    (
        "launchd",
        &[
            "Library/LaunchAgents/com.darkmux.serve.plist",
            "Library/LaunchAgents/com.darkmux.flow-integrity-check.plist",
        ],
    ),
    (
        "systemd",
        &[
            ".config/systemd/user/darkmux.service",
            ".config/systemd/user/darkmux-integrity.service",
            ".config/systemd/user/darkmux-integrity.timer",
        ],
    ),
];

/// A home with this manager, whose daemon takes a port of its own.
fn home_with(manager: &str) -> (Managers, Home) {
    let managers =
        Managers::of(if manager == "launchd" { &["launchctl"] } else { &["systemctl", "loginctl"] });
    let home = managers.home().with("DARKMUX_SERVE_PORT", free_port().to_string());
    (managers, home)
}

fn daemon_pid(home: &Home) -> Option<i64> {
    let text = fs::read(home.darkmux().join("daemon.json")).ok()?;
    let pid = serde_json::from_slice::<Value>(&text).ok()?["pid"].as_i64()?;
    is_alive(pid).then_some(pid)
}

fn status(home: &Home) -> Value {
    let output = home.run(["service", "status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", describe(&output)))
}

fn refused<const N: usize>(home: &Home, args: [&str; N], code: i32, says: &str) {
    let output = home.run(args);
    assert_eq!(output.status.code(), Some(code), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{says}: {}", describe(&output));
}

#[test]
fn the_daemon_is_kept_running_and_sessions_outlive_it() {
    for (manager, files) in MANAGERS {
        let (managers, home) = home_with(manager);
        let paths: Vec<PathBuf> = files.iter().map(|file| home.path().join(file)).collect();
        // Looking changes nothing.
        let shown = home.ok(["service", "install", "--dry-run"]);
        assert!(files.iter().all(|file| shown.contains(file)) && shown.contains("$ "), "{shown}");
        assert!(managers.calls().is_empty() && !home.darkmux().join("logs").exists(), "{manager}");
        assert_eq!(home.run(["service", "status"]).status.code(), Some(1));

        home.ok(["service", "install"]);
        assert!(paths.iter().all(|path| path.exists()), "{manager}");
        assert!(!managers.calls().is_empty());
        let mut first = daemon_pid(&home).expect("a daemon");
        let found = status(&home);
        assert_eq!(
            (&found["manager"], &found["advice"]),
            (&manager.into(), &Value::Array(vec![])),
            "{found:#}"
        );
        assert_eq!(
            (&found["daemon"]["is_service"], &found["daemon"]["same_version"]),
            (&true.into(), &true.into())
        );
        assert_eq!(found["services"][0]["state"]["pid"], first);
        assert!(home.ok(["service", "status"]).contains("the same as this"));

        // Again is nothing new.
        home.ok(["service", "install"]);
        assert_eq!(managers.calls(), Vec::<String>::new(), "{manager}");
        assert_eq!(daemon_pid(&home), Some(first));

        home.ok(["service", "install", "--restart"]);
        let before = std::mem::replace(&mut first, daemon_pid(&home).expect("a daemon"));
        assert!(before != first && !is_alive(before), "{manager}");
        home.ok(["session", "new", "--name", "long", "-d", "--", "sleep", "600"]);
        signal(first, "KILL");
        let second = wait_for("the next daemon", || daemon_pid(&home).filter(|pid| *pid != first));
        let restarted = wait_for("the manager to tell", || {
            let found = status(&home);
            (found["daemon"]["is_service"] == true).then_some(found)
        });
        assert!(restarted["services"][0]["state"]["restarts"].as_u64() >= Some(1), "{restarted:#}");
        let is_running = || home.json(["session", "ls", "--json"]).to_string().contains("\"running\"");
        assert!(is_running(), "{manager}");

        home.ok(["service", "uninstall"]);
        assert!(!is_alive(second) && paths.iter().all(|path| !path.exists()), "{manager}");
        assert!(is_running(), "{manager}");
        let again = home.run(["service", "uninstall"]);
        assert!(describe(&again).contains("no service is installed"), "{}", describe(&again));
    }
}

#[test]
fn a_property_list_is_one_for_another_parser_and_says_what_it_should() {
    let (_managers, home) = home_with("launchd");
    let home = home.with("DARKMUX_ORCHESTRATOR", "a <b> & \"c\" %d $e");
    home.ok(["service", "install", "--", "--slots", "3"]);
    let read = |file: &str| -> Value {
        let program = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
        let output =
            Command::new(python()).args(["-c", program]).arg(home.path().join(file)).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", describe(&output)))
    };
    let serve = read(MANAGERS[0].1[0]);
    let log = home.darkmux().join("logs/serve.log").display().to_string();
    assert_eq!(serve["Label"], "com.darkmux.serve");
    let words: Vec<&str> =
        serve["ProgramArguments"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(Path::new(words[0]).is_file() && words[1..] == ["serve", "--slots", "3"], "{words:?}");
    for key in ["RunAtLoad", "KeepAlive", "AbandonProcessGroup"] {
        assert_eq!(serve[key], true, "{key}");
    }
    assert_eq!((&serve["ThrottleInterval"], &serve["ProcessType"]), (&10.into(), &"Interactive".into()));
    assert_eq!(
        (&serve["StandardOutPath"], &serve["StandardErrorPath"]),
        (&log.as_str().into(), &log.as_str().into())
    );
    assert_eq!(serve["EnvironmentVariables"]["DARKMUX_ORCHESTRATOR"], "a <b> & \"c\" %d $e");
    assert_eq!(serve["EnvironmentVariables"]["DARKMUX_MACHINE_ID"], "testbox");
    let nightly = read(MANAGERS[0].1[1]);
    assert_eq!(nightly["StartCalendarInterval"], serde_json::json!({ "Hour": 4, "Minute": 15 }));
    assert_eq!(nightly["RunAtLoad"], false);
    assert_eq!(nightly["ProgramArguments"][2], "integrity-check");
}

#[test]
fn units_are_those_that_systemd_takes_and_say_what_they_should() {
    let (managers, home) = home_with("systemd");
    let home = home.with("DARKMUX_ORCHESTRATOR", "a <b> & \"c\" %d $e");
    home.ok(["service", "install"]);
    let units: Value = serde_json::from_slice(&fs::read(managers.state("units.json")).unwrap()).unwrap();
    assert_eq!(units["darkmux.service"]["env"]["DARKMUX_ORCHESTRATOR"], "a <b> & \"c\" %d $e");
    let text = fs::read_to_string(home.path().join(MANAGERS[1].1[0])).unwrap();
    for line in ["Restart=always", "KillMode=process", "OOMPolicy=continue", "StartLimitIntervalSec=0"] {
        assert!(text.lines().any(|have| have == line), "{line} in {text}");
    }
    let timer = fs::read_to_string(home.path().join(MANAGERS[1].1[2])).unwrap();
    assert!(timer.contains("OnCalendar=*-*-* 04:15:00") && timer.contains("Persistent=true"), "{timer}");

    let verify = |file: &str| {
        Command::new("systemd-analyze")
            .args(["--user", "verify"])
            .arg(home.path().join(file))
            .env("XDG_RUNTIME_DIR", home.path())
            .output()
    };
    for file in MANAGERS[1].1 {
        // A machine without systemd has no such program; the stand-in has read the units strictly.
        let Ok(output) = verify(file) else { continue };
        let said = describe(&output);
        assert!(output.status.success() && output.stderr.is_empty(), "{file}: {said}");
    }
}

#[test]
fn what_is_there_already_is_shown_kept_beside_and_replaced() {
    for (manager, files) in MANAGERS {
        let (managers, home) = home_with(manager);
        let path = home.path().join(files[0]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "canary of 1.9\n").unwrap();
        let shown = home.ok(["service", "install", "--dry-run"]);
        assert!(shown.contains("another one is there") && !shown.contains("canary"), "{shown}");
        home.ok(["service", "install"]);
        let before = path.with_file_name(format!("{}.before", path.file_name().unwrap().to_str().unwrap()));
        assert_eq!(fs::read_to_string(&before).unwrap(), "canary of 1.9\n", "{manager}");
        let first = daemon_pid(&home).expect("a daemon");

        // Another unit is another daemon.
        managers.calls();
        home.ok(["service", "install", "--", "--no-runner"]);
        let second = daemon_pid(&home).expect("a daemon");
        assert!(second != first && !is_alive(first), "{manager}");
        assert!(fs::read_to_string(&path).unwrap().contains("--no-runner"));
        // Somebody stopped it.
        let stop = match manager {
            "launchd" => {
                vec!["launchctl".to_owned(), "bootout".to_owned(), Managers::target("com.darkmux.serve")]
            }
            _ => ["systemctl", "--user", "disable", "--now", "darkmux.service"].map(str::to_owned).to_vec(),
        };
        home.command(&stop[0]).args(&stop[1..]).output().unwrap();
        wait_for("it to be gone", || (!is_alive(second)).then_some(()));
        let found = status(&home);
        assert!(found["advice"][0].as_str().unwrap().contains("service install"), "{found:#}");
        home.ok(["service", "install", "--", "--no-runner"]);
        assert!(daemon_pid(&home).is_some(), "{manager}");
    }
}

#[test]
fn secrets_are_in_no_unit_no_argument_and_no_output() {
    const CANARY: &str = "canary-Pw7Q";
    let (managers, home) = home_with("systemd");
    let home = home
        .with("DARKMUX_REDIS_URL", format!("redis://:{CANARY}@127.0.0.1:9"))
        .with("DARKMUX_SERVE_TOKEN", "ca9a".repeat(16));
    // A daemon that would silently do without Redis is none.
    refused(&home, ["service", "install"], 2, "redis.password_file");
    assert!(!home.path().join(MANAGERS[1].1[0]).exists());
    home.ok(["config", "set", "redis.url", "redis://127.0.0.1:9"]);
    let output = home.run(["service", "install"]);
    let said = describe(&output);
    assert!(output.status.success() && said.contains("DARKMUX_SERVE_TOKEN holds a secret"), "{said}");
    let mut all = said + &describe(&home.run(["service", "status"])) + &managers.calls().join("\n");
    for file in MANAGERS[1].1 {
        all += &fs::read_to_string(home.path().join(file)).unwrap();
    }
    all += &fs::read_to_string(managers.state("units.json")).unwrap();
    assert!(!all.contains(CANARY) && !all.contains("ca9aca9a"), "{all}");
}

#[test]
fn what_cannot_be_is_said_before_anything_is_written() {
    let (managers, home) = home_with("launchd");
    refused(&home, ["service", "install", "--", "--bnid", "x"], 2, "--bnid");
    refused(&home, ["service", "install", "--", "--flows-dir", "x"], 2, "absolute path");
    let daemon = Daemon::start(&home);
    refused(&home, ["service", "install"], 1, &format!("kill {}", daemon.process.pid()));
    let found = status(&home);
    assert_eq!(found["daemon"]["is_service"], false, "{found:#}");
    assert!(managers.calls().is_empty() && !home.path().join(MANAGERS[0].1[0]).exists());

    let none = Managers::none();
    let home = none.home();
    refused(&home, ["service", "install"], 1, "no service manager answers");
    refused(&home, ["service", "uninstall"], 1, "no service manager answers");
    refused(&home, ["service", "logs"], 1, "there is no log");
    let status = home.run(["service", "status"]);
    assert!(status.status.code() == Some(1) && describe(&status).contains("none"), "{}", describe(&status));
}

#[test]
fn a_daemon_that_does_not_start_is_told_with_its_log_and_seen_by_the_doctor() {
    let (_managers, home) = home_with("systemd");
    // An address of a tailnet that this machine has not.
    let home = home.with("DARKMUX_SERVE_BIND", "100.127.255.254");
    let output = home.run(["service", "install"]);
    let said = describe(&output);
    assert!(output.status.code() == Some(1) && said.contains("does not answer within 20 s"), "{said}");
    assert!(said.contains("can't listen on 100.127.255.254"), "{said}");
    // Between two tries its process is there for a moment.
    wait_for("the doctor to meet it between two tries", || {
        let report = home.run(["doctor", "--json"]);
        let report: Value = serde_json::from_slice(&report.stdout).ok()?;
        let check = report["checks"].as_array()?.iter().find(|check| check["name"] == "service")?.clone();
        let is_told = check["finding"].as_str()?.contains("status 1");
        (check["state"] == "fail" && is_told).then_some(())
    });
    assert!(home.ok(["service", "logs", "-n", "2"]).contains("100.127.255.254"));
    home.ok(["service", "uninstall"]);
}

#[test]
fn logs_are_followed_over_their_end_and_take_a_bounded_place() {
    let (_managers, home) = home_with("systemd");
    let home = home.with("DARKMUX_SERVICE_LOG_BYTES", "16384").with("DARKMUX_LOG", "debug");
    let logs = home.darkmux().join("logs");
    fs::create_dir_all(&logs).unwrap();
    // One that failed again and again before.
    fs::write(logs.join("serve.log"), "old\n".repeat(10_000)).unwrap();
    home.ok(["service", "install"]);
    assert_eq!(fs::metadata(logs.join("serve.log.1")).unwrap().len(), 40_000);

    let mut command = home.cmd(["service", "logs", "-f", "-n", "0"]);
    let mut follower = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    let out = follower.0.stdout.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    // Each request is a line of the log.
    let port: u16 = home.vars().find(|(name, _)| *name == "DARKMUX_SERVE_PORT").unwrap().1.parse().unwrap();
    let mut heard: Vec<String> = Vec::new();
    wait_for("lines of before and after the log was put aside", || {
        for _ in 0..50 {
            let _ = ask_health(port);
        }
        heard.extend(told.try_iter());
        let newest = fs::read_to_string(logs.join("serve.log")).ok()?;
        let is_over = logs.join("serve.log.2").exists() && newest.len() > 200;
        (is_over && heard.iter().any(|line| newest.contains(line))).then_some(())
    });
    follower.kill();
    heard.extend(told.iter());
    // What was heard is what was written, without a hole.
    let names = ["serve.log.4", "serve.log.3", "serve.log.2", "serve.log.1", "serve.log"];
    let written: String = names.iter().filter_map(|name| fs::read_to_string(logs.join(name)).ok()).collect();
    let written: Vec<&str> = written.lines().collect();
    let start = written.iter().position(|line| *line == heard[0]).expect("a line that was heard");
    assert_eq!(heard, written[start..start + heard.len()]);
    let last = home.ok(["service", "logs", "-n", "150"]);
    assert_eq!(last.lines().count(), 150, "they reach into the log before");
    let files = fs::read_dir(&logs).unwrap().count();
    assert!(files <= 7, "{files}");
}

fn ask_health(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let request = format!("GET /health HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

#[test]
fn the_doctor_knows_what_keeps_a_mac_awake() {
    const PMSET: &str = "System-wide power settings:\n SleepDisabled\t\t0\nCurrently in use:\n standby 1\n \
                         Sleep On Power Button 1\n disksleep            10\n \
                         sleep                1 (sleep prevented by caffeinate)\n autorestart          0\n womp 1\n";
    let managers = Managers::of(&["launchctl", "pmset"]);
    let home = managers.home().with("DARKMUX_SERVE_PORT", free_port().to_string());
    fs::write(managers.state("pmset"), PMSET).unwrap();
    // On a busy machine the stand-in may take longer than the doctor waits.
    let check = || {
        wait_for("the doctor to be answered", || {
            let report: Value = serde_json::from_slice(&home.run(["doctor", "--json"]).stdout).ok()?;
            let check = report["checks"].as_array()?.iter().find(|check| check["name"] == "sleep")?.clone();
            (!check["finding"].as_str()?.contains("does not tell")).then_some(check)
        })
    };
    assert_eq!(check()["state"], "pass", "nobody counts on it");
    home.ok(["service", "install"]);
    let found = check();
    assert_eq!(
        (found["state"].as_str(), found["fix"].as_str()),
        (Some("warn"), Some("sudo pmset -a sleep 0 disksleep 0 autorestart 1"))
    );
    let well =
        PMSET.replace("10\n", "0\n").replace("1 (", "0 (").replace("autorestart          0", "autorestart 1");
    fs::write(managers.state("pmset"), well).unwrap();
    assert_eq!(check()["state"], "pass");
}

/// What a service's environment lacks stands in a file of the daemon's own.
#[test]
fn service_env_reaches_the_daemon_and_what_it_starts() {
    use crate::support::api::Api;
    let home = Home::new().with("DARKMUX_RUNNER_ENV", "CANARY_KEY");
    let home_file = home.darkmux().join("service.env");
    fs::create_dir_all(home.darkmux()).unwrap();
    fs::write(&home_file, "# keys\nexport CANARY_KEY='of the file'\nDARKMUX_RUNNER_ENV=never\n").unwrap();
    fs::set_permissions(&home_file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    refused(&home, ["serve", "--port", "0"], 2, "chmod 600");
    fs::set_permissions(&home_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let api = Api::of(home);
    let id = api.sh("echo \"[$CANARY_KEY] [$DARKMUX_RUNNER_ENV]\"");
    api.ended(&id);
    let shown = api.get(&format!("/v1/sessions/{id}/scrollback")).text();
    assert!(shown.contains("[of the file] [CANARY_KEY]"), "the environment wins: {shown}");
    let (_managers, home) = home_with("systemd");
    let home = home.with("DARKMUX_RUNNER_ENV", "CANARY_KEY");
    let warned = |home: &Home| {
        describe(&home.run(["service", "install", "--dry-run"])).contains("runner.env names CANARY_KEY")
    };
    assert!(warned(&home));
    fs::create_dir_all(home.darkmux()).unwrap();
    let file = home.darkmux().join("service.env");
    fs::write(&file, "CANARY_KEY=x\n").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(!warned(&home));
}
