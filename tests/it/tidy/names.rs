//! Names that only some modules may use, and names that nobody may.

use super::layers::module_of;
use super::rust::{code, words};
use super::{File, Findings, Tree};

/// Names, the modules that may use them, and why no other may.
const OWNED: &[(&[&str], &[&str], &str)] = &[
    (&["axum"], &["serve"], "only `serve` knows the HTTP framework"),
    (&["clap", "clap_complete", "clap_mangen"], &["cli"], "only `cli` knows the command line"),
    (&["println!", "eprintln!", "print!", "eprint!"], &["cli"], "only `cli` prints"),
    // A session's host tells its starter through its stdout that it is up; `pty` points both elsewhere.
    (&["stdout()", "stderr()"], &["cli", "session", "pty"], "only `cli` prints"),
    (&["redis::"], &["store", "flow", "work", "fleet"], "only these know Redis"),
    (&["pty_process"], &["pty"], "only `pty` makes terminals"),
    (&["kill_process", "kill_process_group"], &["pty"], "only `pty` sends signals"),
    (&["anyhow"], &["cli", "daemon"], "libraries name their errors"),
    (&["unsafe", "static mut", "thread_local!"], &[], "nobody may"),
    (&["todo!", "unimplemented!", "dbg!"], &[], "unfinished work does not land"),
];

/// What of `std::env` is no reading of the environment.
const HARMLESS_ENV: &[&str] =
    &["args_os", "current_dir", "current_exe", "consts", "split_paths", "join_paths", "temp_dir"];

/// Types that make a static carry state.
const STATE: &[&str] = &["Mutex", "RwLock", "OnceLock", "LazyLock", "Atomic", "Cell<"];

/// What a test changes for all others as well.
const PROCESS_WIDE: &[&str] = &["set_var", "remove_var", "set_current_dir"];

/// Marks of unfinished work, split so that this file does not hold them.
const MARKS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];

fn check(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for file in tree.under("src/", ".rs") {
        let code = code(&file.text);
        let module = module_of(file);
        if module.is_some() {
            found.extend(owned(file, &code, module));
            found.extend(environment(file, &code, module));
        }
        found.extend(statics(file, &code));
    }
    for file in tree.under("tests/it/", ".rs") {
        let code = code(&file.text);
        for name in PROCESS_WIDE {
            let why = "tests run side by side in one process; give the command its own";
            found.extend(words(&code, name).map(|at| format!("{}: `{name}`: {why}", file.at(at))));
        }
    }
    for file in &tree.files {
        for mark in MARKS {
            let places = words(&file.text, mark).map(|at| format!("{}: {mark}", file.at(at)));
            found.extend(places);
        }
    }
    found
}

fn owned(file: &File, code: &str, module: Option<&str>) -> Findings {
    let mut found = Vec::new();
    for (names, modules, why) in OWNED {
        if module.is_some_and(|module| modules.contains(&module)) {
            continue;
        }
        for name in *names {
            found.extend(words(code, name).map(|at| format!("{}: `{name}`: {why}", file.at(at))));
        }
    }
    found
}

fn environment(file: &File, code: &str, module: Option<&str>) -> Findings {
    if module == Some("config") {
        return Vec::new();
    }
    let harmless = |rest: &str| HARMLESS_ENV.iter().any(|name| rest.starts_with(name));
    words(code, "std::env")
        .filter(|at| !harmless(code[at + "std::env".len()..].trim_start_matches("::")))
        .map(|at| format!("{}: only `config` reads the environment", file.at(at)))
        .collect()
}

fn statics(file: &File, code: &str) -> Findings {
    words(code, "static ")
        .filter(|at| !code[..*at].ends_with('\''))
        .filter(|at| {
            let item = code[*at..].split(['=', ';', '{']).next().unwrap_or_default();
            STATE.iter().any(|state| item.contains(state))
        })
        .map(|at| format!("{}: a static with state; pass a handle", file.at(at)))
        .collect()
}

#[test]
fn names_stay_where_they_belong() {
    super::assert_clean(&check(&Tree::read()));
}

#[test]
fn a_name_in_the_wrong_module_is_found() {
    let tree = Tree::of(&[
        ("src/serve/mod.rs", "use axum::Router; // prints with println!(\nfn f(x: &'static Mutex<u8>) {}"),
        ("src/flow/mod.rs", "use axum::Router;\nprintln!(\"dbg!\");\nuse redis::aio;"),
        (
            "src/crew/mod.rs",
            "use std::env::var;\nstd::env::current_exe();\nstatic X: Mutex<u8> = y;\nunsafe {}",
        ),
        ("src/build.rs", "println!(); std::env::var();"),
        ("tests/it/x.rs", "fn f() { std::env::set_var(a, b) }"),
        ("docs/x.md", concat!("a FIX", "ME b\nmktemp XXXX", "XX")),
    ]);
    super::assert_found(
        &check(&tree),
        &[
            "src/flow/mod.rs:1: `axum`",
            "src/flow/mod.rs:2: `println!`",
            "src/crew/mod.rs:4: `unsafe`",
            "src/crew/mod.rs:1: only `config`",
            "src/crew/mod.rs:3: a static",
            "tests/it/x.rs:1: `set_var`",
            concat!("docs/x.md:1: FIX", "ME"),
        ],
    );
}
