//! The agent's tools for files: `read`, `edit`, `write`, `search`, `plan`, on real folders.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use darkmux::agent::tools::{Confinement, PlanState, ToolLimits, ToolName};
use serde_json::json;

use crate::support::tools::Tools;

fn tools() -> Tools {
    Tools::with(ToolLimits::default(), |_, _| Confinement::Off)
}

#[test]
fn read_shows_numbered_lines_in_pages_and_says_what_a_file_is() {
    let mut tools = tools();
    let text = (1..=3000).map(|number| format!("line {number}")).collect::<Vec<_>>().join("\n") + "\n";
    for (name, bytes) in [
        ("long", text.as_bytes()),
        ("empty", b""),
        ("dos", b"\xef\xbb\xbfone\r\ntwo\r\n"),
        ("latin", b"gr\xfcn"),
        ("wide", b"\xff\xfeh\0i\0"),
        ("binary", b"\x7fELF\0\0"),
        ("line", "x".repeat(5000).as_bytes()),
    ] {
        fs::write(tools.root.join(name), bytes).unwrap();
    }
    let page = tools.ok("read", &json!({"path": "long", "offset": 10, "limit": "2"}));
    assert_eq!(page, "    10\tline 10\n    11\tline 11\n(lines 10 to 11 of 3000; offset=12 goes on)\n");
    for limit in [json!(null), json!(100_000)] {
        assert!(tools.ok("read", &json!({"path": "long", "limit": limit})).contains("offset=2001 goes on"));
    }
    fs::write(tools.root.join("wide lines"), format!("{}\n", "y".repeat(1500)).repeat(2000)).unwrap();
    let wide = tools.ok("read", &json!({"path": "wide lines"}));
    assert!(
        wide.len() < 2 * ToolLimits::default().answer_bytes && wide.contains(" goes on"),
        "{}",
        wide.len()
    );
    assert!(tools.ok("read", &json!({"path": "long", "offset": 2999})).ends_with("  3000\tline 3000\n"));
    assert!(tools.refused("read", &json!({"path": "long", "offset": 3001})).contains("has 3000 lines"));
    assert_eq!(tools.ok("read", &json!({"path": "empty"})), "(the file is empty)\n");
    let dos = tools.ok("read", &json!({"path": "dos"}));
    assert!(
        dos.starts_with("     1\tone\n     2\ttwo\n") && dos.contains("CRLF") && dos.contains("byte order"),
        "{dos}"
    );
    assert!(tools.ok("read", &json!({"path": "latin"})).contains("no UTF-8"));
    let wide = tools.ok("read", &json!({"path": "wide"}));
    assert!(wide.starts_with("     1\thi\n") && wide.contains("UTF-16"), "{wide}");
    assert!(tools.refused("read", &json!({"path": "binary"})).contains("is binary"));
    let line = tools.ok("read", &json!({"path": "line"}));
    assert!(line.len() < 2200 && line.contains("cut"), "{}", line.len());
    assert!(tools.ok("read", &json!({"path": "."})).contains("is a folder with 8 names:\nbinary\n"));
}

#[test]
fn text_in_utf_16_is_read_and_not_edited() {
    let mut tools = tools();
    let wide = |text: &str, big: bool| -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    for (name, big) in [("little", false), ("big", true)] {
        fs::write(tools.root.join(name), wide("grün\n🙂 two\n", big)).unwrap();
        let read = tools.ok("read", &json!({"path": name}));
        assert!(read.starts_with("     1\tgrün\n     2\t🙂 two\n") && read.contains("UTF-16"), "{read}");
        let words = tools.refused("edit", &json!({"path": name, "old_string": "two", "new_string": "2"}));
        assert!(words.contains("binary or UTF-16"), "{words}");
        assert_eq!(fs::read(tools.root.join(name)).unwrap(), wide("grün\n🙂 two\n", big));
    }
    fs::write(tools.root.join("huge"), wide(&"line\n".repeat(110_000), false)).unwrap();
    assert!(tools.refused("read", &json!({"path": "huge"})).contains("UTF-16 and larger than"));
}

