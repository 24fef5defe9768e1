//! Layers: each module uses only those above it in the map of `src/lib.rs`.

use super::rust::{code, tests_start, words};
use super::{File, Findings, Tree};

/// The modules of the map, in its order.
fn map(lib: &str) -> Vec<String> {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | "));
    let name = |row: &str| Some(row.split("[`").nth(1)?.split("`]").next()?.to_owned());
    rows.filter_map(name).collect()
}

/// The module a file of `src/` belongs to; `None` for the roots (`lib.rs`, `main.rs`, `build.rs`).
pub fn module_of(file: &File) -> Option<&str> {
    let inner = file.path.strip_prefix("src/")?;
    match inner.split_once('/') {
        Some((module, _)) => Some(module),
        None if matches!(inner, "lib.rs" | "main.rs" | "build.rs") => None,
        None => inner.strip_suffix(".rs"),
    }
}

fn check(tree: &Tree) -> Findings {
    let Some(lib) = tree.get("src/lib.rs") else { return vec!["src/lib.rs is missing".into()] };
    let map = map(&lib.text);
    let mut found = map_findings(lib, &map);
    for file in tree.under("src/", ".rs") {
        let Some(module) = module_of(file) else { continue };
        let Some(rank) = map.iter().position(|name| name == module) else { continue };
        let code = code(&file.text);
        for (at, used) in crate_paths(&code) {
            match map.iter().position(|name| *name == used) {
                Some(other) if other > rank => found.push(format!(
                    "{}: `{module}` uses `{used}`, which stands below it in the map of src/lib.rs",
                    file.at(at)
                )),
                None if used.starts_with(|c: char| c.is_ascii_lowercase()) => {
                    found.push(format!("{}: `crate::{used}` is no module of the map", file.at(at)));
                }
                _ => {}
            }
        }
        found.extend(escapes(file, &code));
    }
    found
}

/// The map and the `pub mod` lines must name the same modules.
fn map_findings(lib: &File, map: &[String]) -> Findings {
    let code = code(&lib.text);
    let declared: Vec<&str> =
        code.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let unmapped = declared.iter().filter(|name| !map.iter().any(|row| row == *name));
    let absent = map.iter().filter(|row| !declared.contains(&row.as_str()));
    unmapped
        .map(|name| format!("src/lib.rs: `{name}` is not in the map"))
        .chain(absent.map(|row| format!("src/lib.rs: the map names `{row}`, which is no module")))
        .collect()
}

/// The first name after every `crate::`, also inside a group.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for at in words(code, "crate::") {
        let rest = &code[at + "crate::".len()..];
        let names = if rest.starts_with('{') { group_names(rest) } else { vec![first_name(rest)] };
        out.extend(names.into_iter().filter(|name| !name.is_empty()).map(|name| (at, name)));
    }
    out
}

fn first_name(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The heads of `{a::b, c::{d, e}}`.
fn group_names(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    let mut start = 1;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if (c == ',' && depth == 1) || depth == 0 {
            names.push(first_name(&text[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// `super` that leaves the module: such a path hides a dependency from the check above.
fn escapes(file: &File, code: &str) -> Findings {
    let inner = file.path.trim_start_matches("src/").trim_end_matches("/mod.rs");
    let depth = inner.matches('/').count();
    let tests = tests_start(code);
    let mut found = Vec::new();
    for at in words(code, "super::").filter(|at| !code[..*at].ends_with("super::")) {
        let chain = code[at..].split("super::").take_while(|part| part.is_empty()).count();
        if chain > depth + usize::from(at > tests) {
            found.push(format!("{}: `super` leaves the module; write `crate::…`", file.at(at)));
        }
    }
    found
}

#[test]
fn each_module_uses_only_what_stands_above_it() {
    super::assert_clean(&check(&Tree::read()));
}

#[test]
fn a_use_of_a_lower_row_is_found() {
    let lib = "//! | layer | module | what |\n//! |---|---|---|\n//! | 0 | [`low`] | x |\n\
               //! | 1 | [`high`] | y |\n//! | 2 | [`gone`] | z |\npub mod high;\npub mod low;\npub mod new;\n";
    let tree = Tree::of(&[
        ("src/lib.rs", lib),
        ("src/high/mod.rs", "use crate::low::X; // crate::nothing\nuse crate::VERSION;"),
        ("src/high/part.rs", "use super::x;\nuse super::super::low;"),
        ("src/low.rs", "\nfn f() { crate::high::f() }\nuse crate::{low::y, high::{a, b}};\nuse super::high;"),
    ]);
    super::assert_found(
        &check(&tree),
        &[
            "`new` is not in the map",
            "the map names `gone`",
            "src/high/part.rs:2: `super` leaves",
            "src/low.rs:2: `low` uses `high`",
            "src/low.rs:3: `low` uses `high`",
            "src/low.rs:4: `super` leaves",
        ],
    );
}
