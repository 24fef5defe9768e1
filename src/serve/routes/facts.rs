//! Facts about this daemon and its machine.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::fleet::hardware;
use crate::model::FLOW_SCHEMA;
use crate::serve::app::json;
use crate::serve::{ApiError, App};
use crate::wire::{Health, MachineSpecs};

/// `GET /health`.
pub async fn health(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(&Health {
        darkmux_version: crate::VERSION.to_owned(),
        flow_schema_version: FLOW_SCHEMA.to_owned(),
        machine_id: Some(app.machine_id()),
        machine_uid: Some(app.fleet.beacon.uid()),
        ok: true,
    })
}

/// `GET /machine/specs`: the object of 1.9, and what presence has beside it.
pub async fn specs(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let asked = app.blocking("asking the system", || Ok::<_, Infallible>(hardware()));
    let (hardware, models, beat) = tokio::join!(asked, app.models.loaded(), app.fleet.beacon.beat());
    let hardware = hardware?;
    let specs = MachineSpecs {
        cpu_brand: hardware.cpu_brand,
        darkmux_version: crate::VERSION.to_owned(),
        flow_schema_version: FLOW_SCHEMA.to_owned(),
        generated_at_ms: app.now_ms(),
        lms_unreachable: models.is_none(),
        loaded_models: models.unwrap_or_default(),
        machine_id: Some(app.machine_id()),
        os: hardware.os,
        ram_free_for_ai_bytes: hardware.ram_available,
        ram_total_bytes: hardware.ram_total,
        redis_url_redacted: app.fleet.redis.clone(),
        utility_model: None,
    };
    let object = |value: Result<Value, _>| match value {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(ApiError::internal("writing the answer", &error)),
    };
    let mut all = object(serde_json::to_value(beat))?;
    all.remove("beat_ts_ms");
    // Where both have a key (`os`), its meaning is that of 1.9.
    all.extend(object(serde_json::to_value(specs))?);
    json(&all)
}

/// `GET /missions`: darkmux 1.9 keeps missions; this version has none.
pub async fn missions(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(&json!({ "missions": [], "generated_at_ms": app.now_ms() }))
}

/// `GET /sprints`: as [`missions`].
pub async fn sprints(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(&json!({ "sprints": [], "generated_at_ms": app.now_ms() }))
}
