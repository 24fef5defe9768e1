//! What it makes of the events of its peers: by names, never by who a machine is.

use serde_json::Value;

use super::{Held, Shared, State};

/// Takes an event of the peer `name`.
pub fn take(shared: &Shared, name: &str, event: &str, data: &Value) {
    let Some(id) = data["id"].as_str() else { return };
    let mut state = shared.state();
    if id.rsplit_once('@').is_some_and(|(_, hop)| hop == shared.hostname || state.peers.contains_key(hop)) {
        return;
    }
    let ours = format!("{id}@{name}");
    match event {
        "session-upsert" => upsert(shared, &mut state, name, &ours, data["session"].clone()),
        "session-remove" => {
            shared.forget(&mut state, &ours);
        }
        "session-activity" => {
            let told = serde_json::json!({ "type": event, "id": ours });
            shared.emit(&mut state, event, &ours, &told);
        }
        _ => {}
    }
}

fn upsert(shared: &Shared, state: &mut State, peer: &str, id: &str, mut object: Value) {
    if !object.is_object() {
        return;
    }
    object["id"] = id.into();
    object["peer"] = peer.into();
    object.as_object_mut().expect("an object").remove("socket_path");
    let is_alive = object["alive"] == true;
    let has_slug = |object: &Value, slug: &Value| {
        !slug.is_null() && object["slug"] == *slug && object["peer"] == peer && object["kind"].is_string()
    };
    let others = |state: &State, slug: &Value| -> Vec<(String, bool)> {
        let others = state.sessions.iter().filter(|(other, _)| *other != id);
        let others =
            others.filter(|(_, held)| has_slug(&held.object, slug) && held.object["kind"] == object["kind"]);
        others.map(|(other, held)| (other.clone(), held.object["alive"] == true)).collect()
    };
    let mut slug = object["slug"].clone();
    let same = others(state, &slug);
    if !is_alive && same.iter().any(|(_, alive)| *alive) {
        // Known to be wrong: the end of this session is not seen.
        return;
    }
    for (dead, _) in same.iter().filter(|(_, alive)| is_alive && !alive) {
        shared.forget(state, dead);
    }
    for number in 2.. {
        if others(state, &slug).is_empty() {
            break;
        }
        slug = format!("{}-{number}", object["slug"].as_str().unwrap_or_default()).into();
    }
    if !slug.is_null() {
        object["slug"] = slug;
    }
    match state.sessions.get_mut(id) {
        Some(held) => held.object = object,
        None => {
            state.sessions.insert(id.to_owned(), Held { object, terminal: super::Terminal::default() });
        }
    }
    shared.tell(state, id);
}
