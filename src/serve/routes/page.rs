//! The viewer's page. It has a path for each thing that it shows; where programs are answered at that path, too,
//! only who asks for `text/html` gets the page.

use axum::Extension;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::assets::Bundled;
use crate::model::Day;
use crate::serve::{ApiError, guard};

/// `GET /`: the page, live.
pub async fn live(Extension(viewer): Extension<Bundled>) -> Result<Response, ApiError> {
    page(&viewer, r#"<meta name="darkmux-mode" content="live">"#)
}

/// Any page of the showcase: the page, playing the recording.
pub async fn showcase(Extension(viewer): Extension<Bundled>) -> Result<Response, ApiError> {
    let recording = crate::serve::RECORDING;
    let metas = format!(
        r#"<meta name="darkmux-mode" content="demo"><meta name="darkmux-flow-src" content="{recording}">"#
    );
    page(&viewer, &metas)
}

/// Answers a browser that goes to a path of programs with the page, and everybody else as ever.
pub async fn for_browsers(viewer: Extension<Bundled>, request: Request, next: Next) -> Response {
    let answer = if wants_page(request.headers()) {
        live(viewer).await.into_response()
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
    page(&viewer, &metas)
}

fn page(viewer: &Bundled, metas: &str) -> Result<Response, ApiError> {
    let bundle = viewer.for_page()?;
    let (before, after) = bundle
        .page
        .split_once("<head>")
        .ok_or_else(|| ApiError::internal("making the page", &"it has no <head>"))?;
    let html = format!("{before}<head>\n{metas}{after}");
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
