//! Writing to the flow: the verbs, the bytes on the disk, many writers, killed writers, a full disk.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use darkmux::config::{FlowConfig, Provenance};
use darkmux::flow::Flow;
use darkmux::model::{Category, FlowRecord, Level, MachineId, Stage, Tier};
use darkmux::util::Clock;
use serde_json::{Value, json};

use crate::support::{BIN, Home, Running, describe};

/// The only day file of a home.
fn day_file(home: &Home) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(home.darkmux().join("flows")).unwrap().collect();
    assert_eq!(files.len(), 1, "one day, unless the test ran over midnight");
    files.remove(0).unwrap().path()
}

/// The lines of the only day file, the header apart.
fn records(home: &Home) -> Vec<Value> {
    let text = fs::read_to_string(day_file(home)).unwrap();
    let header = text.lines().next().unwrap();
    assert!(header.starts_with(r#"{"_type":"schema","darkmux_version":""#), "{header}");
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A record as 1.9 would have it: without `record_id`, and without what differs from run to run.
fn words(record: &Value) -> Value {
    let mut record = record.clone();
    let fields = record.as_object_mut().unwrap();
    for key in ["ts", "record_id", "machine_uid"] {
        fields.remove(key);
    }
    record
}

fn config(dir: PathBuf, audit_dir: Option<PathBuf>) -> FlowConfig {
    let machine_id = MachineId::new("studio").unwrap();
    let provenance = Provenance { machine_id, orchestrator: Some("claude-code".into()) };
    FlowConfig { dir, audit_dir, sync_always: false, provenance }
}

fn record(handle: impl Into<String>) -> FlowRecord {
    let class = (Level::Info, Category::Work, Tier::Operator, Stage::Scope);
    FlowRecord::new(class, "note", handle)
}

#[test]
fn a_line_is_that_of_1_9_but_for_the_record_id() {
    let home = Home::new().with("DARKMUX_MACHINE_ID", "studio").with("DARKMUX_ORCHESTRATOR", "claude-code");
    assert_eq!(home.ok(["flow", "note", "--text", "hello wire"]), "");
    let text = fs::read_to_string(day_file(&home)).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0].replace(env!("CARGO_PKG_VERSION"), "1.9.0"),
        r#"{"_type":"schema","darkmux_version":"1.9.0","version":"1.14.0"}"#
    );
    // What the 1.9.0 binary wrote for the same command.
    let golden = r#"{"ts":"2026-11-21T23:32:07Z","level":"info","category":"work","tier":"operator","stage":"scope","action":"note","handle":"hello wire","machine_id":"studio","orchestrator":"claude-code"}"#;
    let made: Value = serde_json::from_str(lines[1]).unwrap();
    let id = made["record_id"].as_str().unwrap();
    let mut expected = golden.replace("2026-11-21T23:32:07Z", made["ts"].as_str().unwrap());
    if let Some(uid) = made["machine_uid"].as_str() {
        expected =
            expected.replace(",\"orchestrator\"", &format!(",\"machine_uid\":\"{uid}\",\"orchestrator\""));
    }
    assert_eq!(lines[1].replace(&format!(",\"record_id\":\"{id}\""), ""), expected);
}

#[test]
fn a_record_with_everything_keeps_the_order_of_1_9() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual("2026-11-21T23:34:49Z".parse().unwrap());
    let mut flow = Flow::new(config(dir.path().join("flows"), None), clock);
    // What the 1.9.0 binary wrote at the end of a dispatch.
    let golden = r#"{"ts":"2026-11-21T23:34:49Z","level":"info","category":"work","tier":"local","stage":"dispatch","action":"dispatch complete","handle":"coder","session_id":"crew-dispatch-coder-1795304087798530-internal","source":"crew_dispatch","model":"m1","machine_id":"studio","machine_uid":"U","orchestrator":"o","payload":{"completion_tokens":20,"exit_code":0,"prompt_tokens":100,"result_class":"ok","runtime":"internal","stderr_chars":0,"stdout_chars":42,"total_compactions":1,"total_tokens":120,"total_tools":1,"total_turns":1,"wall_ms":1753}}"#;
    let given: FlowRecord = serde_json::from_str(golden).unwrap();
    flow.append(given).unwrap();
    let text = fs::read_to_string(dir.path().join("flows/2026-11-21.jsonl")).unwrap();
    let line = text.lines().nth(1).unwrap();
    let (start, id) = line.split_once(",\"record_id\":\"").unwrap();
    assert_eq!(format!("{start}}}"), golden);
    assert_eq!(id.len(), 36 + 2);
}

