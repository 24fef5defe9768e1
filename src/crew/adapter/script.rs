//! The scripts that tell darkmux what an agent does, for agents that load JavaScript: what all of them share, and
//! what one of them needs.

use serde_json::json;

/// What all scripts share. Its two words stand for what differs.
const TELLER: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/adapters/teller.js"));
/// Stands for the path of darkmux, as a JavaScript string.
const PROGRAM: &str = "\"@DARKMUX@\"";
/// Stands for the agent's name, as `darkmux hook` knows it.
const AGENT: &str = "\"@AGENT@\"";

/// The whole script for an agent.
pub fn script(agent: &str, own: &str, darkmux: &str) -> Vec<u8> {
    let shared =
        TELLER.replace(PROGRAM, &json!(darkmux).to_string()).replace(AGENT, &json!(agent).to_string());
    [shared.as_str(), own].concat().into_bytes()
}
