//! The viewer's page. It has a path for each thing that it shows; where programs are answered at that path, too,
//! only who asks for `text/html` gets the page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::assets::Bundled;
use super::flow;
use crate::model::Day;
use crate::serve::auth::{Caller, cookie_values};
use crate::serve::{ApiError, App};

/// How the page begins, in its file.
const HEAD: &str = "<html lang=\"en\">\n<head>\n";

const LIVE: &str = r#"<meta name="darkmux-mode" content="live">"#;

/// How many records come with the page: what is seen first. The same as the viewer would ask for, in records.js.
const FIRST_RECORDS: usize = 100;

/// How long the page waits for them, and how large they may be, in bytes; the viewer asks for them where it has none.
const FIRST_PATIENCE: Duration = Duration::from_millis(50);
const FIRST_BYTES: usize = 256 * 1024;

/// The cookie that keeps the reader's choice of colours. theme.js writes it.
const THEME: &str = "darkmux-theme";

/// What the page has to say before it is drawn for the first time, so that nothing of it changes under the reader's eye:
/// which part of it is shown, and its colours. A script that found it out would hold the drawing up.
#[derive(Debug, PartialEq, Eq)]
pub struct Look {
    shown: String,
    theme: &'static str,
}

impl Look {
    fn of(path: &str, headers: &HeaderMap) -> Self {
        let shown = path.split('/').nth(1).unwrap_or_default();
        // The day of `/play` is shown as the flow. Nothing but a plain word gets into the page.
        let is_other = shown != "play" && shown.chars().all(|c| c.is_ascii_lowercase());
        let shown = if is_other && !shown.is_empty() { shown } else { "flow" };
        let chosen = cookie_values(headers, THEME);
        let theme = ["light", "dark"].into_iter().find(|theme| chosen.contains(theme)).unwrap_or("auto");
        Self { shown: shown.to_owned(), theme }
    }
}

impl<S: Sync> FromRequestParts<S> for Look {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.path(), &parts.headers))
    }
}

/// `GET /`: the page, live, with the newest records of today.
pub async fn live(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(viewer): Extension<Bundled>,
    look: Look,
) -> Result<Response, ApiError> {
    // A disk that hangs holds up a task of its own.
    let shutdown = app.shutdown.clone();
    let mut asked = shutdown.spawn(async move { first_records(&app, &caller).await });
    let first = timeout(FIRST_PATIENCE, &mut asked).await.ok().and_then(Result::ok).flatten();
    // What comes too late keeps no place from the viewer, which asks for the same now.
    asked.abort();
    page(&viewer, &look, LIVE, first.as_deref().unwrap_or_default())
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
pub async fn showcase(Extension(viewer): Extension<Bundled>, look: Look) -> Result<Response, ApiError> {
    let recording = crate::serve::RECORDING;
    let metas = format!(
        r#"<meta name="darkmux-mode" content="demo"><meta name="darkmux-flow-src" content="{recording}">"#
    );
    page(&viewer, &look, &metas, "")
}

/// Answers a browser that goes to a path of programs with the page, and everybody else as ever.
pub async fn for_browsers(viewer: Extension<Bundled>, request: Request, next: Next) -> Response {
    let answer = if wants_page(request.headers()) {
        page(&viewer, &Look::of(request.uri().path(), request.headers()), LIVE, "").into_response()
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
    look: Look,
) -> Result<Response, ApiError> {
    let day: Day =
        date.parse().map_err(|error| ApiError::new(StatusCode::NOT_FOUND, "bad_date", format!("{error}")))?;
    let metas =
        format!(r#"<meta name="darkmux-mode" content="play"><meta name="darkmux-date" content="{day}">"#);
    page(&viewer, &look, &metas, "")
}

/// The page with `metas` at its beginning and `last` at its end.
fn page(
    viewer: &Bundled,
    Look { shown, theme }: &Look,
    metas: &str,
    last: &str,
) -> Result<Response, ApiError> {
    let bundle = viewer.for_page()?;
    let parts = bundle.page.split_once(HEAD).and_then(|(before, rest)| {
        let (within, after) = rest.rsplit_once("</body>")?;
        let root = format!("<html lang=\"en\" data-first=\"{shown}\" data-theme=\"{theme}\">\n<head>\n");
        Some(format!("{before}{root}{metas}{within}{last}</body>{after}"))
    });
    let html =
        parts.ok_or_else(|| ApiError::internal("making the page", &"it has no <head> or no </body>"))?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
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

    #[test]
    fn a_page_knows_what_it_shows_and_in_which_colours_before_it_is_drawn() {
        let look = |path: &str, cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
            let Look { shown, theme } = Look::of(path, &headers);
            (shown, theme)
        };
        let as_is = |shown: &str, theme| (shown.to_owned(), theme);
        assert_eq!(look("/", "a=b"), as_is("flow", "auto"));
        assert_eq!(look("/play/2026-11-22", "darkmux-theme=dark"), as_is("flow", "dark"));
        assert_eq!(look("/job/x", "darkmux-8=v; darkmux-theme=light"), as_is("job", "light"));
        assert_eq!(look("/\"><b>/", "darkmux-theme=\"><b>"), as_is("flow", "auto"));
    }
}
