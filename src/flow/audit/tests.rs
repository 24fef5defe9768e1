//! The chain as a whole: appended to, damaged, checked.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::model::{Category, Day, FlowRecord, Level, Stage, Tier};

struct Bed {
    dir: TempDir,
    chain: AuditChain,
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn record(handle: impl Into<String>) -> FlowRecord {
    let class = (Level::Info, Category::Audit, Tier::Local, Stage::Review);
    FlowRecord { ts: "2026-11-21T23:32:07Z".into(), ..FlowRecord::new(class, "catch", handle) }
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chain = AuditChain::new(dir.path().to_owned());
        Self { dir, chain }
    }

    /// Three days with one, two and three records.
    fn of_three_days() -> Self {
        let mut bed = Self::new();
        for (at, text) in ["2026-11-20", "2026-11-21", "2026-11-23"].into_iter().enumerate() {
            for n in 0..=at {
                bed.add(text, &format!("{text} {n}"));
            }
        }
        bed
    }

    fn add(&mut self, on: &str, handle: &str) {
        self.chain.append(&record(handle), day(on)).unwrap();
    }

    fn path(&self, on: &str) -> PathBuf {
        self.dir.path().join(format!("{on}.jsonl"))
    }

    fn read(&self, on: &str) -> String {
        fs::read_to_string(self.path(on)).unwrap()
    }

