//! The description of `/v1` for programs, made from the handlers and the shapes themselves.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::OpenApi;

use super::{
    act, changes, clipboard, described, discovery, dispatch, events, health, input, job_output, launch,
    queue, repository, runner, scrollback, sessions, wait,
};
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
        discovery::discovery,
        dispatch::dispatch,
        dispatch::explain,
        document,
        events::events,
        health::capabilities,
        health::frontend_config,
        health::health,
        health::projects,
        input::input,
        job_output::output,
        launch::launch,
        queue::cancel,
        queue::drain,
        queue::drop_letter,
        queue::pause,
        queue::requeue,
        queue::resume,
        queue::retry,
        queue::undrain,
        changes::changes,
        repository::repository,
        runner::deregister,
        runner::register,
        scrollback::scrollback,
        sessions::attach,
        sessions::list,
        sessions::one,
        sessions::result,
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
    let cookie = app.auth.cookie_name().to_owned();
    let made = move || made(&cookie).map(|document| document.to_string());
    let text = app.blocking("writing the description", made).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

fn made(cookie: &str) -> serde_json::Result<Value> {
    Ok(described::complete(serde_json::to_value(Document::openapi())?, cookie))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::router::Access;
    use crate::serve::routes::v1::V1;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = made("darkmux-1").unwrap();
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

    #[test]
    fn every_operation_has_an_id_of_its_own() {
        let document = made("darkmux-1").unwrap();
        let mut ids = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap_or_default();
                assert!(!id.is_empty() && ids.insert(id), "{method} {path}: {id}");
            }
        }
    }

    #[test]
    fn who_may_ask_and_how_it_is_refused_is_told_of_every_operation() {
        let document = made("darkmux-1").unwrap();
        assert_eq!(document["info"]["title"], "darkmux");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let schemes = &document["components"]["securitySchemes"];
        assert_eq!(schemes["cookie"]["name"], "darkmux-1");
        for way in document["security"].as_array().unwrap() {
            assert!(way.as_object().unwrap().keys().all(|name| schemes[name].is_object()), "{way}");
        }
        for route in V1 {
            for method in route.methods.iter().filter(|method| **method != "HEAD") {
                let responses = &document["paths"][route.path][method.to_lowercase()]["responses"];
                let says = |status: &str, word: &str| {
                    let said = responses[status]["description"].as_str().unwrap_or_default();
                    assert_eq!(said.matches(word).count(), 1, "{method} {} {status}: {said}", route.path);
                };
                says("401", "`unauthorized`");
                says("429", "`too_many_attempts`");
                let acts = route.access == Access::Act;
                assert_eq!(responses["403"].to_string().contains("`read_only`"), acts, "{}", route.path);
                if *method == "POST" {
                    says("413", "`too_large`");
                    says("415", "`unsupported_media_type`");
                }
                for status in ["429", "503"].iter().filter(|status| responses[*status].is_object()) {
                    let header = &responses[*status]["headers"]["Retry-After"];
                    assert!(header.is_object(), "{} {status}", route.path);
                }
            }
        }
    }

    #[test]
    fn bytes_are_bytes_and_what_may_be_absent_is_not_null() {
        let document = made("darkmux-1").unwrap();
        let session = |action: &str| &document["paths"][format!("/v1/sessions/{{id}}/{action}")];
        let bytes = &session("input")["post"]["requestBody"]["content"]["application/octet-stream"];
        assert_eq!(bytes["schema"]["format"], "binary");
        for parameter in session("wait")["post"]["parameters"].as_array().unwrap() {
            assert!(parameter["schema"]["type"].is_string(), "{parameter}");
        }
        let launch = &document["paths"]["/v1/launch"]["post"];
        assert_eq!(
            launch["requestBody"]["content"]["application/json"]["schema"]["$ref"],
            "#/components/schemas/LaunchBody"
        );
        assert_ne!(launch["requestBody"]["required"], true);
        let answer = &launch["responses"]["200"]["content"]["application/json"]["schema"];
        assert_eq!(answer["properties"]["data"]["$ref"], "#/components/schemas/Launched");
        assert!(document["components"]["schemas"]["LaunchBody"].is_object());
    }
}