#[test]
fn every_verb_writes_its_words_and_says_nothing() {
    let home = Home::new();
    for output in [
        home.run([
            "flow",
            "note",
            "plain words",
            "--sprint-id",
            "sp",
            "--session-id",
            "se",
            "--source",
            "me",
        ]),
        home.run(["flow", "catch", "--text", "odd"]),
        home.run([
            "flow",
            "record",
            "--level",
            "debug",
            "--category",
            "telemetry",
            "--tier",
            "local",
            "--stage",
            "ship",
            "--action",
            "my.event",
            "--handle",
            "h",
            "--reasoning",
            "r",
            "--mission-id",
            "m",
            "--source",
            "s",
        ]),
        home.run(["flow", "tier-decision", "--decision", "local", "--reasoning", "small"]),
        home.run([
            "flow",
            "tier-decision",
            "--decision",
            "frontier",
            "--reasoning",
            "large",
            "--role-chosen",
            "coder",
        ]),
    ] {
        assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{}", describe(&output));
    }
    let decided = json!({
        "level": "info", "category": "audit", "tier": "frontier", "stage": "tier-decision",
        "action": "tier-decision", "machine_id": "testbox",
    });
    let with = |handle: &str, reasoning: &str| {
        let mut record = decided.clone();
        record["handle"] = handle.into();
        record["reasoning"] = reasoning.into();
        record
    };
    let made: Vec<_> = records(&home).iter().map(words).collect();
    assert_eq!(
        made,
        [
            json!({"level": "info", "category": "work", "tier": "operator", "stage": "scope", "action": "note",
                "handle": "plain words", "sprint_id": "sp", "session_id": "se", "source": "me", "machine_id": "testbox"}),
            json!({"level": "warn", "category": "audit", "tier": "operator", "stage": "review", "action": "catch",
                "handle": "odd", "machine_id": "testbox"}),
            json!({"level": "debug", "category": "telemetry", "tier": "local", "stage": "ship", "action": "my.event",
                "handle": "h", "reasoning": "r", "mission_id": "m", "source": "s", "machine_id": "testbox"}),
            with("local", "[local] small"),
            with("coder", "[frontier] large"),
        ]
    );
}