#[test]
fn a_pipe_or_a_device_in_the_place_of_a_file_holds_nobody_up() {
    let mut tools = tools();
    let pipe = tools.root.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for tool in ["read", "edit", "write"] {
        let arguments = json!({"path": "pipe", "content": "x", "old_string": "a", "new_string": "b"});
        let words = tools.refused(tool, &arguments);
        assert!(words.contains("can't be read") || words.contains("is no file"), "{tool}: {words}");
    }
    assert_eq!(tools.ok("search", &json!({"pattern": "x"})), "No line was found.\n");
}

#[test]
fn an_edit_is_made_whole_or_not_at_all_and_keeps_what_it_does_not_touch() {
    let mut tools = tools();
    let path = tools.root.join("run.sh");
    fs::write(&path, b"#!/bin/sh\r\n# gr\xfcn\r\necho one\r\necho two").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o754)).unwrap();
    let done = tools.call(
        "edit",
        &json!({"path": "run.sh", "edits": [
            {"old_string": "one", "new_string": "1"},
            {"old_string": "1\necho two", "new_string": "1\necho 2\necho 3"},
        ]}),
    );
    assert!(done.ok, "{}", done.text);
    assert_eq!(done.changed, [std::path::Path::new("run.sh")]);
    assert_eq!(done.shown[..3], ["edited run.sh", "- echo one", "+ echo 1"]);
    assert_eq!(fs::read(&path).unwrap(), b"#!/bin/sh\r\n# gr\xfcn\r\necho 1\r\necho 2\r\necho 3");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o754);

    let before = fs::read(&path).unwrap();
    let words = tools.refused(
        "edit",
        &json!({"path": "run.sh", "edits": [
            {"old_string": "echo 1", "new_string": "echo one"},
            {"old_string": "\techo 2", "new_string": "echo two"},
        ]}),
    );
    assert!(words.contains("old_string of edit 2 is in the file only with other blanks"), "{words}");
    assert!(
        words.contains("begins with no blanks, yours with 1 tab") && words.contains("     4\techo 2"),
        "{words}"
    );
    assert!(words.ends_with("None of the edits was made."), "{words}");
    assert_eq!(fs::read(&path).unwrap(), before);

    // One edit without a list, as some models write it.
    tools.ok("edit", &json!({"path": "run.sh", "old_string": "echo 3", "new_string": ""}));
    assert!(fs::read(&path).unwrap().ends_with(b"\r\necho 2\r\n"));
    // And one beside it, as others do; the same again is the same.
    let both = json!({"path": "run.sh", "edits": [{"old_string": "echo 1", "new_string": "echo one"}],
        "old_string": "echo 2", "new_string": "echo two"});
    assert!(tools.ok("edit", &both).contains("2 places"));
    assert!(fs::read(&path).unwrap().ends_with(b"echo one\r\necho two\r\n"));
    let twice = json!({"path": "run.sh", "edits": [{"old_string": "one", "new_string": "1"}],
        "old_string": "one", "new_string": "1"});
    assert!(tools.ok("edit", &twice).contains("1 place "));
    fs::write(tools.root.join("bin"), b"a\0b").unwrap();
    let arguments = json!({"path": "bin", "old_string": "a", "new_string": "c"});
    assert!(tools.refused("edit", &arguments).contains("binary"));
    fs::write(tools.root.join("bin"), "a\n".repeat(9 * 1024 * 1024)).unwrap();
    assert!(tools.refused("edit", &arguments).contains("is larger than"));
    let left: Vec<_> = fs::read_dir(&tools.root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left beside: {left:?}");
}

