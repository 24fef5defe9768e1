//! The viewer's scripts and the scripts that test it.

use super::{File, Findings, Tree};

/// Ways to make markup or code out of text; the viewer builds its page with `textContent`.
const BANNED: &[&str] = &[
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "createContextualFragment",
    "setHTMLUnsafe",
    "eval(",
    "new Function",
];

fn injections(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for file in tree.under("assets/viewer/", "") {
        for banned in BANNED {
            let places = file.text.match_indices(banned).map(|(at, _)| file.at(at));
            found.extend(places.map(|at| format!("{at}: `{banned}`; build the page with `textContent`")));
        }
    }
    found
}

/// Pages carry no script and no handler of their own: the Content-Security-Policy forbids both.
fn inline_scripts(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for file in tree.under("assets/viewer/", ".html") {
        for (at, _) in file.text.match_indices("<script") {
            let tag = file.text[at..].split('>').next().unwrap_or_default();
            if !tag.contains(" src=") {
                found.push(format!("{}: a script inside the page", file.at(at)));
            }
        }
        let handlers = file.text.match_indices(" on").filter(|(at, _)| {
            let rest = file.text[at + 3..].trim_start_matches(|c: char| c.is_ascii_lowercase());
            rest.starts_with("=\"") || rest.starts_with("='")
        });
        found.extend(handlers.map(|(at, _)| format!("{}: a handler inside the page", file.at(at))));
    }
    found
}

fn is_script(file: &File) -> bool {
    [".js", ".mjs", ".cjs", ".ts"].iter().any(|end| file.path.ends_with(end))
}

/// Scripts of the tests that nobody runs: unit tests are run by their names (`tests/run` takes every
/// `tests/viewer/*.test.js` and `.mjs`), browser scripts by a Rust test or by `tests/run`; all others must
/// be imported by one that is run.
fn forgotten(tree: &Tree) -> Findings {
    let scripts: Vec<&File> = tree
        .files
        .iter()
        .filter(|file| file.is("tests/viewer/", "") || file.is("tests/browser/", ""))
        .filter(|file| is_script(file))
        .collect();
    let by_name = |file: &File| {
        let unit = file.path.starts_with("tests/viewer/") && file.path.matches('/').count() == 2;
        unit && (file.path.ends_with(".test.js") || file.path.ends_with(".test.mjs"))
    };
    let named_in = |text: &str, file: &File| {
        [format!("\"{}\"", file.name()), format!("/{}", file.name())].iter().any(|name| text.contains(name))
    };
    // This folder's own made-up trees run nothing.
    let is_runner = |file: &&File| {
        file.path == "tests/run" || (file.is("tests/it/", ".rs") && !file.path.starts_with("tests/it/tidy/"))
    };
    let runners: Vec<&File> = tree.files.iter().filter(is_runner).collect();
    let mut run: Vec<&File> = scripts.clone();
    run.retain(|file| by_name(file) || runners.iter().any(|runner| named_in(&runner.text, file)));
    loop {
        let more: Vec<&File> = scripts
            .iter()
            .copied()
            .filter(|file| !run.iter().any(|ran| ran.path == file.path))
            .filter(|file| run.iter().any(|ran| named_in(&ran.text, file)))
            .collect();
        if more.is_empty() {
            break;
        }
        run.extend(more);
    }
    let left = scripts.iter().filter(|file| !run.iter().any(|ran| ran.path == file.path));
    left.map(|file| format!("{}: nothing runs it", file.path)).collect()
}

#[test]
fn the_viewer_makes_no_markup_of_text() {
    let tree = Tree::read();
    super::assert_clean(&[injections(&tree), inline_scripts(&tree)].concat());
}

#[test]
fn no_test_script_is_forgotten() {
    super::assert_clean(&forgotten(&Tree::read()));
}

#[test]
fn injections_and_inline_scripts_are_found() {
    let tree = Tree::of(&[
        ("assets/viewer/a.js", "x.textContent = y;\nx.innerHTML = y;\neval(z);"),
        (
            "assets/viewer/index.html",
            "<script type=module src=\"a.js\"></script>\n<p onclick=\"x\">\n<script>y</script>",
        ),
    ]);
    super::assert_found(&injections(&tree), &["a.js:2: `innerHTML`", "a.js:3: `eval(`"]);
    super::assert_found(&inline_scripts(&tree), &["index.html:3: a script", "index.html:2: a handler"]);
}

#[test]
fn a_script_that_nobody_runs_is_found() {
    let tree = Tree::of(&[
        ("tests/browser/harness.mjs", ""),
        ("tests/browser/live.mjs", "import { x } from './harness.mjs';"),
        ("tests/browser/lost.mjs", ""),
        ("tests/it/browser.rs", "run(\"live.mjs\")"),
        ("tests/viewer/deep/b.test.js", ""),
        ("tests/viewer/store.js", ""),
        ("tests/viewer/store.test.js", ""),
    ]);
    let expected = ["tests/browser/lost.mjs", "tests/viewer/deep/b.test.js", "tests/viewer/store.js"];
    super::assert_found(&forgotten(&tree), &expected);
}
