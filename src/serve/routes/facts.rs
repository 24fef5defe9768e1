//! Facts about this daemon and its machine.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

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
        ok: true,
    })
}

/// `GET /machine/specs`.
pub async fn specs(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let asked = app.blocking("asking the system", || Ok::<_, Infallible>(hardware()));
    let (hardware, models) = tokio::join!(asked, app.models.loaded());
    let hardware = hardware?;
    json(&MachineSpecs {
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
        redis_url_redacted: app.fleet.as_ref().map(|fleet| fleet.shared.redis.shown().to_owned()),
        utility_model: None,
    })
}

/// `GET /missions`: darkmux 1.9 keeps missions; this version has none.
pub async fn missions(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(&json!({ "missions": [], "generated_at_ms": app.now_ms() }))
}

/// `GET /sprints`: as [`missions`].
pub async fn sprints(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(&json!({ "sprints": [], "generated_at_ms": app.now_ms() }))
}
