//! Files: their size, what they open with, whether anything uses them, where they lie, and what must not
//! be written into any of them.

use super::rust::{code, tests_start};
use super::{File, Findings, Tree};

/// Longest source file, in lines, its unit tests apart.
const RUST_LINES: usize = 600;

/// Longest file of the viewer, in lines.
const VIEWER_LINES: usize = 300;

/// Everything that may lie at the top of the tree.
const TOP: &[&str] = &[
    ".ci",
    ".config",
    ".github",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "DESIGN.md",
    "README.md",
    "assets",
    "clippy.toml",
    "docs",
    "rustfmt.toml",
    "src",
    "tests",
];

/// Folders of the machine somebody happened to work on; split so that this file does not hold them.
const MACHINE_PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

fn sizes(tree: &Tree) -> Findings {
    let rust = tree.under("src/", ".rs").map(|file| {
        let code = code(&file.text);
        (file, code[..tests_start(&code)].lines().count(), RUST_LINES)
    });
    let viewer = tree.under("assets/viewer/", "").map(|file| (file, file.text.lines().count(), VIEWER_LINES));
    let long = |(file, lines, bound): (&File, usize, usize)| {
        (lines > bound).then(|| format!("{}: {lines} lines; {bound} is the end, split it", file.path))
    };
    rust.chain(viewer).filter_map(long).collect()
}

fn openings(tree: &Tree) -> Findings {
    tree.files
        .iter()
        .filter(|file| file.is("src/", ".rs") || file.is("tests/", ".rs"))
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{}: open it with `//!` and what it is", file.path))
        .collect()
}

/// Rust files that no `mod` names: cargo never compiles them.
fn forgotten(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.is("src/", ".rs") || file.is("tests/it/", ".rs")) {
        let inner = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let Some((folder, name)) = inner.rsplit_once('/') else { continue };
        if matches!(file.path.as_str(), "src/lib.rs" | "src/main.rs" | "src/build.rs" | "tests/it/main.rs") {
            continue;
        }
        let parents = [
            format!("{folder}.rs"),
            format!("{folder}/mod.rs"),
            format!("{folder}/lib.rs"),
            format!("{folder}/main.rs"),
        ];
        let line = format!("mod {name};");
        let declares = |parent: &String| {
            let code = tree.get(parent).map(|file| code(&file.text)).unwrap_or_default();
            code.lines().any(|have| have == line || have.ends_with(&format!(" {line}")))
        };
        if !parents.iter().any(declares) {
            found.push(format!("{}: no `{line}` names it, so nothing compiles it", file.path));
        }
    }
    found
}

fn top_level(tree: &Tree) -> Findings {
    let mut entries: Vec<&str> = tree.files.iter().filter_map(|file| file.path.split('/').next()).collect();
    entries.dedup();
    let foreign = entries.into_iter().filter(|entry| !TOP.contains(entry));
    foreign.map(|entry| format!("{entry}: not one of the allowed entries at the top of the tree")).collect()
}

/// Absolute paths of a machine, and package registries other than the public ones.
fn machine_traces(tree: &Tree) -> Findings {
    let checkout = Tree::root().display().to_string();
    let mut found = Vec::new();
    for file in &tree.files {
        for path in MACHINE_PATHS {
            let starts = |at: &usize| {
                let before = file.text[..*at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || "._-*}~)/".contains(c))
            };
            let places = file.text.match_indices(path).map(|(at, _)| at).filter(starts);
            found.extend(places.map(|at| format!("{}: `{path}` is a path of one machine", file.at(at))));
        }
        let places = file.text.match_indices(&checkout).map(|(at, _)| file.at(at));
        found.extend(places.map(|at| format!("{at}: the path of this checkout")));
        found.extend(foreign_registries(file));
    }
    found
}

fn foreign_registries(file: &File) -> Findings {
    let (mark, allowed) = match file.name() {
        "package-lock.json" => ("\"resolved\":", "\"https://registry.npmjs.org/"),
        "Cargo.lock" => ("source = ", "\"registry+https://github.com/rust-lang/crates.io-index\""),
        _ => return Vec::new(),
    };
    let foreign = |at: &usize| !file.text[at + mark.len()..].trim_start().starts_with(allowed);
    let places = file.text.match_indices(mark).map(|(at, _)| at).filter(foreign);
    places.map(|at| format!("{}: a package from another registry", file.at(at))).collect()
}

#[test]
fn files_are_short() {
    super::assert_clean(&sizes(&Tree::read()));
}

#[test]
fn every_rust_file_opens_with_what_it_is() {
    super::assert_clean(&openings(&Tree::read()));
}

#[test]
fn no_rust_file_is_forgotten() {
    super::assert_clean(&forgotten(&Tree::read()));
}

#[test]
fn nothing_foreign_lies_at_the_top() {
    super::assert_clean(&top_level(&Tree::read()));
}

#[test]
fn no_file_tells_of_the_machine_it_was_written_on() {
    super::assert_clean(&machine_traces(&Tree::read()));
}

#[test]
fn long_silent_forgotten_and_stray_files_are_found() {
    let long = "//! x\n".repeat(601);
    let tested = format!("//! x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "// y\n".repeat(900));
    let tree = Tree::of(&[
        ("assets/viewer/a.js", &"x\n".repeat(301)),
        ("scratch.txt", ""),
        ("src/lib.rs", "//! x\npub mod long;\npub mod tested;\n"),
        ("src/long.rs", &long),
        ("src/orphan.rs", "fn f() {}"),
        ("src/tested.rs", &tested),
        ("tests/it/main.rs", "//! x\nmod known;\n"),
        ("tests/it/known.rs", "//! x\nmod part;\n"),
        ("tests/it/known/part.rs", "//! x\n"),
        ("tests/it/left.rs", "//! mod left;\n"),
    ]);
    super::assert_found(&sizes(&tree), &["src/long.rs: 601", "assets/viewer/a.js: 301"]);
    super::assert_found(&openings(&tree), &["src/orphan.rs"]);
    super::assert_found(&forgotten(&tree), &["src/orphan.rs", "tests/it/left.rs"]);
    super::assert_found(&top_level(&tree), &["scratch.txt"]);
}

#[test]
fn paths_of_a_machine_and_foreign_registries_are_found() {
    let lock = "\"resolved\": \"https://registry.npmjs.org/a\"\n\"resolved\": \"https://example.test/b\"\n";
    let cargo =
        "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://x\"\n";
    let tree = Tree::of(&[
        ("Cargo.lock", cargo),
        ("docs/a.md", concat!("see /ro", "ot/x and ~/ro", "ot/y and https://h/wo", "rk/z")),
        ("tests/package-lock.json", lock),
    ]);
    let expected = ["Cargo.lock:2", "docs/a.md:1", "tests/package-lock.json:2"];
    super::assert_found(&machine_traces(&tree), &expected);
}