    fn write(&self, on: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(on), text).unwrap();
    }

    fn verdicts(&self) -> Vec<FileVerdict> {
        check(self.dir.path()).unwrap()
    }

    /// The broken files with their reasons.
    fn broken(&self) -> Vec<(String, String)> {
        let broken = self.verdicts().into_iter().filter(FileVerdict::is_broken);
        broken
            .map(|verdict| {
                let name = verdict.path.rsplit('/').next().unwrap().to_owned();
                (name, verdict.break_reason.unwrap())
            })
            .collect()
    }

    fn only_break(&self) -> (String, String) {
        let broken = self.broken();
        assert_eq!(broken.len(), 1, "{broken:?}");
        broken.into_iter().next().unwrap()
    }

    fn refusal(&mut self, on: &str) -> String {
        match self.chain.append(&record("late"), day(on)) {
            Err(error @ AuditError::Refused { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_chain_over_days_is_valid_and_counted() {
    let bed = Bed::of_three_days();
    assert_eq!(bed.broken(), []);
    assert_eq!(bed.verdicts().iter().map(|file| file.records_checked).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(bed.read("2026-11-23").starts_with(r#"{"_type":"schema","chain":1,"#));
    assert!(bed.read("2026-11-23").contains(r#""prev_count":2,"prev_day":"2026-11-21","#));
    let head = Head::read(bed.dir.path()).unwrap().unwrap();
    assert_eq!((head.first_day, head.day, head.count), (day("2026-11-20"), day("2026-11-23"), 3));
}

#[test]
fn two_writers_and_a_clock_that_goes_back_keep_one_chain() {
    let mut bed = Bed::of_three_days();
    let mut other = AuditChain::new(bed.dir.path().to_owned());
    for n in 0..4 {
        other.append(&record("other"), day("2026-11-23")).unwrap();
        bed.add(if n % 2 == 0 { "2026-11-20" } else { "2026-11-23" }, "mine");
    }
    other.append(&record("next"), day("2026-11-24")).unwrap();
    bed.add("2026-11-23", "late for its day");
    assert_eq!(bed.broken(), []);
    assert_eq!(bed.read("2026-11-20").lines().count(), 2);
    assert_eq!(bed.read("2026-11-24").lines().count(), 3);
}

#[test]
fn what_is_missing_is_found() {
    let mut bed = Bed::of_three_days();
    fs::remove_file(bed.path("2026-11-21")).unwrap();
    let (name, reason) = bed.only_break();
    assert!(
        name == "2026-11-21.jsonl" && reason.contains("missing") && reason.contains("2 records"),
        "{reason}"
    );
    // A file from the middle does not stop the chain, the end of it does.
    bed.add("2026-11-23", "on");

    let mut bed = Bed::of_three_days();
    fs::remove_file(bed.path("2026-11-23")).unwrap();
    assert!(bed.only_break().1.contains("missing: head.json counts 3"));
    assert!(bed.refusal("2026-11-23").contains("it is missing"));
    assert!(!bed.path("2026-11-23").exists(), "a refused append makes no file");

    let mut bed = Bed::of_three_days();
    fs::remove_file(bed.dir.path().join("head.json")).unwrap();
    assert_eq!(bed.only_break().0, "head.json");
    let said = bed.refusal("2026-11-24");
    assert!(said.contains("integrity-check") && said.contains("start a new chain"), "{said}");
}

#[test]
fn what_was_cut_or_emptied_is_found() {
    for on in ["2026-11-20", "2026-11-21", "2026-11-23"] {
        for keep in 0..2 {
            let mut bed = Bed::of_three_days();
            let text = bed.read(on);
            let kept: String = text.split_inclusive('\n').take(keep).collect();
            bed.write(on, &kept);
            let (name, reason) = bed.only_break();
            assert!(name.starts_with(on) && reason.contains("cut short"), "{keep} of {on}: {reason}");
            if on == "2026-11-23" {
                assert!(bed.refusal("2026-11-24").contains("held"), "{keep}");
            }
        }
    }
}

#[test]
fn what_was_changed_moved_or_added_is_found() {
    type Edit = fn(&str) -> String;
    let edits: [(&str, Edit); 5] = [
        ("hash mismatch", |text| text.replace("-23 1\"", "-23 9\"")),
        ("does not cover", |text| text.replacen("{\"ts\"", "{\"evil\":true,\"ts\"", 1)),
        ("prev_hash is not", |text| {
            let mut lines: Vec<_> = text.split_inclusive('\n').collect();
            lines.remove(2);
            lines.concat()
        }),
        ("prev_hash is not", |text| text.replacen("\"chain\":1", "\"chain\":2", 1)),
        ("no schema header", |text| text.lines().skip(1).fold(String::new(), |all, line| all + line + "\n")),
    ];
    for (expected, edit) in edits {
        let bed = Bed::of_three_days();
        bed.write("2026-11-23", edit(&bed.read("2026-11-23")));
        let (name, reason) = bed.only_break();
        assert!(name.starts_with("2026-11-23") && reason.contains(expected), "{expected}: {reason}");
    }
    let bed = Bed::of_three_days();
    fs::copy(bed.path("2026-11-20"), bed.path("2026-11-22")).unwrap();
    assert!(bed.only_break().0.starts_with("2026-11-22"));
}

#[test]
fn a_crash_between_line_and_head_is_rolled_forward() {
    let mut bed = Bed::of_three_days();
    let head = fs::read(bed.dir.path().join("head.json")).unwrap();
    bed.add("2026-11-23", "after the head");
    bed.add("2026-11-24", "on a day after the head");
    fs::write(bed.dir.path().join("head.json"), &head).unwrap();
    assert_eq!(bed.broken(), []);
    bed.add("2026-11-24", "on");
    assert_eq!(bed.broken(), []);
    assert_eq!(bed.read("2026-11-24").lines().count(), 3);
    assert_eq!(Head::read(bed.dir.path()).unwrap().unwrap().count, 2);

    // What follows the head and is not of the chain is refused.
    let mut bed = Bed::of_three_days();
    bed.write("2026-11-23", bed.read("2026-11-23") + "{\"ts\":\"x\"}\n");
    assert!(bed.only_break().1.contains("no prev_hash"));
    assert!(bed.refusal("2026-11-23").contains("breaks at line 5"));
}

#[test]
fn a_first_append_that_was_cut_anywhere_is_begun_again() {
    let mut bed = Bed::new();
    bed.add("2026-11-20", "first");
    let whole = bed.read("2026-11-20");
    let line = whole.find('\n').unwrap() + 1;
    for cut in (0..=whole.len()).step_by(11).chain([line - 1, line, line + 1, whole.len() - 1, whole.len()]) {
        let mut bed = Bed::new();
        Head::beginning(day("2026-11-20")).write(bed.dir.path()).unwrap();
        bed.write("2026-11-20", &whole[..cut]);
        bed.add("2026-11-21", "on");
        assert_eq!(bed.path("2026-11-20").exists(), cut >= line, "{cut}");
        assert_eq!(bed.broken(), [], "cut at {cut}");
    }
}

#[test]
fn a_chain_of_1_9_is_continued_and_anchored() {
    // A file of 1.9: no chain key, no head.
    let old = |bed: &Bed, on: &str, many: usize| {
        let header = r#"{"_type":"schema","darkmux_version":"1.9.0","version":"1.14.0"}"#;
        let (mut text, mut prev) = (format!("{header}\n"), link::hash(header.as_bytes()));
        for n in 0..many {
            let (line, hash) = link::seal(&record(format!("old {n}")), &prev).unwrap();
            text = text + std::str::from_utf8(&line).unwrap() + "\n";
            prev = hash;
        }
        bed.write(on, text);
    };
    // Of the day itself: appended to.
    let mut bed = Bed::new();
    old(&bed, "2026-11-20", 3);
    assert_eq!(bed.broken(), []);
    bed.add("2026-11-20", "ours");
    assert_eq!((bed.broken(), bed.verdicts()[0].records_checked), (vec![], 4));
    // Of an earlier day, and of a day in between that 1.9 wrote: linked.
    old(&bed, "2026-11-21", 2);
    bed.add("2026-11-22", "ours");
    assert_eq!(bed.broken(), []);
    fs::remove_file(bed.path("2026-11-21")).unwrap();
    assert!(bed.only_break().1.contains("missing"));
    // A broken one of an earlier day: reported, a chain of its own begins.
    let mut bed = Bed::new();
    old(&bed, "2026-11-20", 3);
    bed.write("2026-11-20", bed.read("2026-11-20").replace("old 1", "new 1"));
    bed.add("2026-11-21", "ours");
    assert!(bed.only_break().0.starts_with("2026-11-20"));
    // A broken one of the day itself: refused.
    let mut bed = Bed::new();
    old(&bed, "2026-11-20", 3);
    bed.write("2026-11-20", bed.read("2026-11-20").replace("old 1", "new 1"));
    assert!(bed.refusal("2026-11-20").contains("breaks at line 3"));
}

#[test]
fn a_file_of_2_9_is_reported_as_not_verified() {
    let mut bed = Bed::new();
    bed.write(
        "2026-11-20",
        "{\"_type\":\"schema\",\"hash_format\":\"prefix-blake3-v1\",\"version\":\"1.20.0\"}\nabc {}\n",
    );
    let verdict = bed.verdicts().remove(0);
    assert_eq!(verdict.chain_valid, None);
    assert!(verdict.note.unwrap().contains("prefix-blake3-v1"));
    assert!(bed.refusal("2026-11-20").contains("2.9"));
    bed.add("2026-11-21", "ours");
    assert_eq!(bed.broken(), []);
}

#[test]
fn garbage_is_a_break_and_no_crash() {
    for garbage in [&b"\xff\xfe\n"[..], b"\n", b"null\n", &vec![b'x'; 5 * 1024 * 1024], &[0; 4096]] {
        let bed = Bed::of_three_days();
        let mut bytes = fs::read(bed.path("2026-11-21")).unwrap();
        bytes.extend_from_slice(garbage);
        bed.write("2026-11-21", bytes);
        let (name, _) = bed.only_break();
        assert!(name.starts_with("2026-11-21"));
    }
    let bed = Bed::of_three_days();
    fs::write(bed.dir.path().join("head.json"), "{").unwrap();
    assert_eq!(bed.only_break().0, "head.json");
    let bed = Bed::of_three_days();
    fs::remove_file(bed.path("2026-11-21")).unwrap();
    std::os::unix::fs::symlink("2026-11-20.jsonl", bed.path("2026-11-21")).unwrap();
    assert!(bed.only_break().1.contains("can't be opened"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_tail_cut_anywhere_is_refused_or_only_unfinished(at in any::<prop::sample::Index>()) {
        let mut bed = Bed::of_three_days();
        let acknowledged = fs::metadata(bed.path("2026-11-23")).unwrap().len();
        let head = fs::read(bed.dir.path().join("head.json")).unwrap();
        bed.add("2026-11-23", "not acknowledged");
        fs::write(bed.dir.path().join("head.json"), &head).unwrap();
        let text = bed.read("2026-11-23");
        let cut = at.index(text.len() + 1);
        bed.write("2026-11-23", &text[..cut]);
        if (cut as u64) < acknowledged {
            prop_assert_eq!(bed.broken().len(), 1);
            prop_assert!(bed.refusal("2026-11-23").contains("held"));
        } else {
            prop_assert_eq!(bed.broken(), []);
            bed.add("2026-11-23", "on");
            prop_assert_eq!(bed.broken(), []);
            prop_assert_eq!(bed.read("2026-11-23").lines().count(), if cut == text.len() { 6 } else { 5 });
        }
    }
}
