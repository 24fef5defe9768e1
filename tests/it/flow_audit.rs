//! The audit chain as a user meets it: what `flow integrity-check` says, and an independent checker.

use std::fs;
use std::path::{Path, PathBuf};

use darkmux::config::{FlowConfig, Provenance};
use darkmux::flow::Flow;
use darkmux::model::{Category, FlowRecord, Level, MachineId, Stage, Tier};
use darkmux::util::Clock;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{Home, describe};

/// A home whose chain holds three days with three records each.
struct Bed {
    home: Home,
    audit: PathBuf,
}

impl Bed {
    fn new() -> Self {
        let home = Home::new();
        let audit = home.path().join("audit");
        let home = home.with("DARKMUX_AUDIT_DIR", audit.display().to_string());
        let provenance = Provenance { machine_id: MachineId::new("studio").unwrap(), orchestrator: None };
        let config = FlowConfig {
            dir: home.path().join("flows"),
            audit_dir: Some(audit.clone()),
            sync_always: false,
            provenance,
        };
        let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let clock = Clock::manual(start);
        let mut flow = Flow::new(config, clock.clone());
        for _ in 0..3 {
            for n in 0..3 {
                let class = (Level::Info, Category::Audit, Tier::Local, Stage::Review);
                let payload =
                    json!({ "n": n, "ratio": 0.1 + 0.2, "tiny": 2.450_663_108_338_48e-293, "t": "ä\"\\" });
                let record = FlowRecord { payload: Some(payload), ..FlowRecord::new(class, "catch", "odd") };
                flow.append(record).unwrap();
            }
            clock.advance(SignedDuration::from_hours(24));
        }
        Self { home, audit }
    }

    fn path(&self, day: &str) -> PathBuf {
        self.audit.join(format!("2026-01-{day}.jsonl"))
    }

    /// Exit status, stdout and the JSON.
    fn check(&self) -> (i32, String, Value) {
        let plain = self.home.run(["flow", "integrity-check"]);
        let json = self.home.run(["flow", "integrity-check", "--json"]);
        assert_eq!(plain.status.code(), json.status.code(), "{} {}", describe(&plain), describe(&json));
        let document = serde_json::from_slice(&json.stdout).unwrap();
        (plain.status.code().unwrap(), String::from_utf8(plain.stdout).unwrap(), document)
    }
}

#[test]
fn an_intact_chain_is_0_with_a_line_a_file() {
    let bed = Bed::new();
    let (status, text, document) = bed.check();
    assert_eq!(status, 0);
    let expected: String = ["01", "02", "03"]
        .map(|day| format!("✓ valid  {}  (3 record(s))\n", bed.path(day).display()))
        .concat();
    assert_eq!(text, expected);
    let path = bed.path("02").display().to_string();
    assert_eq!(document[1], json!({ "path": path, "records_checked": 3, "chain_valid": true }));
}

