//! The description of `/v1` for programs, made from the handlers and the shapes themselves.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use super::{act, clipboard, events, health, input, launch, runner, scrollback, sessions, wait};
use crate::serve::{ApiError, App};
use crate::wire::v1::{ErrorObject, Refusal, StatusObject};

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "darkmux",
        description = "Sessions of one machine, in the shapes of gmux 1.x. Answers are `{\"ok\":true,\"data\":…}`, refusals `{\"ok\":false,\"error\":{\"code\",\"message\"}}`.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        act::dismiss,
        act::kill,
        act::read,
        act::rename,
        act::restart,
        act::resume,
        clipboard::paste,
        document,
        events::events,
        health::capabilities,
        health::frontend_config,
        health::health,
        health::projects,
        input::input,
        launch::launch,
        runner::deregister,
        runner::register,
        scrollback::scrollback,
        sessions::attach,
        sessions::list,
        sessions::one,
        wait::wait,
    ),
    components(schemas(ErrorObject, Refusal, StatusObject))
)]
struct Document;

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "daemon", responses(
    (status = 200, description = "this document, without an envelope", body = Object),
))]
pub async fn document(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let made = || Document::openapi().to_json();
    let text = app.blocking("writing the description", made).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::routes::v1::V1;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = serde_json::to_value(Document::openapi()).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let served: BTreeSet<(String, String)> = V1
            .iter()
            .flat_map(|route| {
                route.methods.iter().map(|method| (route.path.to_owned(), (*method).to_owned()))
            })
            .filter(|(_, method)| method != "HEAD")
            .collect();
        assert_eq!(described, served);
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                assert!(operation["responses"]["200"].is_object(), "{method} {path}");
            }
        }
    }
}
