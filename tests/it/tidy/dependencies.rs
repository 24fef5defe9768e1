//! The crates this one is built from: their licences, and what must not be among them.

use std::process::Command;

use serde_json::Value;

use super::{Findings, Tree};

/// Licences that ask for no more than a notice.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "BSL-1.0",
    "CC0-1.0",
    "Unlicense",
    "0BSD",
    "MIT-0",
];

/// Crates that need a C library of the system or minutes of building; TLS here is rustls with ring.
const BANNED: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"];

/// The platforms that are built for.
const PLATFORMS: &[&str] = &["x86_64-unknown-linux-gnu", "aarch64-apple-darwin"];

fn metadata(platform: &str) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", platform])
        .current_dir(Tree::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON")
}

fn licences(metadata: &Value) -> Findings {
    let resolved = |package: &&Value| {
        let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
        nodes.into_iter().any(|node| node["id"] == package["id"])
    };
    let packages = metadata["packages"].as_array().into_iter().flatten().filter(resolved);
    packages
        .filter(|package| !package["license"].as_str().is_some_and(permissive))
        .map(|package| format!("{}: licence {}", package["name"], package["license"]))
        .collect()
}

/// Whether a licence expression can be met with the allowed licences: `OR` needs one side, `AND` both.
/// `/` is the old spelling of `OR`; an exception (`WITH`) only adds rights.
fn permissive(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any_of(&words, &mut at) && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize) -> bool {
    let mut met = all_of(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(words, at);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize) -> bool {
    let mut met = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at);
    }
    met
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let word = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if word == "(" {
        let met = any_of(words, at);
        *at += 1;
        return met;
    }
    if words.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    LICENCES.contains(&word)
}

fn banned(lock: &str) -> Findings {
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names.filter(|name| BANNED.contains(name)).map(|name| format!("Cargo.lock holds `{name}`")).collect()
}

/// Maps are sorted on the wire (as in darkmux 1.9); with this feature of serde_json they would not be.
fn insertion_order(metadata: &Value) -> Findings {
    let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    nodes
        .filter(|node| node["id"].as_str().is_some_and(|id| id.contains("#serde_json@")))
        .filter(|node| node["features"].as_array().into_iter().flatten().any(|f| f == "preserve_order"))
        .map(|node| format!("{}: feature preserve_order is on", node["id"]))
        .collect()
}

#[test]
fn every_dependency_is_permissively_licensed_and_maps_stay_sorted() {
    for platform in PLATFORMS {
        let metadata = metadata(platform);
        assert!(metadata["packages"].as_array().is_some_and(|packages| packages.len() > 50));
        super::assert_clean(&[licences(&metadata), insertion_order(&metadata)].concat());
    }
}

#[test]
fn no_second_tls_is_among_the_dependencies() {
    let tree = Tree::read();
    super::assert_clean(&banned(&tree.get("Cargo.lock").expect("Cargo.lock is kept").text));
}

#[test]
fn wrong_licences_crates_and_features_are_found() {
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Unicode-3.0"] {
        assert!(permissive(good), "{good}");
    }
    assert!(permissive("Apache-2.0 WITH LLVM-exception"));
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "MPL-2.0", "(MIT", "MIT MIT"] {
        assert!(!permissive(bad), "{bad}");
    }
    let metadata = serde_json::json!({
        "packages": [{ "id": "a", "name": "a", "license": "GPL-3.0" }, { "id": "b", "name": "b" }],
        "resolve": { "nodes": [{ "id": "a" }, { "id": "x#serde_json@1", "features": ["std", "preserve_order"] }] },
    });
    super::assert_found(&licences(&metadata), &["GPL-3.0"]);
    super::assert_found(&insertion_order(&metadata), &["preserve_order"]);
    super::assert_found(&banned("name = \"ring\"\nname = \"openssl\"\n"), &["openssl"]);
}
