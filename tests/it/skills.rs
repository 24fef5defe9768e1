//! `darkmux skills`: what is written where, and what is left alone.

use std::fs;

use crate::support::{Home, describe};

#[test]
fn a_skill_comes_goes_and_is_kept_up_to_date() {
    let home = Home::new();
    let none = home.run(["skills", "install", "--yes"]);
    assert_eq!(none.status.code(), Some(1), "{}", describe(&none));
    fs::create_dir(home.path().join(".claude")).unwrap();
    let file = home.path().join(".claude/skills/darkmux/SKILL.md");
    let would = home.ok(["skills", "install", "--dry-run"]);
    assert!(would.starts_with("would write ") && !file.exists(), "{would}");
    // Nobody is there to be asked.
    assert_eq!(home.run(["skills", "install"]).status.code(), Some(2));
    assert!(!file.exists());
    home.ok(["skills", "install", "--yes"]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with("---\nname: darkmux\n")
            && text.starts_with(&home.ok(["skills", "install", "--print"]))
    );
    assert_eq!(home.ok(["skills", "install", "--yes"]), "", "it is there already");
    home.ok(["skills", "uninstall", "--yes"]);
    assert!(!file.exists() && !file.parent().unwrap().exists());
    home.ok(["skills", "install", "--yes", "--for", "agents"]);
    assert!(home.path().join(".agents/skills/darkmux/SKILL.md").exists() && !file.exists());
}

#[test]
fn what_somebody_changed_is_left_alone() {
    let home = Home::new();
    home.ok(["skills", "install", "--yes", "--for", "claude"]);
    let file = home.path().join(".claude/skills/darkmux/SKILL.md");
    let mine = fs::read_to_string(&file).unwrap().replace("# darkmux", "# my darkmux");
    fs::write(&file, &mine).unwrap();
    for verb in ["install", "uninstall"] {
        let output = home.run(["skills", verb, "--yes"]);
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        assert!(describe(&output).contains("left alone"), "{}", describe(&output));
        assert_eq!(fs::read_to_string(&file).unwrap(), mine);
    }
    // A link leads to what somebody keeps elsewhere.
    let elsewhere = home.path().join("elsewhere.md");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert_eq!(home.run(["skills", "install", "--yes"]).status.code(), Some(1));
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), mine);
}
