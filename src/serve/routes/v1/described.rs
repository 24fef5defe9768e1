//! What the description of `/v1` says of every operation alike: who may use it, the envelope of its answer, and how
//! the gate before the handlers refuses. Handlers describe only what is theirs.
//!
//! All of it follows from the list of routes, so no operation can be forgotten.

use serde_json::{Map, Value, json};

use super::V1;
use crate::serve::auth::Accepts;
use crate::serve::router::{Access, Route};

/// The reference to the shape of a refusal.
const REFUSAL: &str = "#/components/schemas/Refusal";

/// The kind of an answer that has an envelope.
const JSON: &str = "application/json";

/// The one document that has no envelope: this one.
const BARE: &str = "/v1/openapi.json";

/// A refusal that does not come from a handler.
type Common = (&'static str, &'static str);

/// How any request may be refused.
const ALWAYS: &[Common] = &[
    ("401", "`unauthorized`: no token, cookie or unix socket, or one that is not valid any more"),
    ("403", "`foreign_origin`: another site's page asks with the cookie"),
    ("421", "`wrong_host`: `Host` is no name of this daemon"),
    ("429", "`too_many_attempts`: too many wrong tokens came from this address"),
    ("500", "`internal`: the daemon's log says why"),
];

/// How a request may be refused that can have a body.
const WITH_BODY: &[Common] = &[
    ("400", "`read_failed`: the body ended before it was complete"),
    ("408", "`timeout`: the body took too long"),
    ("415", "`unsupported_media_type`"),
];

/// How a request may be refused that names a session.
const OF_A_SESSION: &[Common] =
    &[("400", "`bad_request`: several could be meant, or the name can't be read")];

/// How a request may be refused that needs more than to watch.
const ACTS: &[Common] = &[("403", "`read_only`: the token or cookie may watch only")];

/// Completes what the handlers and the shapes say. `cookie` is the name of this daemon's cookie.
pub(super) fn complete(mut document: Value, cookie: &str) -> Value {
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token: `darkmux auth show --print` shows the one that may do everything, \
                `darkmux auth new` makes one that may only watch. What is more than watching answers 403 to it.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "A browser that signed in (`darkmux open`); only from the daemon's own pages.",
        },
    });
    document["components"]["schemas"]["Refusal"]["properties"]["ok"]["enum"] = json!([false]);
    document["security"] = json!([{ "bearer": [] }, { "cookie": [] }]);
    for route in V1 {
        for method in route.methods {
            let operations = document["paths"].get_mut(route.path);
            if let Some(operation) = operations.and_then(|all| all.get_mut(method.to_lowercase())) {
                describe(operation, route, *method == "POST");
            }
        }
    }
    document
}

fn describe(operation: &mut Value, route: &Route, has_body: bool) {
    // A queue and a session are both resumed.
    if let (Some(group), Some(id)) = (operation["tags"][0].as_str(), operation["operationId"].as_str()) {
        operation["operationId"] = json!(format!("{group}_{id}"));
    }
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        present(&mut parameter["schema"]);
    }
    for (kind, content) in contents(operation.get_mut("requestBody")) {
        present(&mut content["schema"]);
        bytes(kind, content);
    }
    if let Some(responses) = operation["responses"].as_object_mut() {
        let too_large = [("413", too_large(route.accepts))];
        for (status, why) in ALWAYS {
            refusal(responses, status, why);
        }
        for (status, why) in WITH_BODY.iter().filter(|_| has_body) {
            refusal(responses, status, why);
        }
        for (status, why) in too_large.iter().filter(|_| has_body) {
            refusal(responses, status, why);
        }
        for (status, why) in OF_A_SESSION.iter().filter(|_| route.path.contains("{id}")) {
            refusal(responses, status, why);
        }
        for (status, why) in ACTS.iter().filter(|_| route.access == Access::Act) {
            refusal(responses, status, why);
        }
        mark(responses);
        for (kind, content) in contents(responses.get_mut("200")) {
            bytes(kind, content);
        }
        if route.path != BARE {
            envelope(responses);
        }
    }
}

/// The kinds of a body with their shapes.
fn contents(of: Option<&mut Value>) -> impl Iterator<Item = (&String, &mut Value)> {
    of.and_then(|of| of.get_mut("content")?.as_object_mut()).into_iter().flatten()
}

/// A parameter or body that may be absent is absent, rather than null.
fn present(schema: &mut Value) {
    let is_null = |one: &Value| one == "null" || one["type"] == "null";
    if let Some(ways) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        ways.retain(|way| !is_null(way));
        if let [way] = ways.as_mut_slice() {
            *schema = way.take();
        }
    }
    if let Some(kinds) = schema.get_mut("type").filter(|kind| kind.is_array()) {
        let all = kinds.as_array_mut().map(std::mem::take).unwrap_or_default();
        let mut all: Vec<Value> = all.into_iter().filter(|kind| !is_null(kind)).collect();
        *kinds = if all.len() == 1 { all.remove(0) } else { Value::Array(all) };
    }
}

/// Bytes are no list of numbers.
fn bytes(kind: &str, content: &mut Value) {
    if kind == "application/octet-stream" || kind.starts_with("image/") {
        content["schema"] = json!({ "type": "string", "format": "binary" });
    }
}

fn too_large(accepts: Accepts) -> String {
    let (Accepts::Json(limit) | Accepts::Bytes(limit)) = accepts;
    format!("`too_large`: the body has more than {limit} bytes")
}

/// Adds a reason to a status, which a handler may have described before.
fn refusal(responses: &mut Map<String, Value>, status: &str, why: &str) {
    let response = responses.entry(status).or_insert_with(
        || json!({ "description": "", "content": { JSON: { "schema": { "$ref": REFUSAL } } } }),
    );
    let before = response["description"].as_str().unwrap_or_default();
    let code = why.split(':').next().unwrap_or(why);
    if before.is_empty() || before == code {
        response["description"] = why.into();
    } else if !before.contains(code) {
        response["description"] = format!("{before}; {why}").into();
    }
}

/// The headers that tell what to do about a refusal.
fn mark(responses: &mut Map<String, Value>) {
    for (status, response) in responses {
        match status.as_str() {
            "401" => {
                response["headers"]["WWW-Authenticate"] =
                    json!({ "description": "`Bearer`", "required": true, "schema": { "type": "string" } });
            }
            "429" | "503" => {
                response["headers"]["Retry-After"] = json!({
                    "description": "seconds after which it is worth asking again",
                    "required": true,
                    "schema": { "type": "integer", "minimum": 1 },
                });
            }
            _ => {}
        }
    }
}

/// Puts the envelope around the shape of an answer. Other kinds than JSON have none.
fn envelope(responses: &mut Map<String, Value>) {
    let content = responses.get_mut("200").and_then(|answer| answer["content"].get_mut(JSON));
    let Some(content) = content else { return };
    let data = content["schema"].take();
    content["schema"] = json!({
        "type": "object",
        "required": ["data", "ok"],
        "properties": { "data": data, "ok": { "type": "boolean", "enum": [true] } },
    });
}
