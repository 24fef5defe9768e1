//! The viewer's page. It has a path for each thing that it shows; where programs are answered at that path, too,
//! only who asks for `text/html` gets the page.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::assets::Bundled;
use super::flow;
use crate::model::Day;
use crate::serve::auth::Caller;
use crate::serve::{ApiError, App, guard};

const LIVE: &str = r#"<meta name="darkmux-mode" content="live">"#;

/// How many records come with the page: what is seen first. The same as the viewer would ask for, in records.js.
const FIRST_RECORDS: usize = 100;

/// How long the page waits for them, and how large they may be, in bytes; the viewer asks for them where it has none.
const FIRST_PATIENCE: Duration = Duration::from_millis(50);
const FIRST_BYTES: usize = 256 * 1024;

/// `GET /`: the page, live, with the newest records of today.
pub async fn live(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(viewer): Extension<Bundled>,
) -> Result<Response, ApiError> {
    // A disk that hangs holds up a task of its own.
    let shutdown = app.shutdown.clone();
    let mut asked = shutdown.spawn(async move { first_records(&app, &caller).await });
    let first = timeout(FIRST_PATIENCE, &mut asked).await.ok().and_then(Result::ok).flatten();
    // What comes too late keeps no place from the viewer, which asks for the same now.
    asked.abort();
    page(&viewer, LIVE, first.as_deref().unwrap_or_default())
}

/// The answer that the viewer would ask for first, as an element of the page.
async fn first_records(app: &App, caller: &Caller) -> Option<String> {
    let day = Day::of(app.clock.now());
    let answer = flow::records(app, caller, day, FIRST_RECORDS).await.ok()?;
    let headers: Map<String, Value> = answer
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), Value::from(value.to_str().ok()?))))
        .collect();
    let body = to_bytes(answer.into_body(), FIRST_BYTES).await.ok()?;
    let about = json!({ "path": format!("/flow/{day}?limit={FIRST_RECORDS}"), "headers": headers });
    let about = about.to_string();
    // Records are others' words. In JSON this character stands in texts alone, and no element begins or ends without it.
    let text = format!("{},\"body\":{}}}", about.strip_suffix('}')?, std::str::from_utf8(&body).ok()?);
    let text = text.replace('<', "\\u003c");
    Some(format!("<script type=\"application/json\" id=\"first-answer\">{text}</script>\n"))
}

/// Any page of the showcase: the page, playing the recording.
pub async fn showcase(Extension(viewer): Extension<Bundled>) -> Result<Response, ApiError> {
    let recording = crate::serve::RECORDING;
    let metas = format!(
        r#"<meta name="darkmux-mode" content="demo"><meta name="darkmux-flow-src" content="{recording}">"#
    );
    page(&viewer, &metas, "")
}

/// Answers a browser that goes to a path of programs with the page, and everybody else as ever.
pub async fn for_browsers(viewer: Extension<Bundled>, request: Request, next: Next) -> Response {
    let answer = if wants_page(request.headers()) {
        page(&viewer, LIVE, "").into_response()
    } else {
        next.run(request).await
    };
    ([(header::VARY, HeaderValue::from_static("accept"))], answer).into_response()
}

/// Whether somebody goes there by a browser, rather than asks as a program: HTML is named, and JSON is not.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = |kind: &str| {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut ranges = values.flat_map(|value| value.split(','));
        ranges.any(|range| range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(kind)))
    };
    accepts("text/html") && !accepts("application/json")
}

/// `GET /play/{date}`: the page, showing one day.
pub async fn play(
    Path(date): Path<String>,
    Extension(viewer): Extension<Bundled>,
) -> Result<Response, ApiError> {
    let day: Day =
        date.parse().map_err(|error| ApiError::new(StatusCode::NOT_FOUND, "bad_date", format!("{error}")))?;
    let metas =
        format!(r#"<meta name="darkmux-mode" content="play"><meta name="darkmux-date" content="{day}">"#);
    page(&viewer, &metas, "")
}

/// The page with `metas` at its beginning and `last` at its end.
fn page(viewer: &Bundled, metas: &str, last: &str) -> Result<Response, ApiError> {
    let bundle = viewer.for_page()?;
    let parts = bundle.page.split_once("<head>").and_then(|(before, rest)| {
        let (within, after) = rest.rsplit_once("</body>")?;
        Some(format!("{before}<head>\n{metas}{within}{last}</body>{after}"))
    });
    let html =
        parts.ok_or_else(|| ApiError::internal("making the page", &"it has no <head> or no </body>"))?;
    let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned());
    Ok(([kind, (header::CONTENT_SECURITY_POLICY, guard::policy(&bundle.inline))], html).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_page_and_a_program_its_data() {
        let page = |accept: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            wants_page(&headers)
        };
        assert!(page(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"]));
        assert!(page(&["application/xml", "Text/HTML;q=0.5"]));
        for program in
            [&[][..], &["*/*"], &["application/json"], &["text/html, application/json"], &["text/htmlx"]]
        {
            assert!(!page(program), "{program:?}");
        }
    }
}