#[test]
fn wrong_words_are_2_and_write_nothing() {
    let home = Home::new();
    for output in [
        home.run(["flow", "note"]),
        home.run(["flow", "note", "--text", ""]),
        home.run(["flow", "note", "a", "--text", "b"]),
        home.run(["flow", "record", "--level", "loud"]),
        home.run(["flow", "tier-decision", "--decision", "x"]),
    ] {
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    }
    assert!(!home.darkmux().join("flows").exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_1_and_says_what_to_do() {
    let home = Home::new();
    fs::create_dir_all(home.darkmux()).unwrap();
    fs::write(home.darkmux().join("flows"), "a file").unwrap();
    let output = home.run(["flow", "note", "--text", "x"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not in the flow") && said.contains("check the folder"), "{said}");
}

#[test]
fn notes_from_stdin_are_a_record_a_line() {
    let home = Home::new();
    let mut child = home.cmd(["flow", "note", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let long = "ä".repeat(100_000);
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("one\r\n\n  \n two \n{long}\n\u{1b}[2J").as_bytes()).unwrap();
    input.write_all(b"\xff\n").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    let handles: Vec<_> =
        records(&home).iter().map(|record| record["handle"].as_str().unwrap().to_owned()).collect();
    assert_eq!([&handles[0], &handles[1], &handles[3]], ["one", " two ", "\u{1b}[2J\u{fffd}"]);
    assert!(handles[2].starts_with("ää") && handles[2].ends_with("[truncated: 200000 bytes in all]"));
    let text = fs::read_to_string(day_file(&home)).unwrap();
    assert!(text.lines().all(|line| line.len() < 64 * 1024));
}

#[test]
fn tail_shows_text_safely_and_records_as_they_are() {
    let home = Home::new();
    assert_eq!(home.ok(["flow", "tail"]), "");
    home.ok(["flow", "note", "--text", "\u{1b}[2J\nfaked line", "--session-id", "s1"]);
    home.ok(["flow", "note", "--text", "other"]);
    let file = day_file(&home);
    let mut torn = fs::OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(b"{\"torn\":").unwrap();
    home.ok(["flow", "note", "--text", "after a torn line"]);

    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let ts = |line: &str| serde_json::from_str::<Value>(line).unwrap()["ts"].as_str().unwrap().to_owned();
    let expected = format!(
        "{} testbox note \\u{{1b}}[2J\\u{{a}}faked line s1\n{} testbox note other\n{} testbox note after a torn line\n",
        ts(lines[1]),
        ts(lines[2]),
        ts(lines[4])
    );
    let output = home.run(["flow", "tail"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 lines of"), "{}", describe(&output));
    let raw = home.ok(["flow", "tail", "--json"]);
    assert_eq!(raw, format!("{}\n{}\n{}\n", lines[1], lines[2], lines[4]));
    assert_eq!(home.ok(["flow", "tail", "--json", "--session", "s1"]), format!("{}\n", lines[1]));
    assert_eq!(home.ok(["flow", "tail", "--session", "s"]), "");
}

#[test]
fn tail_follows_what_other_processes_write() {
    let home = Home::new();
    home.ok(["flow", "note", "--text", "before"]);
    let mut tail = Running(home.cmd(["flow", "tail", "-f"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().ends_with(" note before"));
    for n in 0..3 {
        home.ok(["flow", "catch", "--text", &format!("live {n}")]);
        assert!(next().ends_with(&format!(" catch live {n}")));
    }
}

#[test]
fn two_processes_write_20_000_lines_and_none_is_mixed() {
    const EACH: usize = 10_000;
    let home = Home::new();
    let writers: Vec<_> = ["left", "right"]
        .map(|name| {
            let path = home.path().join(name);
            let lines: Vec<_> = (0..EACH).map(|n| format!("{name} {n} {}", "x".repeat(n % 400))).collect();
            fs::write(&path, lines.join("\n")).unwrap();
            let input = fs::File::open(&path).unwrap();
            (name, home.cmd(["flow", "note", "-"]).stdin(input).spawn().unwrap())
        })
        .into_iter()
        .collect();
    for (name, mut writer) in writers {
        assert!(writer.wait().unwrap().success(), "{name}");
    }
    let records = records(&home);
    assert_eq!(records.len(), 2 * EACH);
    for name in ["left", "right"] {
        let handles = records.iter().map(|record| record["handle"].as_str().unwrap());
        let of_one: Vec<_> = handles.filter(|handle| handle.starts_with(name)).collect();
        let expected: Vec<_> = (0..EACH).map(|n| format!("{name} {n} {}", "x".repeat(n % 400))).collect();
        assert_eq!(of_one, expected, "in the order in which they were written");
    }
    let ids: BTreeSet<_> = records.iter().map(|record| record["record_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2 * EACH);
}

/// Not a test: the process that `a_killed_writer…` kills. Appends to the flow in the folder that the variable
/// names and tells of every record after its append returned; the variable is set for this child alone.
#[test]
#[ignore = "a helper process of another test"]
fn acknowledging_writer() {
    let Some(dir) = std::env::var_os("FLOW_WRITE_DIR") else { return };
    let dir = PathBuf::from(dir);
    let mut flow = Flow::new(config(dir.join("flows"), Some(dir.join("audit"))), Clock::System);
    let mut stdout = std::io::stdout().lock();
    for n in 0.. {
        let handle = format!("{} {n}", std::process::id());
        flow.append(record(handle.clone())).unwrap();
        writeln!(stdout, "\nkept {handle}").unwrap();
    }
}

/// This test binary as a process that runs one of its helpers.
pub fn helper(name: &str, dir: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture"]).env("FLOW_WRITE_DIR", dir);
    command
}

#[test]
fn a_killed_writer_loses_no_record_that_it_had_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    for round in 0..12 {
        let mut writer = helper("flow_write::acknowledging_writer", dir.path());
        let mut writer = writer.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut said = lines.map(|line| line.unwrap()).filter(|line| line.starts_with("kept "));
        kept.extend(said.by_ref().take(1 + round * 3));
        writer.kill().unwrap();
        // What it had said before it died.
        kept.extend(said.filter(|line| line.split(' ').count() == 3));
        writer.wait().unwrap();
    }
    for folder in ["flows", "audit"] {
        let mut found = Vec::new();
        for file in fs::read_dir(dir.path().join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|end| end != "jsonl") {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            found.extend(text.lines().skip(1).map(|line| {
                let record: Value = serde_json::from_str(line).expect("no torn line");
                format!("kept {}", record["handle"].as_str().unwrap())
            }));
        }
        let set: BTreeSet<_> = found.iter().collect();
        assert_eq!(set.len(), found.len(), "{folder}: a record came twice");
        for handle in &kept {
            assert!(set.contains(handle), "{folder}: {handle} is lost");
        }
    }
    let home = Home::new();
    let audit = dir.path().join("audit");
    home.ok(["flow", "integrity-check", "--path", audit.to_str().unwrap()]);
}

/// Runs a shell script (`$1` the folder, `$2` darkmux, `$3` a folder for what it found) with a file system of
/// 64 KiB mounted at the folder, as this user.
#[cfg(target_os = "linux")]
pub fn on_a_small_disk(home: &Home, at: &std::path::Path, script: &str) -> Output {
    fs::create_dir_all(at).unwrap();
    let found = home.path().join("found");
    fs::create_dir_all(&found).unwrap();
    let user = rustix::process::geteuid().as_raw();
    // Where users may not mount in a namespace of their own, root mounts and the script runs as the user.
    let own = r#"mount -t tmpfs -o size=64k,mode=700 none "$1" && exec sh -euc "$4" sh "$1" "$2" "$3""#;
    let by_root = format!(
        r#"mount -t tmpfs -o size=64k,mode=700,uid={user} none "$1" &&
        exec setpriv --reuid={user} --clear-groups env "HOME=$HOME" sh -euc "$4" sh "$1" "$2" "$3""#
    );
    let run = |program: &str, first: &[&str], mount: &str| {
        let mut command = home.command(program);
        command.args(first).args(["sh", "-c", mount, "sh"]).arg(at).arg(BIN).arg(&found).arg(script);
        command.output().expect("mounting needs `unshare -rm` to work, or `sudo -n`")
    };
    let probe =
        home.command("unshare").args(["-rm", "mount", "-t", "tmpfs", "none"]).arg(at).output().unwrap();
    if probe.status.success() {
        return run("unshare", &["-rm"], own);
    }
    run("sudo", &["-n", "--preserve-env", "unshare", "-m"], &by_root)
}

/// Linux only: macOS has no way to mount without asking.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_visibly_leaves_nothing_torn_and_goes_on_by_itself() {
    let home = Home::new();
    let script = r#"
        head -c 16384 /dev/zero >"$1/ballast"
        text=$(head -c 700 /dev/zero | tr '\0' x)
        kept=0
        while "$2" flow note --text "$kept $text" 2>"$3/said"; do kept=$((kept + 1)); test $kept -lt 200; done
        status=0; "$2" flow note --text again 2>>"$3/said" || status=$?
        long=$(head -c 9000 /dev/zero | tr '\0' y)
        "$2" flow note --text "$long" 2>/dev/null && exit 9
        cp "$1"/*.jsonl "$3/full"
        rm "$1/ballast"
        "$2" flow note --text after
        cp "$1"/*.jsonl "$3/after"
        echo "$kept $status"
    "#;
    let output = on_a_small_disk(&home, &home.darkmux().join("flows"), script);
    assert!(output.status.success(), "{}", describe(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    let (kept, _) = told.trim().split_once(' ').unwrap();
    let kept: usize = kept.parse().unwrap();
    assert!((10..100).contains(&kept), "{told}");
    let said = fs::read_to_string(home.path().join("found/said")).unwrap();
    assert!(said.contains("not in the flow") && said.contains("Make room on the disk"), "{said}");

    let handles = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(home.path().join("found").join(name)).unwrap();
        assert!(text.ends_with('\n'), "a torn end");
        let whole = |line: &str| serde_json::from_str::<Value>(line).expect("no torn line");
        text.lines().skip(1).map(|line| whole(line)["handle"].as_str().unwrap().to_owned()).collect()
    };
    let (full, after) = (handles("full"), handles("after"));
    assert!(full[kept - 1].starts_with(&format!("{} x", kept - 1)), "an acknowledged record is lost");
    assert!(full[kept..].iter().all(|handle| handle == "again"));
    assert_eq!(after[..full.len()], full);
    assert_eq!(after[full.len()..], ["after"]);
}

/// Not a test: tells how many bytes this process read for two appends to the flow in the folder that the
/// variable names.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "a helper process of another test"]
fn counting_writer() {
    let Some(dir) = std::env::var_os("FLOW_WRITE_DIR") else { return };
    let dir = PathBuf::from(dir);
    let mut flow = Flow::new(config(dir.join("flows"), Some(dir.join("audit"))), Clock::System);
    let read = || -> u64 {
        let io = fs::read_to_string("/proc/self/io").unwrap();
        io.lines().next().unwrap().strip_prefix("rchar: ").unwrap().parse().unwrap()
    };
    let before = read();
    flow.append(record("first, opens the files")).unwrap();
    flow.append(record("second")).unwrap();
    println!("\nread {}", read() - before);
}

/// Linux only: `/proc` says how much a process read.
#[cfg(target_os = "linux")]
#[test]
fn what_an_append_reads_does_not_grow_with_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let appended = || -> u64 {
        let output = helper("flow_write::counting_writer", dir.path()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let read = told.lines().find_map(|line| line.strip_prefix("read "));
        read.unwrap_or_else(|| panic!("{}", describe(&output))).parse().unwrap()
    };
    appended();
    let small = appended();
    let mut flow = Flow::new(config(dir.path().join("flows"), Some(dir.path().join("audit"))), Clock::System);
    for _ in 0..40 {
        flow.append(record("x".repeat(60_000))).unwrap();
    }
    let large = appended();
    assert!(large <= small + 64, "{small} bytes were read before, {large} with 2 MB in each file");
}