#[test]
fn no_chain_is_0_and_an_unreadable_one_is_1() {
    let home = Home::new();
    let output = home.run(["flow", "integrity-check", "--json"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"[]\n"[..]));
    let output = home.run(["flow", "integrity-check", "--path", "/does/not/exist"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
}

#[test]
fn every_damage_is_2_and_names_file_line_and_reason() {
    type Damage = fn(&Bed);
    let damages: [(&str, &str, Option<u64>, Damage); 8] = [
        ("01", "hash mismatch", Some(3), |bed| {
            edit(&bed.path("01"), |text| replace_in_line(text, 3, "odd", "even"));
        }),
        ("02", "does not cover", Some(2), |bed| {
            edit(&bed.path("02"), |text| replace_in_line(text, 2, "{\"ts\"", "{\"evil\":1,\"ts\""));
        }),
        ("03", "cut short", Some(4), |bed| edit(&bed.path("03"), |text| first_lines(text, 3))),
        ("02", "cut short", Some(3), |bed| edit(&bed.path("02"), |text| first_lines(text, 2))),
        ("02", "missing", None, |bed| fs::remove_file(bed.path("02")).unwrap()),
        ("03", "missing", None, |bed| fs::remove_file(bed.path("03")).unwrap()),
        ("02", "cut short", Some(1), |bed| fs::write(bed.path("02"), "").unwrap()),
        ("03", "cut short", Some(1), |bed| fs::write(bed.path("03"), "").unwrap()),
    ];
    for (day, reason, line, damage) in damages {
        let bed = Bed::new();
        damage(&bed);
        let (status, text, document) = bed.check();
        assert_eq!(status, 2, "{reason}: {text}");
        let broken: Vec<_> =
            document.as_array().unwrap().iter().filter(|file| file["chain_valid"] == false).collect();
        assert_eq!(broken.len(), 1, "{reason}: {text}");
        assert_eq!(broken[0]["path"], bed.path(day).display().to_string(), "{reason}");
        assert!(broken[0]["break_reason"].as_str().unwrap().contains(reason), "{reason}: {}", broken[0]);
        assert_eq!(broken[0]["break_at_line"].as_u64(), line, "{reason}: {text}");
        assert!(text.contains("✗ BROKEN") && text.contains("    reason: "), "{text}");
    }
    let bed = Bed::new();
    fs::remove_file(bed.audit.join("head.json")).unwrap();
    assert_eq!(bed.check().0, 2);
}

#[test]
fn one_file_can_be_checked_by_itself() {
    let bed = Bed::new();
    let path = bed.path("02");
    let path = path.to_str().unwrap();
    assert_eq!(bed.home.json(["flow", "integrity-check", "--path", path, "--json"])[0]["records_checked"], 3);
    fs::write(path, b"\xff\xff\n").unwrap();
    assert_eq!(bed.home.run(["flow", "integrity-check", "--path", path]).status.code(), Some(2));
}

#[test]
fn one_file_is_compared_with_the_head_beside_it_and_with_the_next_day() {
    type Damage = fn(&Bed);
    let damages: [(&str, &str, Damage); 4] = [
        ("03", "cut short: head.json", |bed| edit(&bed.path("03"), |text| first_lines(text, 3))),
        ("02", "cut short: the header of 2026-01-03", |bed| {
            edit(&bed.path("02"), |text| first_lines(text, 3));
        }),
        ("03", "cut short", |bed| fs::write(bed.path("03"), "").unwrap()),
        ("02", "cut short", |bed| fs::write(bed.path("02"), "").unwrap()),
    ];
    for (day, reason, damage) in damages {
        let bed = Bed::new();
        let check = |day: &str| {
            let path = bed.path(day).display().to_string();
            let output = bed.home.run(["flow", "integrity-check", "--path", &path, "--json"]);
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((document.as_array().unwrap().len(), &document[0]["path"]), (1, &json!(path)));
            (output.status.code(), document[0]["break_reason"].as_str().unwrap_or_default().to_owned())
        };
        for whole in ["01", "02", "03"] {
            assert_eq!(check(whole), (Some(0), String::new()), "{whole}");
        }
        damage(&bed);
        let (status, said) = check(day);
        assert!(status == Some(2) && said.contains(reason), "{reason}: {said}");
        // What is wrong with another file is not this one's fault.
        assert_eq!(check("01").0, Some(0), "{reason}");
    }
}

#[test]
fn a_damaged_end_is_in_the_status_at_a_glance() {
    type Damage = fn(&Bed);
    let damages: [(&str, Damage); 5] = [
        ("cut short", |bed| edit(&bed.path("03"), |text| first_lines(text, 3))),
        ("cut short", |bed| fs::write(bed.path("03"), "").unwrap()),
        ("is missing", |bed| fs::remove_file(bed.path("03")).unwrap()),
        ("was changed", |bed| edit(&bed.path("03"), |text| replace_in_line(text, 4, "odd", "eve"))),
        ("head.json is missing", |bed| fs::remove_file(bed.audit.join("head.json")).unwrap()),
    ];
    for (reason, damage) in damages {
        let bed = Bed::new();
        bed.home.ok(["flow", "status", "--json"]);
        damage(&bed);
        let output = bed.home.run(["flow", "status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &status["overall_state"]), (Some(1), &json!("fail")), "{reason}");
        assert!(status["audit"]["error"].as_str().unwrap().contains(reason), "{reason}: {status}");
    }
}

#[test]
fn a_folder_that_is_deleted_as_a_whole_is_noticed() {
    let bed = Bed::new();
    bed.home.ok(["flow", "note", "--text", "on"]);
    assert_eq!(bed.check().0, 0);
    for rest in [false, true] {
        fs::remove_dir_all(&bed.audit).unwrap();
        if rest {
            fs::create_dir(&bed.audit).unwrap();
        }
        let (status, text, _) = bed.check();
        assert!(status == 2 && text.contains("is gone"), "{text}");
        assert_eq!(bed.home.run(["flow", "status"]).status.code(), Some(1));
        let doctor = bed.home.run(["doctor"]);
        assert!(String::from_utf8_lossy(&doctor.stdout).contains("is gone"), "{}", describe(&doctor));

        // The next record begins another chain, which says so.
        bed.home.ok(["flow", "note", "--text", "anew"]);
        bed.home.ok(["flow", "status"]);
        let (status, text, document) = bed.check();
        assert!(status == 0 && document[0]["records_checked"] == 2, "{text}");
        for folder in [bed.audit.clone(), bed.home.darkmux().join("flows")] {
            let days = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let day = days.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).max().unwrap();
            let newest = fs::read_to_string(day).unwrap().lines().last().unwrap().to_owned();
            assert!(newest.contains("audit.chain_restarted"), "{newest}");
        }
    }
}

#[test]
fn a_broken_chain_takes_no_record_says_so_and_leaves_a_trace() {
    let bed = Bed::new();
    fs::remove_file(bed.path("03")).unwrap();
    let output = bed.home.run(["flow", "note", "--text", "important"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["not in the audit chain", "integrity-check", "to start a new chain, move", "evidence"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let file = fs::read_dir(bed.home.darkmux().join("flows")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[1]["action"], &lines[2]["action"]), (&json!("note"), &json!("audit.write_failed")));
    assert_eq!(lines[2]["payload"]["dropped_action"], "note");

    // The way out that the message names.
    fs::rename(&bed.audit, bed.home.path().join("evidence")).unwrap();
    bed.home.ok(["flow", "note", "--text", "anew"]);
    assert_eq!(bed.check().0, 0);
}

#[test]
fn a_chain_goes_on_over_processes() {
    let bed = Bed::new();
    for n in 0..5 {
        bed.home.ok(["flow", "note", "--text", &format!("note {n}")]);
    }
    let (status, text, document) = bed.check();
    assert_eq!(status, 0, "{text}");
    assert_eq!(document[3]["records_checked"], 5);
    let status = bed.home.json(["flow", "status", "--json"]);
    assert_eq!(status["overall_state"], "ok");
    assert_eq!(status["sinks"]["active_kinds"], json!(["AuditFile", "LocalFile"]));
    assert_eq!(status["audit"]["head"]["count"], 5);
    for file in fs::read_dir(&bed.audit).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "jsonl") {
            let count = checked_as_1_9_does(&path).unwrap();
            assert!(count == 3 || count == 5);
        }
    }
}

#[test]
fn the_independent_checker_looks() {
    let bed = Bed::new();
    edit(&bed.path("01"), |text| replace_in_line(text, 3, "odd", "even"));
    assert!(checked_as_1_9_does(&bed.path("01")).is_err());
}

/// A record with the keys that 1.9 knows, in its order.
#[derive(Serialize, Deserialize)]
struct Known {
    ts: String,
    level: String,
    category: String,
    tier: String,
    stage: String,
    action: String,
    handle: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sprint_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mission_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestrator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    work_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
}

/// The rules of 1.9's checker: each file begins with the hash of its header line; a record is parsed, written
/// again without its hash, and hashed. Returns the number of records.
fn checked_as_1_9_does(path: &Path) -> Result<usize, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let mut lines = text.lines();
    let header = lines.next().ok_or("no header")?;
    let parsed: Value = serde_json::from_str(header).map_err(|error| error.to_string())?;
    if parsed["_type"] != "schema" {
        return Err("no schema header".into());
    }
    let mut prev = blake3::hash(header.as_bytes()).to_hex().to_string();
    let mut count = 0;
    for line in lines {
        let mut record: Known = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let hash = record.hash.take().ok_or("no hash")?;
        if record.prev_hash.as_ref() != Some(&prev) {
            return Err(format!("prev_hash of record {count}"));
        }
        let body = serde_json::to_string(&record).map_err(|error| error.to_string())?;
        if blake3::hash(body.as_bytes()).to_hex().as_str() != hash {
            return Err(format!("hash of record {count}"));
        }
        prev = hash;
        count += 1;
    }
    Ok(count)
}

fn edit(path: &Path, change: impl Fn(&str) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed);
    fs::write(path, changed).unwrap();
}

fn replace_in_line(text: &str, line: usize, from: &str, to: &str) -> String {
    let lines = text.split_inclusive('\n').enumerate();
    lines.map(|(n, one)| if n + 1 == line { one.replacen(from, to, 1) } else { one.to_owned() }).collect()
}

fn first_lines(text: &str, count: usize) -> String {
    text.split_inclusive('\n').take(count).collect()
}

/// Linux only, as in `flow_write`.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_breaks_no_chain() {
    let home = Home::new();
    let audit = home.path().join("audit");
    let home = home.with("DARKMUX_AUDIT_DIR", audit.display().to_string());
    let script = r#"
        head -c 16384 /dev/zero >"$1/ballast"
        text=$(head -c 700 /dev/zero | tr '\0' x)
        kept=0
        while "$2" flow note --text "$kept $text" 2>"$3/said"; do kept=$((kept + 1)); test $kept -lt 200; done
        "$2" flow integrity-check >"$3/full"
        rm "$1/ballast"
        "$2" flow note --text after
        "$2" flow integrity-check >"$3/after"
        cp "$1"/*.jsonl "$3/chain"
        echo $kept
    "#;
    let output = crate::flow_write::on_a_small_disk(&home, &audit, script);
    assert!(output.status.success(), "{}", describe(&output));
    let kept: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let found = |name: &str| fs::read_to_string(home.path().join("found").join(name)).unwrap();
    assert!(found("said").contains("not in the audit chain"), "{}", found("said"));
    assert!(found("full").contains(&format!("({kept} record(s))")), "{}", found("full"));
    assert!(found("after").contains(&format!("({} record(s))", kept + 1)), "{}", found("after"));
    assert_eq!(checked_as_1_9_does(&home.path().join("found/chain")), Ok(kept + 1));
}
