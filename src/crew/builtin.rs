//! The roles that are part of the program, from `assets/roles`.
//!
//! A plain table of `&'static str`, so that a lookup costs nothing at start and the debug build reads no files
//! either. A test checks the table against the folder.

/// A builtin role's files.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// The role's id.
    pub id: &'static str,
    /// `<id>.json`.
    pub manifest: &'static str,
    /// `<id>.md`.
    pub prompt: Option<&'static str>,
}

macro_rules! asset {
    ($name:expr) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/roles/", $name))
    };
}

macro_rules! plain {
    ($id:literal) => {
        Builtin { id: $id, manifest: asset!(concat!($id, ".json")), prompt: None }
    };
}

macro_rules! prompted {
    ($id:literal) => {
        Builtin {
            id: $id,
            manifest: asset!(concat!($id, ".json")),
            prompt: Some(asset!(concat!($id, ".md"))),
        }
    };
}

/// Name of the preamble's file, builtin and user's.
pub const PREAMBLE_NAME: &str = "AUTONOMOUS_DISPATCH_PREAMBLE.md";

/// What precedes every specialist's prompt.
pub const PREAMBLE: &str = asset!("AUTONOMOUS_DISPATCH_PREAMBLE.md");

/// Every builtin role, by id. The agent CLIs and the shell have no prompt: they are what they are by
/// themselves.
pub const ROLES: &[Builtin] = &[
    plain!("agent"),
    plain!("aider"),
    prompted!("analyst"),
    plain!("claude"),
    prompted!("code-reviewer"),
    prompted!("coder"),
    plain!("codex"),
    plain!("opencode"),
    plain!("pi"),
    prompted!("scribe"),
    plain!("shell"),
    prompted!("test-designer"),
];

/// The builtin role of this id.
pub fn role(id: &str) -> Option<&'static Builtin> {
    ROLES.iter().find(|role| role.id == id)
}