#[test]
fn write_makes_folders_and_replaces_in_one_step() {
    let mut tools = tools();
    let made = tools.call("write", &json!({"path": "a/b/c.txt", "content": "one\ntwo"}));
    assert_eq!(made.text, "Made `a/b/c.txt`: 2 lines, 7 bytes.");
    assert_eq!(
        tools.ok("write", &json!({"path": "a/b/c.txt", "content": ""})),
        "Replaced `a/b/c.txt`: 0 lines, 0 bytes."
    );
    assert_eq!(tools.file("a/b/c.txt"), "");
    assert!(tools.refused("write", &json!({"path": "a/b", "content": "x"})).contains("is no file"));
    assert!(
        tools
            .refused("write", &json!({"path": "a/b/c.txt/d", "content": "x"}))
            .contains("is a file and no folder")
    );
    assert!(tools.refused("write", &json!({"path": ".git/hooks/x", "content": "x"})).contains("git's own"));
    assert!(!tools.root.join(".git").exists());
    fs::create_dir(tools.root.join(".git")).unwrap();
    symlink(".git", tools.root.join("linked")).unwrap();
    assert!(tools.refused("write", &json!({"path": "linked/config", "content": "x"})).contains("git's own"));
    assert!(!tools.root.join(".git/config").exists());
}

#[test]
fn no_path_of_a_file_tool_leads_out() {
    let mut tools = tools();
    let secret = tools.home.join(".ssh/id").display().to_string();
    symlink(&secret, tools.root.join("key")).unwrap();
    symlink("../.ssh", tools.root.join("keys")).unwrap();
    symlink("..", tools.root.join("up")).unwrap();
    let outside = [
        "../.ssh/id",
        "up/.ssh/id",
        "key",
        "keys/id",
        secret.as_str(),
        "/etc/passwd",
        "~/.ssh/id",
        "keys/new",
    ];
    for path in outside {
        for tool in ["read", "edit", "write", "search"] {
            let arguments = json!({
                "path": path, "pattern": "secret", "content": "x", "old_string": "the", "new_string": "no",
            });
            // A home folder's sign means nothing here: that is a name like any other.
            if path.starts_with('~') && tool == "write" {
                continue;
            }
            let words = tools.refused(tool, &arguments);
            let told = ["outside of the work directory", "leads out of the work directory", "there is no"];
            assert!(told.iter().any(|part| words.contains(part)), "{tool} {path}: {words}");
            assert!(!words.contains("secret key"), "{tool} {path}: {words}");
        }
    }
    assert_eq!(fs::read_to_string(tools.home.join(".ssh/id")).unwrap(), "the secret key");
    assert_eq!(fs::read_dir(tools.home.join(".ssh")).unwrap().count(), 1);
    assert_eq!(tools.ok("search", &json!({"pattern": "secret"})), "No line was found.\n");
}

