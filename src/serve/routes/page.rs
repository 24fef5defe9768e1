//! The viewer's page.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::assets::Viewer;
use crate::model::Day;
use crate::serve::ApiError;

/// `GET /`: the page, live.
pub async fn live() -> Result<Response, ApiError> {
    page(r#"<meta name="darkmux-mode" content="live">"#)
}

/// `GET /play/{date}`: the page, showing one day.
pub async fn play(Path(date): Path<String>) -> Result<Response, ApiError> {
    let day: Day =
        date.parse().map_err(|error| ApiError::new(StatusCode::NOT_FOUND, "bad_date", format!("{error}")))?;
    page(&format!(r#"<meta name="darkmux-mode" content="play"><meta name="darkmux-date" content="{day}">"#))
}

fn page(metas: &str) -> Result<Response, ApiError> {
    let file = Viewer::get("index.html").ok_or_else(|| missing("index.html"))?;
    let html = String::from_utf8_lossy(&file.data);
    let (before, after) = html.split_once("<head>").ok_or_else(|| missing("<head>"))?;
    let html = format!("{before}<head>\n{metas}{after}");
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}

fn missing(what: &'static str) -> ApiError {
    ApiError::internal("making the page", &format!("{what} is not in this build"))
}
