//! Help, manual and completions: every verb explains itself, and the shells get answers.

use std::collections::BTreeSet;
use std::process::Output;

use crate::support::{BIN, Home, describe};

/// Verbs that `--help` does not list.
const HIDDEN: &[&[&str]] =
    &[&["dispatch"], &["machine"], &["role"], &["hook"], &["host-session"], &["run-agent"]];

fn help(home: &Home, path: &[String]) -> Output {
    home.command(BIN).args(path).arg("--help").output().unwrap()
}

/// The verbs under `Commands:` of a help text.
fn verbs(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let rows = listed.take_while(|line| !line.is_empty());
    // A line that is indented further goes on with the one before.
    let names = rows.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    names.filter_map(|rest| rest.split_whitespace().next().map(str::to_owned)).collect()
}

/// Every verb with its help text, found by following the help.
fn all_helps(home: &Home) -> Vec<(String, String)> {
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    open.extend(HIDDEN.iter().map(|path| path.iter().map(|word| (*word).to_owned()).collect()));
    let mut helps = Vec::new();
    while let Some(path) = open.pop() {
        let output = help(home, &path);
        assert_eq!(output.status.code(), Some(0), "{path:?}: {}", describe(&output));
        assert!(output.stderr.is_empty(), "{path:?}: {}", describe(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        open.extend(verbs(&text).into_iter().map(|verb| [path.clone(), vec![verb]].concat()));
        helps.push((path.join(" "), text));
    }
    helps.sort();
    helps
}

#[test]
fn every_verb_explains_itself() {
    let home = Home::new();
    let helps = all_helps(&home);
    assert!(helps.len() > 15, "{helps:?}");
    for (path, text) in &helps {
        assert!(text.contains("Usage: darkmux"), "{path}: {text}");
    }
    // Asking for help keeps nothing.
    assert!(!home.darkmux().exists());
}

#[test]
fn the_exit_statuses_are_in_the_help() {
    let help = Home::new().ok(["--help"]);
    for part in ["Exit status:", "124    a time limit", "127    unknown role"] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn wrong_words_are_a_usage_error_with_a_suggestion() {
    let output = Home::new().run(["docto"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("'doctor'"), "{}", describe(&output));
    for (words, meant) in
        [(&["attach", "x"][..], "'session attach'"), (&["ls"], "'job ls'"), (&["cancel"], "'job cancel'")]
    {
        let output = Home::new().command(BIN).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(meant), "{words:?}: {}", describe(&output));
    }
}

#[test]
fn the_manual_has_a_page_for_every_verb() {
    let home = Home::new();
    let page = home.ok(["man"]);
    assert!(page.contains(".TH darkmux"), "{page}");
    let dir = home.path().join("man1");
    let dir_text = dir.to_str().unwrap();
    std::fs::create_dir(&dir).unwrap();
    home.ok(["man", "--dir", dir_text]);
    let pages: BTreeSet<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for (path, _) in all_helps(&home) {
        let hidden = HIDDEN.iter().any(|hidden| path.starts_with(hidden[0]));
        let page = format!("{}.1", format!("darkmux {path}").trim().replace(' ', "-"));
        assert!(hidden || pages.contains(&page), "{page} is not in {pages:?}");
    }
}

#[test]
fn every_shell_gets_a_script_and_bash_completes_with_it() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.ok(["completions", shell]);
        assert!(script.contains("darkmux") && script.contains("COMPLETE"), "{shell}: {script}");
    }
    let script = format!(
        "source <({BIN} completions bash)
        complete -p darkmux >/dev/null || exit 9
        COMP_WORDS=(darkmux config get serve.p) COMP_CWORD=3 COMP_TYPE=9
        _clap_complete_darkmux darkmux serve.p get; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = home.command("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "serve.port\n", "{}", describe(&output));
}

#[test]
fn the_variable_of_completions_does_not_disturb_other_uses() {
    let version = Home::new().ok(["--version"]);
    for value in ["1", "bash", "fish", ""] {
        let home = Home::new().with("COMPLETE", value);
        assert_eq!(home.ok(["--version"]), version, "COMPLETE={value}");
    }
}

#[test]
fn the_help_is_word_for_word_what_was_reviewed() {
    let home = Home::new();
    let helps = all_helps(&home);
    let sections: Vec<String> =
        helps.iter().map(|(path, text)| format!("#### darkmux {path}\n\n{text}")).collect();
    insta::assert_snapshot!("helps", sections.join("\n"));
}