#[test]
fn search_finds_what_git_would_and_nothing_hidden_or_binary() {
    let mut tools = tools();
    for (name, text) in [
        (".gitignore", "target/\n"),
        ("target/x.rs", "needle"),
        (".hidden/x.rs", "needle"),
        ("src/b.rs", "a\nNeedle (1)\n"),
        ("src/a.rs", "needle(1)\nneedle\n"),
        ("src/a.txt", "needle"),
        ("src/binary", "needle\0needle"),
    ] {
        let path = tools.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let all = tools.ok("search", &json!({"pattern": "needle"}));
    assert_eq!(all, "src/a.rs:1: needle(1)\nsrc/a.rs:2: needle\nsrc/a.txt:1: needle\n");
    assert_eq!(tools.ok("search", &json!({"pattern": "needle$", "glob": "*.rs"})), "src/a.rs:2: needle\n");
    assert!(
        tools
            .ok("search", &json!({"pattern": "NEEDLE", "ignore_case": true}))
            .contains("src/b.rs:2: Needle (1)")
    );
    let literal = tools.ok("search", &json!({"pattern": "needle(1", "path": "src/a.rs"}));
    assert!(
        literal.starts_with("src/a.rs:1: needle(1)\n") && literal.contains("taken literally"),
        "{literal}"
    );
    assert!(tools.ok("search", &json!({"pattern": "needle", "hidden": true})).contains(".hidden/x.rs:1"));
    assert_eq!(tools.ok("search", &json!({"glob": "*.rs"})), "src/a.rs\nsrc/b.rs\n");
    let few = tools.ok("search", &json!({"pattern": "needle", "max_results": 1}));
    assert_eq!(few, "src/a.rs:1: needle(1)\n(1 of 3 lines; narrow it with `path` or `glob`)\n");
    assert!(tools.refused("search", &json!({})).contains("give a `pattern`"));
    assert!(tools.refused("search", &json!({"pattern": "x", "glob": "a{"})).contains("is no glob"));
    assert!(
        tools.refused("search", &json!({"pattern": "x", "path": "srcs"})).contains("did you mean `src`?")
    );
}

#[test]
fn a_search_is_bounded_in_results_and_in_time() {
    let mut tools = tools();
    fs::write(tools.root.join("many"), "needle\n".repeat(100_000)).unwrap();
    fs::write(tools.root.join("wide"), format!("needle {}", "x".repeat(1_000_000))).unwrap();
    let text = tools.ok("search", &json!({"pattern": "needle", "max_results": 100_000}));
    assert!(text.len() < 60_000 && text.contains("of at least "), "{}", text.len());
    // A line that no search may hold; what stands before it is found.
    fs::write(tools.root.join("line"), format!("cone\n{}", "x".repeat(20 * 1024 * 1024))).unwrap();
    let text = tools.ok("search", &json!({"pattern": "cone"}));
    assert!(text.starts_with("line:1: cone\n(1 file not looked at to the end: "), "{text}");
    let limits = ToolLimits { search_timeout: std::time::Duration::ZERO, ..ToolLimits::default() };
    let mut late = Tools::with(limits, |_, _| Confinement::Off);
    fs::write(late.root.join("a"), "needle").unwrap();
    assert!(late.ok("search", &json!({"pattern": "needle"})).contains("before everything was looked at"));
}

#[test]
fn calls_that_are_none_are_answered_in_words() {
    let mut tools = tools();
    assert!(tools.refused("serach", &json!({})).contains("did you mean `search`?"));
    assert!(tools.refused("rm\u{1b}[2J", &json!({})).contains("The tools are: search, read,"));
    assert!(tools.refused("read", &json!({"file": "x"})).contains("It takes {`path`, `offset`?, `limit`?}"));
    assert!(tools.refused("read", &json!([])).contains("no JSON object"));
    let plan = tools.call("plan", &json!({"items": [{"text": "look", "state": "done"}, {"text": "mend"}]}));
    assert_eq!(plan.shown, ["[x] look", "[ ] mend"]);
    assert_eq!(tools.toolbox.plan()[1].state, PlanState::Pending);
    let names: Vec<_> = tools.toolbox.specs().iter().map(|spec| spec.name).collect();
    assert_eq!(names, ["search", "read", "edit", "write", "bash", "plan"]);
}

#[test]
fn what_is_not_in_the_palette_is_refused_and_does_nothing() {
    let mut tools = Tools::of_palette(&[ToolName::Search, ToolName::Read]);
    for (tool, arguments) in [
        ("write", json!({"path": "made", "content": "x"})),
        ("bash", json!({"command": "touch made"})),
        ("edit", json!({"path": "made", "old_string": "a", "new_string": "b"})),
        ("plan", json!({"items": []})),
    ] {
        let words = tools.refused(tool, &arguments);
        assert!(words.contains("may not use") && words.contains("The tools are: search, read."), "{words}");
    }
    assert!(!tools.root.join("made").exists());
    assert_eq!(tools.toolbox.specs().len(), 2);
}

#[test]
fn what_a_person_sees_of_a_call_is_short_and_says_what_is_left_out() {
    let mut tools = tools();
    let items: Vec<_> =
        (1..=50).map(|number| json!({"text": format!("{number} {}", "x".repeat(190))})).collect();
    let shown = tools.call("plan", &json!({"items": items})).shown;
    assert!(shown.len() == 17 && shown[16] == "… 34 more", "{shown:?}");
    assert!(shown.iter().all(|line| line.chars().count() <= 170), "{shown:?}");
}
