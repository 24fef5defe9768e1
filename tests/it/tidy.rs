//! Checks of the tree itself: what DESIGN.md calls invariants are things that are absent, and these tests
//! look for them.
//!
//! A check is a function from a [`Tree`] to findings. Each is run on the real tree, and on a small made-up
//! one that breaks the rule, so that a check that finds nothing is known to look.

mod dependencies;
mod docs;
mod files;
mod layers;
mod names;
mod rust;
mod scripts;
mod tree;

pub use tree::{File, Tree};

/// What a check found wrong, one line each.
pub type Findings = Vec<String>;

/// Fails with every finding.
fn assert_clean(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n  {}", findings.len(), findings.join("\n  "));
}

/// Fails unless the findings are as many as expected, and each holds its part.
fn assert_found(findings: &[String], expected: &[&str]) {
    assert_eq!(findings.len(), expected.len(), "{findings:#?}");
    for (finding, part) in findings.iter().zip(expected) {
        assert!(finding.contains(part), "{part:?} is not in {finding:?}");
    }
}
